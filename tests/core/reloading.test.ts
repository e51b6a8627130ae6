import { describe, expect, it } from '@jest/globals';
import type { Choosing } from '../../functions/core/chain/choice.ts';
import type { Place, ServedModel } from '../../functions/core/chain/place.ts';
import { createReload } from '../../functions/core/chain/reload.ts';
import { specOf } from '../support/chain.ts';

/** A place with version 1, whose folder has what `read` gives, and whose new models load as `load` says. */
function makeReload(
  read: () => readonly string[],
  load: (version: string) => Promise<string | undefined> = async () => undefined,
) {
  const modelOf = (version: string) => {
    const pool = { isReady: () => true, start: async () => {}, untilWhole: () => load(version) };
    return { spec: { ...specOf('small'), version }, pool } as unknown as ServedModel;
  };
  const place = { choice: { folder: 'small', embedded: 'small' }, model: modelOf('1') } as Place;
  const lines: string[] = [];
  const retired: string[] = [];
  let readings = 0;
  const choosing = {
    async *again() {
      readings += 1;
      for (const version of read()) yield modelOf(version).spec;
    },
    refuse: (_spec: unknown, cause: string) => lines.push(cause),
  };
  let start = () => {};
  const reload = createReload({
    places: [place],
    choose: () => choosing as unknown as Choosing,
    started: new Promise<void>((resolve) => {
      start = resolve;
    }),
    prepare: (_place, { version }) => modelOf(version),
    retire: async ({ spec }) => void retired.push(spec.version),
    isClosing: () => false,
    loadMs: 20,
    log: (_severity, message) => void lines.push(message),
  });
  return { reload, start, lines, retired, readings: () => readings, served: () => place.model?.spec.version };
}

describe('createReload', () => {
  it('reads nothing before the models of the start have loaded', async () => {
    const { reload, start, readings, served } = makeReload(() => ['2']);
    const ends = [reload(), reload(), reload()];
    expect(readings()).toBe(0);

    start();
    await Promise.all(ends);

    expect([readings(), served()]).toEqual([1, '2']);
  });

  it('reads once more for all calls that come amid a reading', async () => {
    let versions = ['2'];
    const { reload, start, readings, served, retired } = makeReload(
      () => versions,
      async (version) => {
        if (version !== '2') return undefined;
        versions = ['3'];
        reload();
        reload();
        return undefined;
      },
    );
    start();

    await reload();

    expect([readings(), served(), retired]).toEqual([2, '3', ['1', '2']]);
  });

  it('refuses a model that does not load in time, and ends it', async () => {
    const { reload, start, lines, served, retired } = makeReload(
      () => ['2'],
      () => new Promise(() => {}),
    );
    start();

    await reload();

    expect(lines).toEqual([expect.stringMatching(/Expected workers within 20 ms/), 'former model stays']);
    expect([served(), retired]).toEqual(['1', ['2']]);
  });

  it('takes the next file of the folder where one is refused, unless that is served already', async () => {
    const load = async (version: string) => (version === '2' ? 'refused' : undefined);
    const next = makeReload(() => ['2', '3'], load);
    const same = makeReload(() => ['2', '1'], load);
    for (const { start, reload } of [next, same]) {
      start();
      await reload();
    }

    expect([next.served(), next.lines.slice(0, 2)]).toEqual(['3', ['refused', 'model swapped']]);
    expect([same.served(), same.lines]).toEqual(['1', ['refused', 'model unchanged']]);
  });

  it('logs a defect and reads again when it is asked to', async () => {
    let isDefect = true;
    const { reload, start, lines, served } = makeReload(() => {
      if (isDefect) throw new Error('a defect');
      return ['2'];
    });
    start();
    await reload();
    expect([lines, served()]).toEqual([['model folder not read'], '1']);

    isDefect = false;
    await reload();

    expect(served()).toBe('2');
  });
});
