import type { TaskThread } from '../../core/task.ts';
import type { ImageModel } from '../image/card.ts';
import type { Pixels } from '../image/image.ts';
import { proveLogits, readLogits } from '../image/logits.ts';
import { imageProblem } from '../image/problems.ts';
import { type PlainJpeg, reduceJpeg } from '../image/reduce.ts';
import type { ImageRecipe } from '../image/resize.ts';
import { goldenPixels, toTensor } from './tensor.ts';

export type ClassifyInput = (Pixels | PlainJpeg) & {
  /** Whether the embedding is wanted as well. */
  readonly withFeatures?: boolean;
};

export interface ClassifyOutput {
  readonly logits: Float32Array;
  /** The embedding, where it was wanted and the model has one. */
  readonly features?: Float32Array;
}

/** Pixels to logits, one run of the graph each. The golden case asks for the embedding as well, so that its output is known to be there. */
export const thread: TaskThread<ImageModel, ClassifyOutput, ClassifyInput> = {
  prepare: (picture, { input }, former) => [toTensor(pixelsOf(picture, input), input, former?.[0])],
  further: ({ withFeatures }, { features }) => (withFeatures && features ? [features.name] : []),
  read([logits, features]) {
    const read = readLogits([logits as Float32Array]);
    return features === undefined ? { logits: read } : { logits: read, features: readLogits([features], 'features') };
  },
  golden: ({ input, features }) => ({ ...goldenPixels(input.crop), withFeatures: features !== undefined }),
  prove: ({ logits }, { golden }) => proveLogits(logits, golden),
};

/** @throws Problem IMAGE_UNREADABLE for a JPEG of which libvips may still make something */
function pixelsOf(picture: ClassifyInput, recipe: ImageRecipe): Pixels {
  if (!('isEncoded' in picture)) return picture;
  const pixels = reduceJpeg(picture, recipe);
  if (!pixels)
    throw imageProblem('IMAGE_UNREADABLE', 'Expected a JPEG without faults for the image but received one with some');
  return pixels;
}
