import type { Picture } from '../image/whole.ts';
import { giveAllBack } from './arena.ts';
import { findFigure } from './figure.ts';
import { asFramed, frame } from './frame.ts';
import { inkOf } from './ink.ts';

/**
 * The digit that a picture shows in MNIST's form, 28x28 bytes, light on black; a picture that has this form gives its own pixels.
 * @throws Problem IMAGE_NO_DIGIT
 */
export function digitOf(picture: Picture): Uint8Array {
  const framed = asFramed(picture);
  if (framed) return framed;
  giveAllBack();
  return frame(findFigure(inkOf(picture)));
}
