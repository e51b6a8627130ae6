import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ModelSpec } from '../card/card.ts';
import type { Log } from '../observe/log.ts';
import type { Choosing } from './choice.ts';
import type { Place, ServedModel } from './place.ts';

export interface ReloadOptions {
  readonly places: readonly Place[];
  /** Reads the folders as they are now. */
  readonly choose: () => Choosing;
  /** Settles when the models of the start have loaded or failed. */
  readonly started: Promise<void>;
  /** A model for a place, its workers not started yet. */
  readonly prepare: (place: Place, spec: ModelSpec) => ServedModel;
  /** Ends the workers of a model that is in no place, once the last request that began with it has its answer. */
  readonly retire: (model: ServedModel) => Promise<void>;
  readonly isClosing: () => boolean;
  /** How long a model may load, at the start as well. */
  readonly loadMs: number;
  readonly log: Log;
}

/**
 * What it returns reads the folders again, the last place's first. A model whose card or files have changed is loaded beside the one that
 * is served, and takes its place when all of its workers have passed the golden case. Requests that began before end with the model they
 * began with. A folder that must not be served is refused, and the former model stays. Only one model is loaded at a time. A call amid
 * a reading is followed by another reading; all settle when there is nothing left to read, and never reject.
 */
export function createReload(options: ReloadOptions): () => Promise<void> {
  const { places, started, loadMs, isClosing, log } = options;
  let reading: Promise<void> | undefined;
  let isAsked = false;

  async function readAll(): Promise<void> {
    await Promise.race([started, sleep(loadMs, undefined, { ref: false })]);
    while (isAsked && !isClosing()) {
      isAsked = false;
      for (const place of places.toReversed()) {
        await readPlace(options, place).catch((error) =>
          log('error', 'model folder not read', { model: place.choice.folder, error }),
        );
      }
    }
    reading = undefined;
  }

  return () => {
    isAsked = true;
    reading ??= readAll();
    return reading;
  };
}

async function readPlace(options: ReloadOptions, place: Place): Promise<void> {
  const { choose, prepare, retire, isClosing, log } = options;
  const { choice } = place;
  const choosing = choose();
  for await (const spec of choosing.again(choice)) {
    if (isClosing()) return;
    const { name, version, variant } = spec;
    if (place.model?.pool.isReady() && isDeepStrictEqual(spec, place.model.spec)) {
      log('info', 'model unchanged', { model: name, version, variant });
      return;
    }
    const model = prepare(place, spec);
    const fault = await load(options, model);
    if (isClosing()) return;
    if (fault === undefined) {
      put(options, place, model);
      return;
    }
    choosing.refuse(spec, fault);
    retire(model);
  }
  if (!place.model) return;
  const { name, version } = place.model.spec;
  log('warn', 'former model stays', { model: name, version });
}

/** Settles when all workers can serve, or with the reason why they cannot. */
async function load({ loadMs }: ReloadOptions, { pool, spec: { path } }: ServedModel): Promise<string | undefined> {
  const late = new AbortController();
  const tooLong = sleep(loadMs, `${path}: Expected workers within ${loadMs} ms but received none`, late).catch(
    () => '',
  );
  pool.start();
  const fault = await Promise.race([pool.untilWhole(), tooLong]);
  late.abort();
  return fault;
}

/** From here on requests begin with this model. */
function put({ retire, log }: ReloadOptions, place: Place, model: ServedModel): void {
  const former = place.model;
  place.model = model;
  const { name, version, variant } = model.spec;
  log('info', 'model swapped', { model: name, version, variant, former: former?.spec.version });
  if (former)
    retire(former).then(() => log('info', 'former model closed', { model: name, version: former.spec.version }));
}
