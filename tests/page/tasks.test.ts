import { expect, it, jest } from '@jest/globals';
import { describePage, usePage } from './browser.ts';

jest.setTimeout(90_000);

describePage('clouds and digits', () => {
  const stack = usePage({ FUNCTIONS: 'clouds,digits' });

  it('begin with what is deployed, and the other tab says that it is not', async () => {
    const { page, panel } = await stack.open();

    await page.getByRole('tab', { name: 'Clouds', selected: true }).waitFor();
    expect(await page.locator('[data-part=faults]').isVisible()).toBe(false); // there is no primary to break
    await page.getByRole('tab', { name: 'Photos' }).click();
    expect((await panel('classify').textContent())?.trim()).toBe(
      'Photos are not deployed here: /classify answers 404 ROUTE_NOT_FOUND.',
    );
  });

  it('show a patch in its colors, the mask over it, and the shares', async () => {
    const { page, panel, answered } = await stack.open();
    const colors = (canvas: number) =>
      panel('clouds')
        .locator('.patch canvas')
        .nth(canvas)
        .evaluate((element) => {
          const { width, height } = element as HTMLCanvasElement;
          const pen = (element as HTMLCanvasElement).getContext('2d') as CanvasRenderingContext2D;
          const { data } = pen.getImageData(0, 0, width, height);
          const pixels = Array.from({ length: width * height }, (_, i) => data.slice(i * 4, i * 4 + 4).join());
          return {
            width,
            height,
            kinds: new Set(pixels).size,
            clear: pixels.filter((pixel) => pixel === '0,0,0,0').length,
          };
        });
    await page.getByRole('button', { name: 'Sentinel-2' }).click();
    await answered('clouds', 'lead');

    const [picture, mask] = [await colors(0), await colors(1)];
    expect(picture).toMatchObject({ width: 128, height: 128, clear: 0 });
    expect(picture.kinds).toBeGreaterThan(100);
    expect(mask).toMatchObject({ width: 128, height: 128, kinds: 3 });
    const shares = await panel('clouds').locator('.bars .bar-share').allTextContents();
    const total = shares.reduce((sum, text) => sum + Number.parseFloat(text), 0);
    expect(total).toBeCloseTo(100, 0);
    expect(mask.clear / 128 ** 2).toBeCloseTo(Number.parseFloat(shares[2] as string) / 100, 2);
    await page.getByLabel(/^Show the mask/).uncheck();
    expect(await panel('clouds').locator('.patch canvas').nth(1).isVisible()).toBe(false);
  });

  it('read a digit that is drawn with the mouse', async () => {
    const { page, panel, answered } = await stack.open();
    await page.getByRole('tab', { name: 'Digits' }).click();
    const sheet = await panel('digits').locator('.sheet').boundingBox();
    if (sheet === null) throw new Error('Expected a sheet but received none');
    const at = (x: number, y: number) => [sheet.x + x * sheet.width, sheet.y + y * sheet.height] as const;

    await page.mouse.move(...at(0.3, 0.25));
    await page.mouse.down();
    await page.mouse.move(...at(0.7, 0.25), { steps: 8 });
    await page.mouse.move(...at(0.42, 0.8), { steps: 8 });
    await page.mouse.up();

    await answered('digits', 'lead');
    expect(await panel('digits').locator('.digit').textContent()).toBe('It reads 7');
    expect(await panel('digits').locator('.bars > li').count()).toBe(10);
    await page.getByRole('button', { name: 'Clear the sheet' }).click();
  });

  it('read a sample, refuse a blank sheet, and ask nothing twice', async () => {
    const { page, panel, answered } = await stack.open();
    await page.getByRole('tab', { name: 'Digits' }).click();
    await page.getByRole('button', { name: 'A seven on paper' }).click();
    await answered('digits', 'lead');
    expect(await panel('digits').locator('.digit').textContent()).toBe('It reads 7');

    const buffer = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'); // GIF of one pixel
    await panel('digits')
      .locator('[data-part=file]')
      .setInputFiles({ name: 'blank.gif', mimeType: 'image/gif', buffer });
    expect(await answered('digits', 'problem')).toMatch(/422 IMAGE_NO_DIGIT[\s\S]*Write one digit/);
  });
});
