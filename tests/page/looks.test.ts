import { expect, it, jest } from '@jest/globals';
import type { Page } from 'playwright-core';
import { describePage, takePicture, usePage, violationsOf } from './browser.ts';

jest.setTimeout(120_000);

const stack = usePage();

/** What is wrong with the page as it is: too wide, or too small to be hit by a finger. */
const misfits = (page: Page) =>
  page.evaluate(() => {
    const isShown = (element: Element) => element.checkVisibility() && !element.classList.contains('unseen');
    const small = [...document.querySelectorAll('button, label:has(input), input[type=range]')]
      .filter(isShown)
      .map((element) => ({ name: element.textContent?.trim(), box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.width < 44 || box.height < 44);
    const spilled = [...document.querySelectorAll('.card *')]
      .filter((element) => isShown(element) && element.closest('.code') === null)
      .filter(
        (element) =>
          element.getBoundingClientRect().right > (element.closest('.card') as Element).getBoundingClientRect().right,
      )
      .map((element) => `${element.tagName} ${element.className} beyond its card`);
    const excess = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    return [
      ...spilled,
      ...small.map(({ name, box }) => `${name}: ${box.width}x${box.height}`),
      ...(excess > 0 ? [`${excess} px too wide`] : []),
    ];
  });

describePage.each([
  ['light', 1280],
  ['dark', 1280],
  ['light', 375],
  ['dark', 375],
] as const)('the page, %s and %d pixels wide', (colorScheme, width) => {
  it.each(['/docs', '/problems'])('has no violation of WCAG 2.2 AA at %s and nothing beyond its edge', async (path) => {
    const viewport = { width, height: 900 };
    const { page } = await stack.open({ colorScheme, viewport, isMobile: width === 375, bypassCSP: true }, path);

    await takePicture(page, `${colorScheme}-${width}${path.replace('/', '-')}`);
    const excess = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect([excess, await violationsOf(page)]).toEqual([0, []]);
  });

  it('has no violation of WCAG 2.2 AA, no target below 44 pixels and nothing beyond its edge', async () => {
    const { page, answered } = await stack.open({
      colorScheme,
      viewport: { width, height: 900 },
      hasTouch: width === 375, // with the button for the camera
      isMobile: width === 375,
      bypassCSP: true,
    });
    const check = async (name: string) => {
      await takePicture(page, `${colorScheme}-${width}-${name}`);
      expect([name, await misfits(page), await violationsOf(page)]).toEqual([name, [], []]);
    };

    await page.locator('[data-part=faults]').waitFor();
    expect(await page.getByText('Take a photo').first().isVisible()).toBe(width === 375);
    await check('empty');
    await page.getByRole('button', { name: 'Goldfish' }).click();
    await answered('classify', 'lead');
    await check('photo');
    await page.getByRole('button', { name: 'Kill it' }).click();
    await page.getByText(/^The primary function is killed/).waitFor();
    await page.getByRole('button', { name: 'Ask again' }).click();
    await answered('classify', 'degraded');
    await check('degraded');
    await page.getByRole('button', { name: 'A text called .jpg' }).click();
    await answered('classify', 'problem');
    await check('problem');
    await page.getByRole('tab', { name: 'Clouds' }).click();
    await page.getByRole('button', { name: 'Sentinel-2' }).click();
    await answered('clouds', 'lead');
    await check('clouds');
    await page.getByRole('tab', { name: 'Digits' }).click();
    await page.getByRole('button', { name: 'A seven on paper' }).click();
    await answered('digits', 'lead');
    await check('digits');
  });
});
