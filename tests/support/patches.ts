import type { CloudsAsk } from '../../functions/tasks/clouds/ask.ts';
import { type FilePatch, planeOf, validityOf } from '../../functions/tasks/clouds/patch.ts';
import { readPatch } from '../../functions/tasks/clouds/read.ts';

/** What a file holds, read in this thread. */
export function read(file: Uint8Array, ask: Partial<CloudsAsk> = {}): Promise<FilePatch> {
  return readPatch(new Uint8Array(file).buffer, { dilate: 0, form: 'json', ...ask });
}

/** Code and detail of the problem with a file. */
export async function refusal(file: Uint8Array, ask: Partial<CloudsAsk> = {}): Promise<[code: string, detail: string]> {
  const fault = await read(file, ask).then(
    () => ({ code: 'OK', message: '' }),
    (fault) => fault,
  );
  return [fault.code, fault.message];
}

/** The numbers of a band's first pixels. */
export function numbersOf(patch: FilePatch, band: string, count?: number): number[] {
  return Array.from(planeOf(patch, band)?.subarray(0, count) ?? []);
}

/** Whether the first pixels have data. */
export function dataOf(patch: FilePatch, count?: number): number[] {
  return Array.from(validityOf(patch).subarray(0, count));
}
