import { rmSync } from 'node:fs';
import { afterEach } from '@jest/globals';
import sharp from 'sharp';
import { type RunningFunction, startFunction } from './function.ts';
import { makeModelsDir } from './models.ts';

/** A PNG that the test model answers at once. */
const black = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'black' } })
  .png()
  .toBuffer();

/** The answer to a picture sent to /classify, or the problem. */
export async function ask({ url }: RunningFunction, picture: Buffer = black): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/octet-stream' };
  const response = await fetch(`${url}/classify`, { method: 'POST', headers, body: new Uint8Array(picture) });
  return (await response.json()) as Record<string, unknown>;
}

/** Makes and starts things that are gone after each test; what came last goes first. For a test file's top level. */
export function cleanAfterEach() {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  return {
    /** Whatever else there is to do after the test. */
    later(cleanup: () => unknown): void {
      cleanups.push(cleanup);
    },
    modelsDir(...folders: Parameters<typeof makeModelsDir>): string {
      const dir = makeModelsDir(...folders);
      cleanups.push(() => rmSync(dir, { recursive: true }));
      return dir;
    },
    async start(...args: Parameters<typeof startFunction>): Promise<RunningFunction> {
      const fn = await startFunction(...args);
      cleanups.push(() => fn.process.kill('SIGKILL'));
      return fn;
    },
  };
}
