import { expect, it, jest } from '@jest/globals';
import { describePage, takePicture, usePage } from './browser.ts';

jest.setTimeout(90_000);

const stack = usePage({ FUNCTIONS: 'classify' });

describePage('the primary, broken by the page', () => {
  it('is killed: answers come all the same', async () => {
    const { page, answered } = await stack.open();
    await page.getByRole('button', { name: 'Butterfly' }).click();
    await answered('classify', 'lead');

    await page.getByRole('button', { name: 'Send 50' }).click();
    await page.getByRole('button', { name: 'Kill it' }).click();

    await page.getByText(/^The primary function is killed/).waitFor();
    const summary = page.locator('[data-part=many-status]').filter({ hasText: /of 50 answered/ });
    await summary.waitFor({ timeout: 60_000 });
    expect(Number.parseInt((await summary.textContent()) ?? '', 10)).toBeGreaterThanOrEqual(45); // a busy machine refuses some as BUSY
    expect(await page.locator('[data-part=strip]').getAttribute('aria-label')).toMatch(
      /^51 answers: .*fallback function/,
    );
  });

  it('is frozen: the fallback answers in its place within the patience, and the page says why', async () => {
    const { page, panel, answered } = await stack.open();
    await page.getByRole('button', { name: 'Goldfish' }).click();
    await answered('classify', 'lead');
    await panel('classify').locator('[data-part=deadline]').fill('8');
    expect(await panel('classify').locator('[data-part=deadline-text]').textContent()).toBe('2 s');

    await page.getByRole('button', { name: 'Freeze it' }).click();
    await page.getByText('The primary function is frozen for 9 s.').waitFor();
    await page.getByRole('button', { name: 'Ask again' }).click();

    expect(await answered('classify', 'degraded')).toMatch(
      /Degraded: failover[\s\S]*mobilenet answered in place of the lead model: the primary function failed, was full or was silent/,
    );
    await takePicture(page, 'degraded');
    expect(await panel('classify').locator('.waterfall').textContent()).toContain('Network, edge and primary');
  });

  it("refuses a strict request, and offers the standby's answer", async () => {
    const { page, panel, answered } = await stack.open();
    await page.getByRole('button', { name: 'Goldfish' }).click();
    await panel('classify').locator('.verdict:not([data-kind=none])').waitFor();
    await page.getByLabel('Only the lead model will do').check();

    await page.getByRole('button', { name: 'Freeze it' }).click();
    await page.getByText('The primary function is frozen for 9 s.').waitFor();
    await page.getByRole('button', { name: 'Ask again' }).click();
    expect(await answered('classify', 'problem')).toMatch(/503 PRIMARY_REQUIRED[\s\S]*Try again in 5 s/);
    await page.getByRole('button', { name: "Take the standby model's answer" }).click();

    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Answer');
    await panel('classify').locator('.verdict:not([data-kind=problem])').waitFor({ timeout: 40_000 });
    expect(await page.getByLabel('Only the lead model will do').isChecked()).toBe(false);
  });

  it('is slow: an answer comes', async () => {
    const { page, panel } = await stack.open();
    await page.getByRole('button', { name: 'Slow it' }).click();
    await page.getByText(/tenth of its speed for 20 s/).waitFor();
    await page.getByRole('button', { name: 'Goldfish' }).click();

    await panel('classify').locator('.verdict:is([data-kind=lead], [data-kind=degraded])').waitFor({ timeout: 40_000 });
    await page.getByRole('button', { name: 'Kill it' }).click(); // ends it, for the tests that follow
  });
});
