import { describe, expect, it } from '@jest/globals';
import { goldenPixels, toTensor } from '../../functions/tasks/classify/tensor.ts';

const twoPixels = { data: Uint8Array.of(0, 51, 255, 102, 204, 1), width: 2, height: 1 };
const mean = [0.5, 0.25, 0];
const std = [0.5, 0.25, 2];

/** Each table is one the test can tell from the others. */
const lookup = [1, 2, 3].map((step) => Array.from({ length: 256 }, (_, value) => (value + step) % 256));

describe('toTensor', () => {
  it('normalizes to float32, one channel after the other', () => {
    const tensor = toTensor(twoPixels, { elementType: 'float32', layout: 'NCHW', mean, std });

    const expected = [-1, -0.2, -0.2, 2.2, 0.5, 1 / 510];
    expect(tensor).toMatchObject({ elementType: 'float32', dims: [1, 3, 1, 2] });
    expect(Array.from(tensor.data)).toEqual(expected.map((value) => expect.closeTo(value, 6)));
  });

  it('normalizes to float32, pixel by pixel', () => {
    const tensor = toTensor(twoPixels, { elementType: 'float32', layout: 'NHWC', mean, std });

    const expected = [-1, -0.2, 0.5, -0.2, 2.2, 1 / 510];
    expect(tensor).toMatchObject({ elementType: 'float32', dims: [1, 1, 2, 3] });
    expect(Array.from(tensor.data)).toEqual(expected.map((value) => expect.closeTo(value, 6)));
  });

  it.each([
    ['NCHW', [1, 2 / 255 - 1, -0.2, 2.2, 0, 0.2]],
    ['NHWC', [1, -0.2, 0, 2 / 255 - 1, 2.2, 0.2]],
  ] as const)('takes blue first, with the first mean and std, for float32 of BGR in %s', (layout, expected) => {
    const tensor = toTensor(twoPixels, { elementType: 'float32', layout, channels: 'BGR', mean, std });

    expect(Array.from(tensor.data)).toEqual(expected.map((value) => expect.closeTo(value, 6)));
  });

  it('takes blue first for uint8 in BGR, by the first table', () => {
    const plain = toTensor(twoPixels, { elementType: 'uint8', layout: 'NHWC', channels: 'BGR' });
    const byTables = toTensor(twoPixels, { elementType: 'uint8', layout: 'NHWC', channels: 'BGR', lookup });

    expect(Array.from(plain.data)).toEqual([255, 51, 0, 1, 204, 102]);
    expect(Array.from(byTables.data)).toEqual([0, 53, 3, 2, 206, 105]);
  });

  it('gives values from 0 to 1 where the recipe has neither mean nor std', () => {
    const tensor = toTensor(twoPixels, { elementType: 'float32', layout: 'NHWC' });

    expect(Array.from(tensor.data, (value) => Math.round(value * 255))).toEqual([0, 51, 255, 102, 204, 1]);
  });

  it.each([
    ['NHWC', [1, 1, 2, 3], [0, 51, 255, 102, 204, 1]],
    ['NCHW', [1, 3, 1, 2], [0, 102, 51, 204, 255, 1]],
  ] as const)('keeps the bytes for uint8 in %s', (layout, dims, expected) => {
    const tensor = toTensor(twoPixels, { elementType: 'uint8', layout });

    expect(tensor).toEqual({ elementType: 'uint8', dims, data: Uint8Array.from(expected) });
  });

  it.each([
    ['NHWC', [1, 53, 2, 103, 206, 4]],
    ['NCHW', [1, 103, 53, 206, 2, 4]],
  ] as const)('looks bytes up in the table of their channel for uint8 in %s', (layout, expected) => {
    const tensor = toTensor(twoPixels, { elementType: 'uint8', layout, lookup });

    expect(tensor.data).toEqual(Uint8Array.from(expected));
  });

  it('writes into the memory of a former tensor', () => {
    const recipe = { elementType: 'float32', layout: 'NCHW', mean, std } as const;
    const former = toTensor({ ...twoPixels, data: new Uint8Array(6) }, recipe);

    const tensor = toTensor(twoPixels, recipe, former);

    expect(tensor.data).toBe(former.data);
    expect(tensor).toEqual(toTensor(twoPixels, recipe));
  });

  it.each(['float32', 'uint8'] as const)(
    'gives %s data that is neither the pixels nor a part of a longer buffer',
    (elementType) => {
      const tensor = toTensor(twoPixels, { elementType, layout: 'NHWC' });

      expect(tensor.data.buffer).not.toBe(twoPixels.data.buffer);
      expect(tensor.data.byteLength).toBe(tensor.data.buffer.byteLength);
    },
  );
});

describe('goldenPixels', () => {
  it('fills the square with the documented bytes', () => {
    const { data, width, height } = goldenPixels(8);

    expect([width, height, data.length]).toEqual([8, 8, 192]);
    expect([...data.subarray(0, 3)]).toEqual([0, 167, 78]);
    expect([...data.subarray(63, 66)]).toEqual([(167 * 63) % 256, (167 * 64 + 59) % 256, (167 * 65 + 59) % 256]);
    expect(data[191]).toBe((167 * 191 + 59 * 2) % 256);
  });
});
