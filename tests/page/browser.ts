import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core';
import { makeFolder, removeFolder, type Stack, startStack } from '../support/stack.ts';

const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
const program = ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => folders.map((folder) => join(folder, name)))
  .find((path) => existsSync(path));

/** `describe` where there is a Chromium; else its tests are skipped and counted. */
export const describePage: typeof describe | typeof describe.skip = program === undefined ? describe.skip : describe;

/** Where pictures of the page go, to be looked at. */
const pictures = 'tests/page/screenshots';

/** A line of the console for an answer of 4xx or 5xx, or for none: Chromium writes them, no page can prevent that. */
const networkLine =
  /^Failed to load resource: (the server responded with a status of [45]\d\d|net::ERR_INTERNET_DISCONNECTED)/;

export interface Opened {
  readonly page: Page;
  /** The panel of a system. */
  panel(name: 'classify' | 'clouds' | 'digits'): Locator;
  /** Waits for the answer of a system, and for what kind it is. */
  answered(name: 'classify' | 'clouds' | 'digits', kind: 'lead' | 'degraded' | 'problem'): Promise<string>;
  /** Lines of the console that are about requests. */
  readonly networkLines: readonly string[];
}

/**
 * `npm start` and a Chromium in front of it, for a test file's top level. After each test, the page must have asked nobody else, and must
 * have written nothing to the console but what Chromium writes about failed requests.
 */
export function usePage(env: NodeJS.ProcessEnv = { FUNCTIONS: 'classify,clouds,digits' }) {
  let folder = '';
  let stack: Stack;
  let browser: Browser;
  const faults: string[] = [];

  beforeAll(async () => {
    if (program === undefined) return;
    folder = makeFolder();
    stack = await startStack(folder, { env });
    await stack.says(/ready, ends with Ctrl-C/);
    browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] }); // root's has none
  }, 120_000);
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    expect(faults.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    await stack?.end();
    if (folder !== '') removeFolder(folder);
  }, 60_000);

  const open = async (options: BrowserContextOptions = {}, path = '/'): Promise<Opened> => {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const networkLines: string[] = [];
    const operator = (await (await fetch(`${origin()}/page.json`)).json()).operator as string;
    page.on('pageerror', (fault) => faults.push(String(fault.stack)));
    page.on('console', (line) => {
      const isOfAnswer = networkLine.test(line.text()) && /\/(classify|infer|predict)(\?|$)/.test(line.location().url);
      (isOfAnswer ? networkLines : faults).push(`${line.text()} ${line.location().url}`);
    });
    page.on('request', (request) => {
      const isOurs = [origin(), operator, `blob:${origin()}`].some(
        (own) => own !== '' && request.url().startsWith(own),
      );
      if (!isOurs) faults.push(`a request to ${request.url()}`);
    });
    await page.goto(`${origin()}${path}`);
    const panel = (name: string) => page.locator(`#panel-${name}`);
    return {
      page,
      panel,
      networkLines,
      async answered(name, kind) {
        const verdict = panel(name).locator('.verdict');
        await page.waitForFunction(
          ([id, wanted]) =>
            document.querySelector(`#panel-${id} .verdict`)?.getAttribute('data-kind') === wanted &&
            document.querySelector(`#panel-${id} [aria-busy]`) === null,
          [name, kind],
          { timeout: 40_000 },
        );
        return (await verdict.textContent()) ?? '';
      },
    };
  };
  const origin = () => `http://127.0.0.1:${stack.port}`;
  return { open, origin };
}

const axe = readFileSync('node_modules/axe-core/axe.min.js', 'utf8');

/** Violations of WCAG 2.2 A and AA and of axe's best practices; the page must be opened with bypassCSP, for the checker alone. */
export async function violationsOf(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: { run: () => Promise<Checked> } }).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
  });
}

interface Checked {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly target: readonly string[] }[];
  }[];
}

export async function takePicture(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}
