import type { TaskThread, Values } from '../../core/task.ts';
import { proveLogits } from '../image/logits.ts';
import type { CloudsInput, CloudsModel } from './card.ts';
import { toTensors } from './channels.ts';
import { goldenPatch, sampleLogits } from './golden.ts';
import { toRows, toRuns } from './json.ts';
import { classify, dilate, type Fractions, measure } from './mask.ts';
import type { Patch } from './patch.ts';
import { toPng } from './png.ts';
import { toTiff } from './tiff.ts';
import { joinTiles, planTiles, repeatScores } from './tiles.ts';

/** A mask as it is to be answered; the body is made here, since it takes milliseconds that the event loop does not have. */
export interface Answered extends Fractions {
  readonly width: number;
  readonly height: number;
  /** The mask's JSON, a whole picture, or the golden case's logits. */
  readonly body: Uint8Array;
}

/** Scores of the whole patch at 10 m, [3, height, width]: its logits, or probabilities that tiles share. @throws Error for values that are no logits */
function readScores(outputs: readonly Values[], patch: Patch, input: CloudsInput): Float32Array {
  const plan = planTiles(patch.width, patch.height, input);
  const runs = outputs.map((output) => checkLogits(output, 3 * plan.tileWidth * plan.tileHeight));
  const scores = joinTiles(runs, plan);
  return input.meters === 20 ? repeatScores(scores, plan, patch) : scores;
}

function checkLogits(values: Values, length: number): Float32Array {
  if (!(values instanceof Float32Array)) throw new Error('Expected float32 for the logits but received another type');
  if (values.length !== length) throw new Error(`Expected ${length} logits but received ${values.length}`);
  let sum = 0;
  for (const value of values) sum += value; // a double: no sum of such floats is infinite
  if (!Number.isFinite(sum)) throw new Error('Expected numbers for the logits but received something else');
  return values;
}

function encodeMask(mask: Uint8Array, patch: Patch, scores: Float32Array): Uint8Array {
  switch (patch.form) {
    case 'json':
      return toRows(mask, patch);
    case 'rle':
      return toRuns(mask);
    case 'png':
      return toPng(mask, patch);
    case 'tiff':
      return toTiff(mask, patch, patch.georeference);
    case 'logits':
      return new Uint8Array(sampleLogits(scores, patch).buffer);
  }
}

/** Patch to mask, by a run of the graph for each tile. */
export const thread: TaskThread<CloudsModel, Answered, Patch> = {
  prepare: (patch, { input }, former) => toTensors(patch, input, former),
  read(outputs, { input }, patch) {
    const { width, height } = patch;
    const scores = readScores(outputs, patch, input);
    const mask = dilate(classify(scores, patch), patch, patch.dilate);
    return { width, height, ...measure(mask), body: encodeMask(mask, patch, scores) };
  },
  golden: ({ input }) => goldenPatch(input),
  prove: ({ body }, { golden }) => proveLogits(new Float32Array(body.buffer), golden),
};
