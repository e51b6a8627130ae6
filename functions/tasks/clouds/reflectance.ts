import { type Patch, planeOf, requiredBands, validityOf } from './patch.ts';
import { unsupported } from './refusal.ts';

export type Numbers = Uint16Array | Int16Array | Float32Array;

/** Reflectance is below 1 but for glint and clouds in the sun; numbers of a product are a hundred times that and more. */
const brightest = 3;

/**
 * Turns the numbers of a file's bands into a patch's planes. A pixel has no data where one of its numbers is none or the file's "no data",
 * or where all are 0, as Sentinel-2 marks it; "no data" of 0 itself means the latter, since single bands of dark pixels reach 0.
 * @throws Problem IMAGE_UNSUPPORTED for floats that are no reflectance
 */
export function fillPlanes(
  patch: Pick<Patch, 'data' | 'width' | 'height' | 'bands'>,
  numbers: readonly Numbers[],
  { noData, offset }: { readonly noData: number; readonly offset: number },
): void {
  const validity = validityOf(patch);
  const isFloat = numbers[0] instanceof Float32Array;
  const none = isFloat ? Math.fround(noData) : noData;
  for (const band of numbers) {
    for (let i = 0; i < validity.length; i += 1) if (band[i] !== 0) validity[i] = 1;
  }
  for (const band of numbers) {
    for (let i = 0; i < validity.length; i += 1) {
      const number = band[i] as number;
      if (!Number.isFinite(number) || (number === none && number !== 0)) validity[i] = 0;
    }
  }
  if (isFloat) checkFloats(numbers.slice(0, requiredBands.length), validity);
  const scale = isFloat ? 10_000 : 1;
  for (const [index, name] of patch.bands.entries()) {
    const band = numbers[index] as Numbers;
    const plane = planeOf(patch, name) as Uint16Array;
    for (let i = 0; i < plane.length; i += 1) {
      if (validity[i] === 1) plane[i] = Math.min(65_535, Math.max(0, Math.round((band[i] as number) * scale) - offset));
    }
  }
}

function checkFloats(numbers: readonly Numbers[], validity: Uint8Array): void {
  let [bright, valid] = [0, 0];
  for (const band of numbers) {
    for (let i = 0; i < validity.length; i += 1) {
      if (validity[i] === 0) continue;
      valid += 1;
      if ((band[i] as number) > brightest) bright += 1;
    }
  }
  if (2 * bright <= valid) return;
  throw unsupported('reflectance of 0 to about 1 in bands of float32', `numbers above ${brightest} in most pixels`);
}
