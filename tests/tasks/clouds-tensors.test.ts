import { describe, expect, it } from '@jest/globals';
import type { CloudsInput, CloudsModel } from '../../functions/tasks/clouds/card.ts';
import { toTensors } from '../../functions/tasks/clouds/channels.ts';
import { goldenPatch } from '../../functions/tasks/clouds/golden.ts';
import { planeOf } from '../../functions/tasks/clouds/patch.ts';
import { type Answered, thread } from '../../functions/tasks/clouds/thread.ts';
import { createRandom } from '../../models/random.ts';
import { inputOf, type Planes, patchOf } from '../support/planes.ts';

/** Numbers of 0 to 9,999, other in each band. */
function noise(seed: number): (pixel: number) => number {
  const random = createRandom(seed, 0);
  const numbers = Array.from({ length: 70_000 }, () => random.below(10_000));
  return (pixel) => numbers[pixel] as number;
}

const bands = { B02: noise(1), B03: noise(2), B04: noise(3), B08: noise(4) };
const swir = { B11: noise(5), B12: noise(6) };

const modelOf = (input: CloudsInput): CloudsModel => ({ input, golden: { logits: [], tolerance: 1 } });

/** Logits of a graph that looks at one pixel alone: B02, B03 and B04 as clear, cloud and shadow. */
function answerAlone(planes: Planes, input: CloudsInput): Answered {
  const patch = patchOf(planes);
  const tensors = thread.prepare(patch, modelOf(input));
  const outputs = tensors.map(({ data, dims }) => data.slice(0, 3 * (dims[2] as number) * (dims[3] as number)));
  return thread.read(outputs as Float32Array[], modelOf(input), patch);
}

const textOf = ({ body }: Answered) => Buffer.from(body).toString();

describe('the tensor of a whole patch', () => {
  it('holds normalized reflectance, band after band', () => {
    const input = inputOf({ bands: ['B04', 'B02'], mean: [0.1, 0.2], std: [0.5, 0.25] });

    const [tensor] = toTensors(patchOf({ width: 64, height: 65, bands }), input);

    expect(tensor?.dims).toEqual([1, 2, 65, 64]);
    for (const [channel, band] of [bands.B04, bands.B02].entries()) {
      for (const pixel of [0, 1, 64, 4159]) {
        const [mean, std] = [input.mean[channel] as number, input.std[channel] as number];
        const expected = Math.fround((band(pixel) / 10_000 - mean) / std);
        expect(tensor?.data[channel * 64 * 65 + pixel]).toBe(expected);
      }
    }
  });

  it.each([
    [64, 64],
    [65, 80],
    [79, 80],
    [80, 80],
    [81, 96],
  ])('of %d pixels a side has %d where that must be a multiple of 16, filled by its mirror image', (side, expected) => {
    const [tensor] = toTensors(patchOf({ width: side, height: 64, bands }), inputOf({ multiple: 16 }));

    expect(tensor?.dims).toEqual([1, 4, 64, expected]);
    for (let i = 0; i < expected - side; i += 1) {
      expect(tensor?.data[expected + side + i]).toBe(tensor?.data[expected + side - 1 - i]);
    }
  });

  it('has 0 in all optional channels and the flag where one of these bands is missing', () => {
    const input = inputOf({
      optional: ['B11', 'B12'],
      flag: true,
      mean: [0, 0, 0, 0, 0.5, 0.5],
      std: Array(6).fill(2),
    });
    const pixels = 64 * 64;
    const tailOf = (more: Planes['bands']) => {
      const [tensor] = toTensors(patchOf({ width: 64, height: 64, bands: { ...bands, ...more } }), input);
      expect(tensor?.dims).toEqual([1, 7, 64, 64]);
      return tensor?.data.subarray(4 * pixels) as Float32Array;
    };

    expect(new Set(tailOf({}))).toEqual(new Set([0]));
    expect(new Set(tailOf({ B11: swir.B11 }))).toEqual(new Set([0]));
    const whole = tailOf(swir);
    expect(whole[5]).toBe(Math.fround((swir.B11(5) / 10_000 - 0.5) / 2));
    expect(whole[pixels + 5]).toBe(Math.fround((swir.B12(5) / 10_000 - 0.5) / 2));
    expect(new Set(whole.subarray(2 * pixels))).toEqual(new Set([1]));
  });

  it('has means of the pixels with data at 20 m, and 0 where there are none', () => {
    const input = inputOf({ bands: ['B02'], meters: 20 });
    const gaps = [1, 64, 65, 2, 3, 66, 67];

    const [tensor] = toTensors(patchOf({ width: 64, height: 65, bands, gaps }), input);

    expect(tensor?.dims).toEqual([1, 1, 33, 32]);
    expect(tensor?.data[0]).toBe(Math.fround(bands.B02(0) / 10_000));
    expect(tensor?.data[1]).toBe(0);
    const [a, b, c, d] = [4, 5, 68, 69].map(bands.B02) as [number, number, number, number];
    expect(tensor?.data[2]).toBe(Math.fround((a + b + c + d) / 4 / 10_000));
    expect(tensor?.data[32 * 32]).toBe(Math.fround((bands.B02(64 * 64) + bands.B02(64 * 64 + 1)) / 2 / 10_000));
  });

  it('is written over the last one of its size, and over no other', () => {
    const former = toTensors(patchOf({ width: 64, height: 64, bands }), inputOf());
    const other = { ...bands, B02: swir.B11 };

    const same = toTensors(patchOf({ width: 64, height: 64, bands: other }), inputOf(), former);
    const larger = toTensors(patchOf({ width: 65, height: 64, bands }), inputOf(), former);

    expect(same[0]?.data).toBe(former[0]?.data);
    expect(same[0]?.data[9]).toBe(Math.fround(swir.B11(9) / 10_000));
    expect(larger[0]?.data).not.toBe(former[0]?.data);
  });
});

describe('tiles', () => {
  const sizes = [
    [64, 64],
    [65, 101],
    [128, 64],
    [200, 150],
    [255, 257],
  ] as const;
  const tiles = [
    { size: 64, overlap: 1 },
    { size: 64, overlap: 20 },
    { size: 64, overlap: 31 },
    { size: 128, overlap: 40 },
    { size: 256, overlap: 64 },
  ];

  it.each(sizes.flatMap(([width, height]) => tiles.map((tile) => [width, height, tile] as const)))(
    'of %d x %d pixels give each the answer of the whole by %j',
    (width, height, tile) => {
      const planes = { width, height, bands, gaps: [7, 700] };

      expect(textOf(answerAlone(planes, inputOf({ tile })))).toBe(textOf(answerAlone(planes, inputOf())));
    },
  );

  it('of 20 m stand for four pixels each', () => {
    const planes = { width: 101, height: 64, bands };
    const rows = JSON.parse(textOf(answerAlone(planes, inputOf({ meters: 20, tile: { size: 32, overlap: 4 } }))));

    expect([rows.length, rows[0].length]).toEqual([64, 101]);
    for (let y = 0; y < 64; y += 1)
      for (let x = 0; x < 101; x += 1) expect(rows[y][x]).toBe(rows[y - (y % 2)][x - (x % 2)]);
    expect(new Set(rows.flat()).size).toBe(3);
  });

  it('count less towards their borders, so that two that differ meet in the middle of what they share', () => {
    const input = inputOf({ bands: ['B02'], tile: { size: 64, overlap: 20 } });
    const patch = patchOf({ width: 100, height: 64, bands: { B02: () => 5 } });
    const tensors = thread.prepare(patch, modelOf(input));
    // All columns of tiles but the first one say cloud.
    const columns = Math.ceil((100 + 20) / 43);
    const outputs = tensors.map((_, index) => {
      const logits = new Float32Array(3 * 64 * 64);
      logits.fill(9, (index % columns === 0 ? 0 : 1) * 4096, (index % columns === 0 ? 1 : 2) * 4096);
      return logits;
    });

    const rows = JSON.parse(textOf(thread.read(outputs, modelOf(input), patch)));

    // The second tile begins at 64 - 20 - 1 pixels after the first, which begins 20 before the patch.
    const first = -20 + 43;
    expect(rows[30].slice(0, first + 10)).toEqual(Array(first + 10).fill(0));
    expect(rows[30].slice(first + 11)).toEqual(Array(100 - first - 11).fill(1));
  });
});

describe('the answer of a run', () => {
  it.each([
    ['another type', new Uint8Array(3 * 4096)],
    ['another length', new Float32Array(3 * 4096 - 1)],
    ['a value that is no number', new Float32Array(3 * 4096).fill(Number.NaN, 9, 10)],
    ['an infinite value', new Float32Array(3 * 4096).fill(Number.POSITIVE_INFINITY, 9, 10)],
  ])('of %s is the fault of the model', (_, output) => {
    const patch = patchOf({ width: 64, height: 64, bands });

    expect(() => thread.read([output], modelOf(inputOf()), patch)).toThrow(
      /^Expected .* logits but received|^Expected .* for the logits/,
    );
  });
});

describe('the golden case', () => {
  it.each([
    [inputOf(), 64],
    [inputOf({ meters: 20 }), 128],
    [inputOf({ tile: { size: 96, overlap: 8 } }), 96],
    [inputOf({ tile: { size: 96, overlap: 8 }, meters: 20 }), 192],
  ])('is a patch by formula', (input, side) => {
    const patch = goldenPatch({ ...input, optional: ['B11'], mean: [], std: [] });

    expect(patch).toMatchObject({
      width: side,
      height: side,
      bands: ['B02', 'B03', 'B04', 'B08', 'B11'],
      level: 'L1C',
    });
    expect(planeOf(patch, 'B11')?.[5 * side + 9]).toBe(((37 * 2 + 59 * 1 + 89 * 4) % 256) * 24);
  });

  it('compares the logits of a grid of 4 x 4 pixels', () => {
    const patch = patchOf({ width: 64, height: 64, bands, form: 'logits' });
    const outputs = [Float32Array.from({ length: 3 * 4096 }, (_, index) => index)];
    const expected = [0, 1, 2].flatMap((channel) => {
      return [8, 24, 40, 56].flatMap((y) => [8, 24, 40, 56].map((x) => channel * 4096 + y * 64 + x));
    });
    const prove = (logits: readonly number[], tolerance: number) => {
      const details = { input: inputOf(), golden: { logits, tolerance } };
      return () => thread.prove(thread.read(outputs, details, patch), details);
    };

    expect(prove(expected, 0.001)).not.toThrow();
    expect(prove(expected.with(20, 0), 0.001)).toThrow(/^Expected 0 for logit 20 of the golden case but received 5640/);
    expect(prove(expected.with(0, 0.5 + 520), 0.5)).not.toThrow();
    expect(prove(expected.with(0, 0.51 + 520), 0.5)).toThrow('logit 0');
    expect(prove(expected.with(0, Number.NaN), 0.5)).toThrow('logit 0');
  });
});
