import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { faultsOfCard } from '../../functions/core/card/card.ts';
import { readModelSpec } from '../../functions/core/card/catalog.ts';
import { type Answer, answerBy, loadModel } from '../../functions/core/pool/session.ts';
import { type CloudsInput, cloudsCard } from '../../functions/tasks/clouds/card.ts';
import { type Answered, thread } from '../../functions/tasks/clouds/thread.ts';
import { createRandom } from '../../models/random.ts';
import { inputOf, patchOf } from '../support/planes.ts';
import { drawScene } from '../support/scene.ts';

const shipped = JSON.parse(readFileSync('models/clouds-index/model.json', 'utf8'));
const faultsWith = (input: object, golden: object = {}) => {
  const card = { ...shipped, input: { ...inputOf(), ...input }, golden: { ...shipped.golden, ...golden } };
  return faultsOfCard(card, cloudsCard, 'clouds-index', 'model.json');
};

describe('the card of a model that finds clouds', () => {
  it.each<Partial<CloudsInput>>([
    {},
    { bands: ['B10'], mean: [0], std: [1] },
    { optional: ['B11', 'B12', 'B10'], flag: true, mean: Array(7).fill(0), std: Array(7).fill(1) },
    { multiple: 256 },
    { multiple: 16, tile: { size: 1024, overlap: 511 } },
    { tile: { size: 32, overlap: 1 } },
    { meters: 20, levels: ['L1C'] },
  ])('may say %j', (input) => {
    expect(faultsWith(input)).toEqual([]);
  });

  it.each([
    ['input.bands', { bands: [] }],
    ['input.bands', { bands: ['B01', 'B02'] }],
    ['input.bands', { bands: ['B02', 'B02'] }],
    ['input.optional', { optional: ['B8A'] }],
    ['input.optional', { optional: ['B02'], mean: Array(5).fill(0), std: Array(5).fill(1) }],
    ['input.flag', { flag: 1 }],
    ['input.mean', { mean: [0, 0, 0] }],
    ['input.std', { std: [1, 1, 1, 1, 1] }],
    ['input.std', { std: [1, 1, 1, 0] }],
    ['input.multiple', { multiple: 0 }],
    ['input.multiple', { multiple: 257 }],
    ['input.tile', { tile: { size: 31, overlap: 1 } }],
    ['input.tile', { tile: { size: 1025, overlap: 1 } }],
    ['input.tile', { tile: { size: 64, overlap: 0 } }],
    ['input.tile', { tile: { size: 64, overlap: 32 } }],
    ['input.tile', { tile: { size: 72, overlap: 8 }, multiple: 16 }],
    ['input.meters', { meters: 60 }],
    ['input.levels', { levels: [] }],
    ['input.levels[0]', { levels: ['L3'] }],
    ['one of', { resize: 4 }],
  ])('has a fault of %s with %j', (place, input) => {
    expect(faultsWith(input)).toEqual([expect.stringContaining(place)]);
  });

  it.each([
    ['golden.logits', { logits: Array(47).fill(0) }],
    ['golden.logits', { logits: Array(49).fill(0) }],
    ['golden.tolerance', { tolerance: 0 }],
  ])('has a fault of %s with %j', (place, golden) => {
    expect(faultsWith({}, golden)).toEqual([expect.stringContaining(place)]);
  });
});

describe('the index test', () => {
  const { details, path, input, output } = readModelSpec('models', 'clouds-index', cloudsCard);
  let answer: Answer;
  beforeAll(async () => {
    answer = answerBy(await loadModel({ path, input, output, optimizedBy: null }), thread, details);
  });

  /** Braaten, Cohen and Yang's formula, as the notes of this project have it. */
  function isCloud(green: number, red: number, swir?: number): boolean {
    return ((green > 0.175 && green > red) || green > 0.39) && (swir === undefined || swir > 0.2);
  }

  async function maskOf(side: number, bands: Record<string, (pixel: number) => number>): Promise<number[]> {
    const { body } = (await answer(patchOf({ width: side, height: side, bands }))) as Answered;
    return JSON.parse(Buffer.from(body).toString()).flat();
  }

  it.each([
    ['with short-wave infrared', true],
    ['without it', false],
  ])('is the formula in every pixel of scenes with snow and noise %s', async (_, hasSwir) => {
    for (const seed of [1, 2, 3]) {
      const { side, bands } = drawScene({ seed, side: 96, hasSnow: seed > 1 });
      const random = createRandom(seed, 1);
      // Between the scenes' numbers, those about each threshold, and any.
      const edges = [1749, 1750, 1751, 1999, 2000, 2001, 3899, 3900, 3901];
      const names = ['B02', 'B03', 'B04', 'B08', ...(hasSwir ? ['B11', 'B12'] : [])];
      const numbers = new Map(
        names.map((name) => [
          name,
          (bands[name] as number[]).map((number) => random.pick([number, random.pick(edges), random.below(6000)])),
        ]),
      );
      const at = (name: string, pixel: number) => (numbers.get(name) as number[])[pixel] as number;

      const mask = await maskOf(side, Object.fromEntries(names.map((name) => [name, (pixel) => at(name, pixel)])));

      const expected = mask.map((_, pixel) => {
        const swir = hasSwir ? at('B11', pixel) / 10_000 : undefined;
        return Number(isCloud(at('B03', pixel) / 10_000, at('B04', pixel) / 10_000, swir));
      });
      expect(new Set(expected)).toEqual(new Set([0, 1]));
      expect(mask).toEqual(expected);
    }
  });

  it('finds most of what a scene has as cloud, and takes snow for it without short-wave infrared', async () => {
    const { side, bands, truth } = drawScene({ seed: 2 });
    const snow = drawScene({ seed: 2, hasSnow: true, hasClouds: false });
    const read = (scene: typeof snow, names: readonly string[]) => {
      return maskOf(side, Object.fromEntries(names.map((name) => [name, (i) => scene.bands[name]?.[i] as number])));
    };
    const share = (mask: readonly number[]) => mask.filter((value) => value === 1).length / mask.length;

    const mask = await read({ side, bands, truth }, ['B02', 'B03', 'B04', 'B08', 'B11']);

    const both = mask.filter((value, index) => value === 1 && truth[index] === 1).length;
    const either = mask.filter((value, index) => value === 1 || truth[index] === 1).length;
    expect(both / either).toBeGreaterThan(0.8);
    expect(share(await read(snow, ['B02', 'B03', 'B04', 'B08', 'B11']))).toBe(0);
    expect(share(await read(snow, ['B02', 'B03', 'B04', 'B08']))).toBeGreaterThan(0.2);
  });
});
