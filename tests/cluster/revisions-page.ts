import { readFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { currentOf, type State, taggedOf } from '../../knative/revisions/state.ts';
import { forwardAsWritten } from './revisions-access.ts';
import { run, until } from './support/command.ts';
import { imageOf, readImages } from './support/overlay.ts';

interface Circumstances {
  readonly state: () => Promise<State>;
  readonly k6: string;
  readonly namespace: string;
  /** Length of each k6 run. */
  readonly seconds: number;
  /** Longest time of one line. */
  readonly withinMs: number;
}

/** Runs every line of knative/revisions/README.md for the Service of a namespace. @throws Error with the output of a line that fails */
export async function performPage({ state, k6, namespace, seconds, withinMs }: Circumstances): Promise<void> {
  const blocks = [...readFileSync('knative/revisions/README.md', 'utf8').matchAll(/```sh\n(.*?)```/gs)];
  const lines = blocks.flatMap(([, block]) => String(block).trim().split('\n'));
  const image = imageOf('primary', readImages());
  const port = await freePort();
  // The page's revision 1 is the current one, its revision 2 the newest since the last change of the image.
  const serves = currentOf(await state());
  let newest = '';
  const asWritten = (line: string) =>
    line
      .replaceAll('classify-primary-00001', serves)
      .replaceAll('classify-primary-00002', newest)
      .replace(/registry\.example\/\S+/, image)
      .replace('--namespace understudy', `--namespace ${namespace}`)
      .replaceAll('.understudy.', `.${namespace}.`)
      .replaceAll('127.0.0.1:8081', `127.0.0.1:${port}`)
      .replace('8081:80', `${port}:80`)
      .replace(/^k6 /, `${k6} `)
      .replace(/SECONDS=\d+/, `SECONDS=${seconds}`);
  const perform = async (line: string) => {
    const { code, stdout, stderr } = await run('sh', ['-c', asWritten(line)], {
      withinMs,
      env: { SUMMARY: '/dev/null' }, // k6 would leave it here
    });
    if (code !== 0) throw new Error(`${line}\n${stdout}${stderr}`);
    const settled = await until('the routing', async () => {
      const now = await state();
      return now.isRouted ? now : undefined;
    });
    if (/ --image .* --wait-timeout /.test(line)) newest = settled.revisions[0]?.name ?? '';
  };
  const isDropping = (line: string) => line.endsWith('--untag candidate --no-wait');
  const [forward = '', ...rest] = lines;
  const made = rest.slice(rest.findIndex((line) => / --image .* --wait-timeout /.test(line)));
  const dropped = made.findIndex(isDropping);

  expect(forward).toMatch(/^kubectl port-forward /);
  const forwarded = await forwardAsWritten(asWritten(forward));
  try {
    for (const line of rest.slice(0, rest.indexOf(made[0] as string))) await perform(line);
    // First a candidate that is dropped; then another one, without the lines that drop it.
    for (const line of made.slice(0, dropped + 2)) await perform(line);
    expect(taggedOf(await state(), 'candidate')).toBeUndefined();
    for (const line of made.filter((_, index) => index !== dropped && index !== dropped + 1)) await perform(line);
  } finally {
    await forwarded.close();
  }
}
