import { inflateSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { fromArrayBuffer } from 'geotiff';
import sharp from 'sharp';
import { toRows, toRuns } from '../../functions/tasks/clouds/json.ts';
import { classify, dilate, measure } from '../../functions/tasks/clouds/mask.ts';
import { createPlanes, type Patch, validityOf } from '../../functions/tasks/clouds/patch.ts';
import { toPng } from '../../functions/tasks/clouds/png.ts';
import { toTiff } from '../../functions/tasks/clouds/tiff.ts';
import { createRandom } from '../../models/random.ts';
import { drawGeoTiff } from '../support/geotiff.ts';
import { read } from '../support/patches.ts';

const size = { width: 37, height: 23 };
const pixels = size.width * size.height;

/** A mask of all values, mostly clear. */
function drawMask(seed: number): Uint8Array {
  const random = createRandom(seed, 0);
  return Uint8Array.from({ length: pixels }, () => random.pick([...Array(40).fill(0), 1, 2, 255]));
}

describe('the classes of a mask', () => {
  it.each([
    [[0, 0, 0], 0],
    [[1, 2, 0], 1],
    [[1, 0, 2], 2],
    [[0, 2, 2], 1],
    [[2, 2, 1], 0],
    [[-3, -2, -1], 2],
  ])('of the logits %j is %d', (logits, expected) => {
    const patch = { data: createPlanes(1, 1, 0), width: 1, height: 1, bands: [] } as unknown as Patch;
    validityOf(patch)[0] = 1;

    expect(classify(Float32Array.from(logits), patch)).toEqual(Uint8Array.of(expected));
  });

  it('are 255 where there is no data, whatever the logits', () => {
    const patch = { data: createPlanes(2, 1, 0), width: 2, height: 1, bands: [] } as unknown as Patch;
    validityOf(patch)[1] = 1;

    expect(classify(Float32Array.of(0, 0, 1, 1, 0, 0), patch)).toEqual(Uint8Array.of(255, 1));
  });
});

describe('the growth of clouds', () => {
  /** Looks at every pixel of the disk about every pixel. */
  function growSlowly(mask: Uint8Array, radius: number): Uint8Array {
    return mask.map((value, index) => {
      if (value === 255) return value;
      const [x, y] = [index % size.width, Math.floor(index / size.width)];
      const isNear = mask.some((other, place) => {
        const [dx, dy] = [(place % size.width) - x, Math.floor(place / size.width) - y];
        return other === 1 && dx * dx + dy * dy <= radius * radius;
      });
      return isNear ? 1 : value;
    });
  }

  it.each([0, 1, 2, 3, 4, 5, 8, 11, 31, 32])('by %d pixels is that of a disk', (radius) => {
    const mask = drawMask(radius).map((value) => (value === 0 ? 0 : value));

    expect(dilate(mask, size, radius)).toEqual(growSlowly(mask, radius));
  });

  it('reaches the border, and nothing where there is no cloud', () => {
    const corner = new Uint8Array(pixels);
    corner[0] = 1;

    expect(dilate(corner, size, 2)).toEqual(growSlowly(corner, 2));
    expect(dilate(new Uint8Array(pixels).fill(2), size, 32)).toEqual(new Uint8Array(pixels).fill(2));
  });
});

describe('the shares of a mask', () => {
  it('are of the pixels that have data', () => {
    expect(measure(Uint8Array.of(0, 1, 1, 2, 255, 255, 255, 255))).toEqual({
      cloudFraction: 0.5,
      shadowFraction: 0.25,
      validFraction: 0.5,
    });
  });

  it('are 0 where none has data', () => {
    expect(measure(Uint8Array.of(255, 255))).toEqual({ cloudFraction: 0, shadowFraction: 0, validFraction: 0 });
  });
});

describe('a mask', () => {
  const mask = drawMask(7);
  const rows = Array.from({ length: size.height }, (_, row) =>
    Array.from(mask.subarray(row * size.width, (row + 1) * size.width)),
  );

  it('is rows of numbers in JSON', () => {
    expect(Buffer.from(toRows(mask, size)).toString()).toBe(JSON.stringify(rows));
    expect(Buffer.from(toRows(Uint8Array.of(255), { width: 1, height: 1 })).toString()).toBe('[[255]]');
  });

  it('is runs in JSON, which give it back', () => {
    const { values, counts } = JSON.parse(Buffer.from(toRuns(mask)).toString());

    expect(values.flatMap((value: number, index: number) => Array(counts[index]).fill(value))).toEqual([...mask]);
    expect(values.some((value: number, index: number) => value === values[index + 1])).toBe(false);
    expect(Buffer.from(toRuns(new Uint8Array(9))).toString()).toBe('{"values":[0],"counts":[9]}');
  });

  it('is a PNG of its own values, whose clear sky is transparent', async () => {
    const png = toPng(mask, size);
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });

    expect(info).toMatchObject({ ...size, channels: 4 });
    const opacities = new Map<number, number>();
    for (const [index, value] of mask.entries()) opacities.set(value, data[4 * index + 3] as number);
    expect(Object.fromEntries(opacities)).toEqual({ 0: 0, 1: 255, 2: 255, 255: 255 });
    const cloud = mask.indexOf(1);
    expect([...data.subarray(4 * cloud, 4 * cloud + 3)]).toEqual([255, 255, 255]);
    const at = Buffer.from(png).indexOf('IDAT');
    const inflated = inflateSync(png.subarray(at + 4, at + 4 + Buffer.from(png).readUInt32BE(at - 4)));
    expect([...inflated].filter((_, index) => index % (size.width + 1) > 0)).toEqual([...mask]);
  });

  it.each([
    ['its scale and tie point', {}],
    [
      'a matrix',
      {
        33550: null,
        33922: null,
        34264: { type: 'double', values: [10, 1, 0, 5e5, 1, -10, 0, 52e5, 0, 0, 0, 0, 0, 0, 0, 1] },
      },
    ],
    ['doubles of its own', { 34736: { type: 'double', values: [6378137, 298.257223563] } }],
  ] as const)('is a GeoTIFF that lies where the input does by %s', async (_, tags) => {
    const drawn = drawGeoTiff({ ...size, width: 64, height: 64, tags });
    const { georeference } = await read(drawn);

    const image = await open(toTiff(mask, size, georeference));
    const input = await open(drawn);

    expect(image.getGeoKeys()).toEqual(input.getGeoKeys());
    for (const tag of ['ModelPixelScale', 'ModelTiepoint', 'ModelTransformation', 'GeoDoubleParams'] as const) {
      expect(image.fileDirectory.getValue(tag)).toEqual(input.fileDirectory.getValue(tag));
    }
    expect([image.getOrigin(), image.getResolution()]).toEqual([input.getOrigin(), input.getResolution()]);
    expect(image.getGDALNoData()).toBe(255);
    expect([...((await image.readRasters())[0] as Uint8Array)]).toEqual([...mask]);
  });

  it('is a TIFF without coordinates where the input has none', async () => {
    const { georeference } = await read(drawGeoTiff({ hasGeoreference: false }));

    const image = await open(toTiff(mask, size, georeference));

    expect(georeference).toEqual([]);
    expect(image.getGeoKeys()).toBeNull();
    expect([image.getWidth(), image.getHeight()]).toEqual([37, 23]);
  });
});

async function open(file: Uint8Array) {
  return (await fromArrayBuffer(new Uint8Array(file).buffer)).getImage();
}
