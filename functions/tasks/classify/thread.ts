import type { TaskThread, Values } from '../../core/task.ts';
import type { ImageModel } from '../image/card.ts';
import type { Pixels } from '../image/image.ts';
import { goldenPixels, toTensor } from './tensor.ts';

/** @throws Error for values that are no logits */
export function readLogits([logits]: readonly Values[]): Float32Array {
  if (!(logits instanceof Float32Array)) throw new Error('Expected float32 for the logits but received another type');
  const strange = logits.find((logit) => !Number.isFinite(logit));
  if (strange !== undefined) throw new Error(`Expected numbers for the logits but received ${strange}`);
  return logits;
}

/** Pixels to logits, one run of the graph each. */
export const thread: TaskThread<ImageModel, Float32Array, Pixels> = {
  prepare: (pixels, { input }, former) => [toTensor(pixels, input, former?.[0])],
  read: readLogits,
  golden: ({ input }) => goldenPixels(input.crop),
  prove(received, { golden: { logits, tolerance } }) {
    if (received.length !== logits.length) {
      throw new Error(`Expected ${logits.length} logits for the golden case but received ${received.length}`);
    }
    const off = logits.findIndex((logit, index) => !(Math.abs(logit - (received[index] as number)) <= tolerance));
    if (off === -1) return;
    throw new Error(`Expected ${logits[off]} for logit ${off} of the golden case but received ${received[off]}`);
  },
};
