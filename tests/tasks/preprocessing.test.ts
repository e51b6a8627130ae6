import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { toTensor } from '../../functions/tasks/classify/tensor.ts';
import { decodeImage } from '../../functions/tasks/image/image.ts';

interface Case {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly resize: number;
  readonly crop: number;
  readonly kernel: 'linear' | 'cubic';
  /** RGB bytes row by row, deflated, in base64. */
  readonly pixels: string;
}

interface Reference {
  readonly cases: readonly Case[];
  readonly tensor: { readonly name: string; readonly resize: number; readonly crop: number; readonly values: number[] };
}

// Relative to the repository, because the pictures are not copied into dist.
const folder = join('tests', 'tasks', 'preprocessing');
const reference = JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as Reference;
const maxPixels = 40_000_000;

/** Mean and largest absolute difference, in levels of 255. */
function difference(actual: Uint8Array, expected: Uint8Array): { mean: number; max: number } {
  const differences = Array.from(actual, (value, i) => Math.abs(value - (expected[i] as number)));
  return {
    mean: differences.reduce((sum, value) => sum + value, 0) / differences.length,
    max: Math.max(...differences),
  };
}

async function differenceOf({ name, width, height, resize, crop, kernel, pixels }: Case) {
  const image = await decodeImage(readFileSync(join(folder, name)), { resize, crop, kernel }, maxPixels);
  const expected = inflateSync(Buffer.from(pixels, 'base64'));
  expect([image.sourceWidth, image.sourceHeight]).toEqual([width, height]);
  expect(image.pixels.data).toHaveLength(expected.length);
  return difference(image.pixels.data, expected);
}

const isLarge = ({ name }: Case) => name.startsWith('large');

describe('preprocessing', () => {
  it.each(reference.cases.filter((example) => !isLarge(example)))(
    'makes the same pixels of $name as torchvision, $kernel',
    async (example) => {
      // Measured: 0. One level is left for JPEG and WebP decoders that round otherwise on another processor.
      const { mean, max } = await differenceOf(example);

      expect(mean).toBeLessThanOrEqual(0.05);
      expect(max).toBeLessThanOrEqual(1);
    },
  );

  it.each(reference.cases.filter(isLarge))(
    'makes nearly the same pixels of $name, reduced before, as torchvision, $kernel',
    async (example) => {
      // Measured: 0.04 and 1 (JPEG), 0.10 and 2 (WebP), with either kernel.
      const { mean, max } = await differenceOf(example);

      expect(mean).toBeLessThanOrEqual(0.15);
      expect(max).toBeLessThanOrEqual(3);
    },
  );

  it('makes the same normalized tensor as torchvision', async () => {
    const { name, resize, crop, values } = reference.tensor;
    const { pixels } = await decodeImage(readFileSync(join(folder, name)), { resize, crop }, maxPixels);

    const tensor = toTensor(pixels, {
      elementType: 'float32',
      layout: 'NCHW',
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    });

    const largest = Math.max(...values.map((value, i) => Math.abs(value - (tensor.data[i] as number))));
    expect(tensor.dims).toEqual([1, 3, crop, crop]);
    expect(tensor.data).toHaveLength(values.length);
    // One level of 255 is 0.0171 to 0.0175 here; anything systematic would be more than a tenth of it.
    expect(largest).toBeLessThan(0.0017);
  });
});
