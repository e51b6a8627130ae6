import { describe, expect, it } from '@jest/globals';
import { readBand } from '../../functions/tasks/clouds/bands.ts';
import { drawGeoTiff } from '../support/geotiff.ts';
import { dataOf, numbersOf, read, refusal } from '../support/patches.ts';

const four = ['B02', 'B03', 'B04', 'B08'];

describe('the name of a band', () => {
  it.each([
    ['B02', 'B02'],
    ['B2', 'B02'],
    ['b8a', 'B8A'],
    ['B12', 'B12'],
    ['B2, central wavelength 490 nm', 'B02'],
    [' B04_10m', 'B04'],
  ])('is seen in "%s"', (text, band) => {
    expect(readBand(text)).toBe(band);
  });

  it.each(['', 'blue', 'B', 'B0', 'B13', 'B2O', 'B021', 'B8B', 'SCL', 'SR_B2', 'NDVI B02'])(
    'is not seen in "%s"',
    (text) => {
      expect(readBand(text)).toBeUndefined();
    },
  );
});

describe('the bands of a file', () => {
  it('come from its descriptions, in any order, others beside them', async () => {
    const bands = ['SCL', 'B8', 'B11', 'B4', 'B1', 'B3', 'B2', null];

    const patch = await read(drawGeoTiff({ bands, value: (band) => 100 * band + 1 }));

    expect(patch.bands).toEqual(['B02', 'B03', 'B04', 'B08', 'B11']);
    expect(patch.bands.map((band) => numbersOf(patch, band, 1)[0])).toEqual([601, 501, 301, 101, 201]);
  });

  it('come from the names that GDAL gives to bands, where there are no descriptions', async () => {
    const items = four.map((band, index) => `<Item name="BANDNAME" sample="${index}">${band}</Item>`).join('');
    const xml = `<GDALMetadata><Item name="PRODUCT_TYPE">S2MSI1C</Item>${items}</GDALMetadata>`;

    const patch = await read(drawGeoTiff({ tags: { 42112: { type: 'ascii', values: xml } } }));

    expect(patch).toMatchObject({ bands: four, level: 'L1C' });
  });

  it('come from the client where the file tells none, or a part of them', async () => {
    const none = drawGeoTiff({ bands: [null, null, null, null, null], value: (band) => band + 1 });
    const part = drawGeoTiff({ bands: ['B02', null, 'B04', null] });

    const patch = await read(none, { bands: ['B08', undefined, 'B02', 'B03', 'B04'] });

    expect(four.map((band) => numbersOf(patch, band, 1)[0])).toEqual([3, 4, 5, 1]);
    expect((await read(part, { bands: four })).bands).toEqual(four);
  });

  it.each([
    ['are not told', { bands: [null, null, null, null] }, {}, '4 bands described as none, none, none, none'],
    [
      "are not Sentinel's",
      { bands: [...'abcdefghij'] },
      {},
      'received 10 bands described as a, b, c, d, e, f, g, h, i, j',
    ],
    [
      'are in another script',
      { bands: ['синий\n', 'x'.repeat(60), '', ''] },
      {},
      `as ?????, ${'x'.repeat(40)}, none, none`,
    ],
    ['are never guessed from their number', { bands: Array(13).fill(null) }, {}, 'received 13 bands'],
    ['lack near infrared', { bands: ['B02', 'B03', 'B04'] }, {}, '3 bands described as B02, B03, B04'],
    ['are there twice', { bands: ['B02', 'B03', 'B04', 'B08', 'B2'] }, {}, 'each once for bands'],
    ['are fewer than the client says', {}, { bands: [...four, 'B11'] }, 'Expected 4 names for bands but received 5'],
    ['are more than the client says', { bands: [...four, null] }, { bands: four }, 'Expected 5 names'],
    [
      'are others than the client says',
      {},
      { bands: ['B03', 'B02', 'B04', 'B08'] },
      "the file's descriptions for bands",
    ],
  ])('that %s are asked for', async (_, drawing, ask, told) => {
    const [code, detail] = await refusal(drawGeoTiff(drawing), ask);

    expect(code).toBe('PARAMETER_INVALID');
    expect(detail).toContain(told);
  });
});

describe('the level of a file', () => {
  it.each([
    [{ PROCESSING_LEVEL: 'Level-1C' }, 'L1C'],
    [{ PROCESSING_LEVEL: 'Level-2A' }, 'L2A'],
    [{ PRODUCT_TYPE: 'S2MSI2A' }, 'L2A'],
    [{ PRODUCT_URI: 'S2A_MSIL1C_20200101T000000_N0208_R022_T33UVP_20200101T000000.SAFE' }, 'L1C'],
    [{ LEVEL: 'L2A' }, 'L2A'],
  ])('is seen in %j', async (items, level) => {
    expect((await read(drawGeoTiff({ items }))).level).toBe(level);
  });

  it('is what the client says where the file says nothing', async () => {
    expect((await read(drawGeoTiff({ items: {} }), { level: 'L1C' })).level).toBe('L1C');
  });

  it.each([
    ['neither says it', {}, {}, "by ?level= or the file's metadata for level but received neither"],
    ['the file says two', { PRODUCT_TYPE: 'S2MSI1C', PROCESSING_LEVEL: 'Level-2A' }, {}, 'received neither'],
    ['the file says another', { LEVEL: 'L1C' }, { level: 'L2A' } as const, 'Expected L1C'],
    ['the file is of level 1B', { PROCESSING_LEVEL: 'Level-1B' }, {}, 'received neither'],
  ])('is asked for where %s', async (_, items, ask, told) => {
    const [code, detail] = await refusal(drawGeoTiff({ items: items as Record<string, string> }), ask);

    expect(code).toBe('PARAMETER_INVALID');
    expect(detail).toContain(told);
  });
});

describe('the numbers of a patch', () => {
  const level = { PROCESSING_LEVEL: 'Level-2A' };
  const values = (...numbers: number[]) => ({ value: (_: number, pixel: number) => numbers[pixel] ?? 7 });

  it.each([
    ['nothing is told', {}, {}, [0, 999, 1000, 1001]],
    ['the client says 0', { PROCESSING_BASELINE: '05.09' }, { offset: 0 }, [0, 999, 1000, 1001]],
    ['the client says 1000', {}, { offset: 1000 }, [0, 0, 0, 1]],
    ['the baseline is 03.01', { PROCESSING_BASELINE: '03.01' }, {}, [0, 999, 1000, 1001]],
    ['the baseline is 04.00', { PROCESSING_BASELINE: '04.00' }, {}, [0, 0, 0, 1]],
  ])('are without their offset where %s', async (_, items, ask, expected) => {
    const patch = await read(drawGeoTiff({ items: { ...level, ...items }, ...values(0, 999, 1000, 1001) }), ask);

    expect(numbersOf(patch, 'B02', 4)).toEqual(expected);
    expect(dataOf(patch, 4)).toEqual([0, 1, 1, 1]);
  });

  it('are no data where all bands are 0, or one is what the file calls so', async () => {
    const value = (band: number, pixel: number) => [0, band, band === 2 ? 9 : 50, 9][pixel] ?? 7;

    const zero = await read(drawGeoTiff({ value, noData: '0' }));
    const nine = await read(drawGeoTiff({ value, noData: '9' }));

    expect(dataOf(zero, 5)).toEqual([0, 1, 1, 1, 1]);
    expect(dataOf(nine, 5)).toEqual([0, 1, 0, 0, 1]);
    expect(numbersOf(nine, 'B02', 5)).toEqual([0, 0, 0, 0, 7]);
  });

  it('of int16 may be negative, which is clipped', async () => {
    const patch = await read(drawGeoTiff({ type: 'int16', noData: '-10000', ...values(-1, -10_000, 32_767) }));

    expect(numbersOf(patch, 'B03', 4)).toEqual([0, 0, 32_767, 7]);
    expect(dataOf(patch, 4)).toEqual([1, 0, 1, 1]);
  });

  it('of float32 are reflectance, and no data where they are no numbers', async () => {
    const numbers = values(0.12344, -0.01, Number.NaN, Number.POSITIVE_INFINITY, 9, -9999.3);

    const patch = await read(
      drawGeoTiff({ type: 'float32', noData: '-9999.3', value: (b, i) => numbers.value(b, i) / (i > 5 ? 70 : 1) }),
    );

    expect(numbersOf(patch, 'B08', 7)).toEqual([1234, 0, 0, 0, 65_535, 0, 1000]);
    expect(dataOf(patch, 7)).toEqual([1, 1, 0, 0, 1, 0, 1]);
  });

  it.each([
    [3, 'OK'],
    [3.001, 'IMAGE_UNSUPPORTED'],
    [5000, 'IMAGE_UNSUPPORTED'],
  ])('of float32 that are %d in all pixels: %s', async (number, code) => {
    expect((await refusal(drawGeoTiff({ type: 'float32', value: () => number })))[0]).toBe(code);
  });

  it('of float32 have no offset, whatever the baseline', async () => {
    const file = drawGeoTiff({ type: 'float32', items: { ...level, PROCESSING_BASELINE: '05.00' }, value: () => 0.2 });

    expect(numbersOf(await read(file), 'B02', 1)).toEqual([2000]);
    expect((await refusal(file, { offset: 1000 }))[0]).toBe('PARAMETER_INVALID');
  });

  it('are none where all pixels have no data', async () => {
    expect(new Set(dataOf(await read(drawGeoTiff({ type: 'float32', value: () => Number.NaN }))))).toEqual(
      new Set([0]),
    );
  });
});
