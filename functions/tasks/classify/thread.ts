import type { TaskThread } from '../../core/task.ts';
import type { ImageModel } from '../image/card.ts';
import type { Pixels } from '../image/image.ts';
import { proveLogits, readLogits } from '../image/logits.ts';
import { goldenPixels, toTensor } from './tensor.ts';

export interface ClassifyInput extends Pixels {
  /** Whether the embedding is wanted as well. */
  readonly withFeatures?: boolean;
}

export interface ClassifyOutput {
  readonly logits: Float32Array;
  /** The embedding, where it was wanted and the model has one. */
  readonly features?: Float32Array;
}

/** Pixels to logits, one run of the graph each. The golden case asks for the embedding as well, so that its output is known to be there. */
export const thread: TaskThread<ImageModel, ClassifyOutput, ClassifyInput> = {
  prepare: (pixels, { input }, former) => [toTensor(pixels, input, former?.[0])],
  further: ({ withFeatures }, { features }) => (withFeatures && features ? [features.name] : []),
  read([logits, features]) {
    const read = readLogits([logits as Float32Array]);
    return features === undefined ? { logits: read } : { logits: read, features: readLogits([features], 'features') };
  },
  golden: ({ input, features }) => ({ ...goldenPixels(input.crop), withFeatures: features !== undefined }),
  prove: ({ logits }, { golden }) => proveLogits(logits, golden),
};
