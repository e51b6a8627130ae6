import type { ModelError, ModelSpec } from '../card/card.ts';
import type { ModelChoice } from '../config.ts';
import type { Choosing } from './choice.ts';
import { type Place, prepareModel, type ServedModel, type WorkerOptions } from './place.ts';
import { createReload } from './reload.ts';

export interface LanesOptions extends WorkerOptions {
  /** In the order in which the models should answer. */
  readonly choices: readonly ModelChoice[];
  /** Reads the folders as they are now. */
  readonly choose: () => Choosing;
  /** Called when the lead model cannot answer any more: refused, taken out, or without a worker. */
  readonly onLost: () => void;
  /** Longest load of a model that should take the place of another. @default 60000 */
  readonly loadMs?: number;
}

/** The models of a function with their workers. */
export interface Lanes {
  /** Those that are served now, the lead model first. */
  models(): readonly [ServedModel, ...ServedModel[]];
  /** Whether the first of the models is the chosen lead model. */
  isLeading(): boolean;
  /** Whether a model is not asked after repeated failures, since another one answers in its place. */
  isTakenOut(model: ServedModel): boolean;
  /** Folders of the chosen models that cannot answer now. */
  missing(): readonly string[];
  /** Settles with the reasons as soon as no model can ever answer any more, else never. */
  readonly lost: Promise<ModelError>;
  /** Reads the folders again and serves what has changed in them: see createReload. */
  reload(): Promise<void>;
  /** Ends the workers once they are idle. */
  close(): Promise<void>;
}

interface State extends LanesOptions {
  readonly choosing: Choosing;
  /** In the order of the choices. */
  readonly places: readonly Place[];
  /** All whose workers have not ended, in a place or not. */
  readonly open: Set<ServedModel>;
  markLost(fault: ModelError): void;
}

/** Where a core is short, a standby model gives way to the event loop and the decoders, which have 0 and 5, and the lead model to all. */
const niceness = { lead: 15, last: 10 };

/** A gigabyte from a slow disk is there by then. */
const longestLoadMs = 60_000;

/**
 * Starts the models' workers, the last model's first: it is the smallest and answers while the others load. Of each folder the best file
 * is served that this processor may run and that is what its card says. A folder without one gives way to the embedded model, or is
 * left out.
 * @throws ModelError when no folder is left
 */
export function createLanes(options: LanesOptions): Lanes {
  const { choices, choose, onLost } = options;
  const choosing = choose();
  const places = choices.map((choice): Place => ({ choice, others: choosing.list(choice), model: undefined }));
  let markLost: (fault: ModelError) => void = () => {};
  const lost = new Promise<ModelError>((resolve) => {
    markLost = resolve;
  });
  const state: State = { ...options, choosing, places, open: new Set(), markLost: (fault) => markLost(fault) };
  for (const place of places) place.model = prepareNext(state, place);
  if (state.open.size === 0) throw choosing.fault();
  if (!isLeading(state)) onLost();
  let isClosing = false;
  const reload = createReload({
    loadMs: longestLoadMs,
    ...options,
    places,
    started: startAll(state),
    prepare: (place, spec) => prepare(state, place, spec),
    retire: (model) => retire(state, model),
    isClosing: () => isClosing,
  });
  return {
    models: () => modelsOf(state) as unknown as ReturnType<Lanes['models']>,
    isLeading: () => isLeading(state),
    isTakenOut: (model) => isTakenOut(state, model),
    missing() {
      const serving = modelsOf(state).filter((model) => canServe(state, model));
      return choices
        .map(({ folder }) => folder)
        .filter((folder) => !serving.some(({ spec }) => spec.folder === folder));
    },
    lost,
    reload,
    close: async () => {
      isClosing = true;
      await Promise.all([...state.open].map(({ pool }) => pool.close()));
    },
  };
}

async function startAll({ places }: State): Promise<void> {
  for (const place of places.toReversed()) await start(place);
}

/** Settles when a file serves or the last one is refused. */
async function start(place: Place): Promise<void> {
  let model: ServedModel | undefined;
  while (model !== place.model) {
    model = place.model;
    await model?.pool.start();
  }
}

function modelsOf({ places }: State): readonly ServedModel[] {
  return places.flatMap(({ model }) => model ?? []);
}

function isLeading({ places: [lead] }: State): boolean {
  return lead !== undefined && lead.model?.spec.folder === lead.choice.folder;
}

function isTakenOut(state: State, model: ServedModel): boolean {
  const models = modelsOf(state);
  const others = models.slice(models.indexOf(model) + 1);
  return !model.breaker.isClosed() && others.some(({ pool }) => pool.isReady());
}

/** Whether it can be expected to answer: loaded, not taken out, and not all of its workers lost to runs that overstay. */
function canServe(state: State, model: ServedModel): boolean {
  const { workers, abandoned } = model.pool.counts();
  return model.pool.isReady() && !isTakenOut(state, model) && abandoned < workers;
}

function prepare(state: State, place: Place, spec: ModelSpec): ServedModel {
  const { places, open, onLost } = state;
  const model = prepareModel({
    ...state,
    place,
    spec,
    niceness: place === places.at(-1) ? niceness.last : niceness.lead,
    isBacked: () => model !== modelsOf(state).at(-1),
    onTrouble: () => model === modelsOf(state)[0] && onLost(),
    onRefused: (cause) => replace(state, place, cause),
  });
  open.add(model);
  return model;
}

/** The next file for a place; undefined where there is none. */
function prepareNext(state: State, place: Place): ServedModel | undefined {
  const spec = place.others.next().value;
  return spec && prepare(state, place, spec);
}

/** Puts the next file in the place of one that has turned out not to be what its card says. */
function replace(state: State, place: Place, cause: string): void {
  const { choosing, onLost } = state;
  const former = place.model as ServedModel;
  const isFirst = former === modelsOf(state)[0];
  choosing.refuse(former.spec, cause);
  const next = prepareNext(state, place);
  if (next) {
    place.model = next;
    start(place);
    retire(state, former);
  }
  if (isFirst && !(next && isLeading(state))) onLost();
  if (modelsOf(state).every(({ pool }) => pool.refusal() !== undefined)) state.markLost(choosing.fault());
}

/** Ends a model that is in no place, once the last request that began with it has its answer. */
async function retire({ open }: State, model: ServedModel): Promise<void> {
  const { holds, pool } = model;
  await holds.untilNone();
  await pool.close();
  open.delete(model);
}
