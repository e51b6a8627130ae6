import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, jest } from '@jest/globals';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { describePage, usePage } from './browser.ts';

jest.setTimeout(90_000);

const run = promisify(execFile);
const stack = usePage({ FUNCTIONS: 'classify' });
const goldfish = 'tests/images/test_image_1.jpg';

/** A transfer of this file, as a drop or a clipboard has it. */
const transfer = (page: Page, path: string) =>
  page.evaluateHandle(
    ([bytes, name]) => {
      const data = new DataTransfer();
      data.items.add(
        new File([Uint8Array.from(atob(bytes as string), (letter) => letter.charCodeAt(0))], name as string),
      );
      return data;
    },
    [readFileSync(path).toString('base64'), 'goldfish.jpg'],
  );

describePage('a photo', () => {
  it('is chosen: five bars, who answered, where the time went', async () => {
    const { page, panel, answered } = await stack.open();
    await panel('classify').locator('[data-part=file]').setInputFiles(goldfish);

    expect(await answered('classify', 'lead')).toMatch(
      /^\s*Lead model\s+wide-resnet, the lead model, answered\. It took [\d,.]+ ms\.\s*$/,
    );
    const bars = panel('classify').locator('ol.bars > li');
    expect(await bars.count()).toBe(5);
    expect(await bars.first().textContent()).toMatch(/^goldfish n01443537 · 0\s*9\d\.\d%/);
    expect(await page.getByRole('meter', { name: 'goldfish' }).getAttribute('value')).toMatch(/^0\.9/);
    const stages = await panel('classify').locator('.waterfall th').allTextContents();
    expect(stages).toEqual(['Upload', 'Decoding', 'Queue', 'Model', 'Network and edge', 'In all']);
    expect(await panel('classify').locator('.preview img').getAttribute('alt')).toBe(
      'What was chosen: test_image_1.jpg',
    );
    expect(await page.locator('[data-part=strip]').getAttribute('aria-label')).toBe('1 answers: 1 by lead model');
  });

  it('is dropped', async () => {
    const { page, panel, answered } = await stack.open();
    const dataTransfer = await transfer(page, goldfish);

    await panel('classify').locator('.drop').dispatchEvent('drop', { dataTransfer });

    await answered('classify', 'lead');
  });

  it('is pasted', async () => {
    const { page, answered } = await stack.open();
    const clipboardData = await transfer(page, goldfish);

    await page.evaluate(
      (data) => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })),
      clipboardData,
    );

    await answered('classify', 'lead');
  });

  it('is a sample, and is asked about again with other settings, by keyboard alone', async () => {
    const { page, panel, answered } = await stack.open();
    const press = async (key: string, times = 1) => {
      for (let i = 0; i < times; i += 1) await page.keyboard.press(key);
    };
    const focused = () =>
      page.evaluate(() => document.activeElement?.textContent || document.activeElement?.getAttribute('data-part'));

    await press('Tab', 3); // past the links to the documents
    expect(await focused()).toBe('Photos');
    await press('ArrowRight');
    expect([await focused(), await panel('clouds').isVisible()]).toEqual(['Clouds', true]);
    await press('Home');
    await press('Tab');
    expect(await focused()).toBe('file');
    await press('Tab', 2);
    expect(await focused()).toBe('School bus');
    await press('Enter');
    await answered('classify', 'lead');
    expect(await focused()).toBe('School bus'); // an answer takes the focus from nobody
    await press('Tab', 4);
    expect(await focused()).toBe('strict');
    await press('Space');
    await press('Tab');
    await press('ArrowLeft', 3);
    expect(await panel('classify').locator('[data-part=deadline-text]').textContent()).toBe('1 s');
    const sent = page.waitForRequest('**/classify');
    await press('Tab');
    await press('Enter');
    expect((await sent).headers()).toMatchObject({ prefer: 'handling=strict', 'x-deadline-ms': '1000' });
  });

  it('is missing: the page says so, and the focus is where one is chosen', async () => {
    const { page, panel } = await stack.open();

    for (const name of ['Ask', 'Send 50']) {
      await page.getByRole('button', { name, exact: true }).click();
      expect(await panel('classify').locator('[data-part=status]').textContent()).toMatch(/^Nothing to ask about yet/);
      expect(await page.evaluate(() => document.activeElement?.getAttribute('data-part'))).toBe('file');
    }
  });
});

describePage('a problem', () => {
  it('of a text called .jpg is told in words with its code, and what was chosen stays', async () => {
    const { page, panel, answered, networkLines } = await stack.open();
    await page.getByRole('button', { name: 'A text called .jpg' }).click();

    const told = await answered('classify', 'problem');

    expect(told).toMatch(/422 IMAGE_UNSUPPORTED[\s\S]*The content counts, not the name/);
    expect(await panel('classify').locator('[data-part=chosen]').textContent()).toBe('notes.jpg: 275 bytes');
    expect(
      await panel('classify')
        .getByText(/^Request id/)
        .textContent(),
    ).toMatch(/[0-9a-f]{32}/);
    expect(networkLines).toHaveLength(1);
  });

  it('of 12 MB that are no picture is a 413', async () => {
    const { panel, answered } = await stack.open();
    const buffer = randomBytes(12_000_000);
    await panel('classify')
      .locator('[data-part=file]')
      .setInputFiles({ name: 'noise.bin', mimeType: 'image/jpeg', buffer });

    expect(await answered('classify', 'problem')).toMatch(/413 UPLOAD_TOO_LARGE/);
  });

  it('does not come of a photo of more than 10 MB: the page shrinks it', async () => {
    const { panel, answered } = await stack.open();
    const noise = {
      create: {
        width: 4200,
        height: 3000,
        channels: 3,
        background: '#888',
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    } as const;
    const buffer = await sharp(noise).jpeg({ quality: 95 }).toBuffer();
    expect(buffer.length).toBeGreaterThan(10 * 1024 * 1024);

    await panel('classify')
      .locator('[data-part=file]')
      .setInputFiles({ name: 'large.png', mimeType: 'image/jpeg', buffer });

    await answered('classify', 'lead');
    expect(await panel('classify').locator('[data-part=chosen]').textContent()).toMatch(
      /^large\.jpg: [\d.]+ [kM]B, 1\d[\d.]* MB before this page has shrunk it$/,
    );
  });

  it('without a network says so, keeps the photo, and is gone with the network', async () => {
    const { page, panel, answered } = await stack.open();
    await panel('classify').locator('[data-part=file]').setInputFiles(goldfish);
    await answered('classify', 'lead');

    await page.context().setOffline(true);
    await page.getByRole('button', { name: 'Ask again' }).click();
    expect(await answered('classify', 'problem')).toMatch(/NO_ANSWER[\s\S]*could not be reached/);
    expect(await panel('classify').locator('.preview img').isVisible()).toBe(true);

    await page.context().setOffline(false);
    await page.getByRole('button', { name: 'Ask again' }).click();
    await answered('classify', 'lead');
  });
});

describePage('the call in code', () => {
  it.each(['curl', 'Python', 'fetch'])('runs as it is copied: %s', async (language) => {
    const { page, panel } = await stack.open({ permissions: ['clipboard-read', 'clipboard-write'] });
    await page.getByRole('button', { name: 'Goldfish' }).click();
    await panel('classify').locator('.verdict:is([data-kind=lead], [data-kind=degraded])').waitFor();
    await panel('classify').getByRole('tab', { name: language }).click();
    await panel('classify').locator('[data-part=copy]').click();
    await page.getByText('Copied.').waitFor();
    const code = await page.evaluate(() => navigator.clipboard.readText());

    const cwd = mkdtempSync(join(tmpdir(), 'page-test-'));
    copyFileSync(goldfish, join(cwd, 'goldfish.jpg'));
    const file = `const file = new File([require("node:fs").readFileSync("goldfish.jpg")], "goldfish.jpg");`;
    const [program, ...args] = {
      curl: ['sh', '-c', code],
      Python: ['python3', '-c', code],
      fetch: [process.execPath, '-e', `${file} (async () => { ${code} })()`],
    }[language] as [string, ...string[]];
    const { stdout } = await run(program, args, { cwd });
    rmSync(cwd, { recursive: true });
    expect(stdout).toMatch(/goldfish/);
  });
});
