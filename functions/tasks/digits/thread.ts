import type { TaskThread } from '../../core/task.ts';
import { proveLogits, readLogits } from '../image/logits.ts';
import type { Picture } from '../image/whole.ts';
import type { DigitModel } from './card.ts';
import { digitOf } from './digit.ts';
import { frameSide } from './frame.ts';
import { goldenPicture } from './golden.ts';
import { isNoDigit } from './probabilities.ts';
import { noDigit } from './problems.ts';

/** A picture to its logits; the digit in it is looked for here, off the event loop. */
export const thread: TaskThread<DigitModel, Float32Array, Picture> = {
  prepare(picture, _details, former) {
    const data = (former?.[0]?.data as Float32Array | undefined) ?? new Float32Array(frameSide ** 2);
    for (const [at, level] of digitOf(picture).entries()) data[at] = level / 255;
    return [{ elementType: 'float32', data, dims: [1, 1, frameSide, frameSide] }];
  },
  read(outputs) {
    const logits = readLogits(outputs);
    if (isNoDigit(logits)) throw noDigit('a figure that is none');
    return logits;
  },
  golden() {
    const picture = goldenPicture();
    // The first time takes five times as long as those that follow. What the golden case takes is what the pool expects of the next runs.
    digitOf(picture);
    return picture;
  },
  prove: (logits, { golden }) => proveLogits(logits, golden),
};
