import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, jest } from '@jest/globals';
import { describePage, takePicture, usePage, violationsOf } from './browser.ts';

jest.setTimeout(90_000);

const folder = mkdtempSync(join(tmpdir(), 'page-key-test-'));
const file = join(folder, 'keys');
const key = `acme.${'0123456789abcdef'.repeat(2)}`;
writeFileSync(file, `acme ${createHash('md5').update(key).digest('base64url')}\n`);
afterAll(() => rmSync(folder, { recursive: true }));

const stack = usePage({ FUNCTIONS: 'classify,digits', API_KEYS_FILE: file });

describePage('the page where an API key is needed', () => {
  it('asks for the key, sends it from then on, and leaves it out of the code', async () => {
    const { page, panel, answered } = await stack.open({ bypassCSP: true });
    const field = page.getByLabel('API key');
    const code = panel('classify').locator('[data-part=code]');

    await page.getByRole('button', { name: 'Goldfish' }).click();
    expect(await answered('classify', 'problem')).toContain('401 KEY_REQUIRED');
    await takePicture(page, 'key');
    expect(await violationsOf(page)).toEqual([]);
    expect(await code.textContent()).not.toContain('X-API-Key');
    await field.fill('acme.wrong');
    await field.press('Enter');
    await page.waitForFunction(() => document.activeElement?.textContent === 'Answer');
    expect(await answered('classify', 'problem')).toContain('401 KEY_REQUIRED');
    await field.fill(` ${key} `); // as it is pasted
    await page.getByRole('button', { name: 'Ask with this key' }).click();
    await answered('classify', 'lead');

    expect(await field.count()).toBe(0);
    expect(await code.textContent()).toContain("-H 'X-API-Key: YOUR_KEY'");
    await page.getByRole('tab', { name: 'Digits' }).click();
    await page.getByRole('button', { name: 'A seven on paper' }).click();
    await answered('digits', 'lead');
  });
});
