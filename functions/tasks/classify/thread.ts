import type { TaskThread } from '../../core/task.ts';
import type { ImageModel } from '../image/card.ts';
import type { Pixels } from '../image/image.ts';
import { proveLogits, readLogits } from '../image/logits.ts';
import { goldenPixels, toTensor } from './tensor.ts';

/** Pixels to logits, one run of the graph each. */
export const thread: TaskThread<ImageModel, Float32Array, Pixels> = {
  prepare: (pixels, { input }, former) => [toTensor(pixels, input, former?.[0])],
  read: readLogits,
  golden: ({ input }) => goldenPixels(input.crop),
  prove: (logits, { golden }) => proveLogits(logits, golden),
};
