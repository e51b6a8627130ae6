import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { scoreBroader } from '../../models/broader.ts';
import {
  calibrate,
  calibrationError,
  fitTemperature,
  type Judged,
  writeTemperature,
} from '../../models/calibration.ts';

const root = mkdtempSync(join(tmpdir(), 'understudy-calibration-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Of ten images that a model with these logits gives the same scores, as many are of each class as the scores at `temperature` say. */
function imagesAt(temperature: number): Judged[] {
  const certainties = [0.2, 1, 2, 3];
  return certainties.flatMap((certainty) => {
    const share = 1 / (1 + Math.exp(-certainty / temperature));
    const ones = Math.round(share * 1000);
    return Array.from({ length: 1000 }, (_, i) => {
      return { logits: Float32Array.of(certainty, 0), truth: i < ones ? 0 : 1 };
    });
  });
}

describe('calibrationError', () => {
  it('is how far scores are from the share that is right, bin by bin', () => {
    const guesses = [0.9, 0.9, 0.9, 0.9, 0.55, 0.55].map((score, place) => ({ score, isRight: place % 2 === 0 }));

    expect(calibrationError(guesses)).toBeCloseTo((4 / 6) * 0.4 + (2 / 6) * 0.05, 9);
  });

  it('does not let one bin make up for another', () => {
    const sure = { score: 1, isRight: false };
    const unsure = { score: 0, isRight: true };

    expect(calibrationError([sure, unsure])).toBe(1);
  });
});

describe('fitTemperature', () => {
  it.each([0.5, 1, 2, 4])('finds the temperature %d that images were made with', (temperature) => {
    expect(fitTemperature(imagesAt(temperature))).toBeCloseTo(temperature, 1);
  });

  it('is not led astray by an image whose class has a score of 0 to the last bit', () => {
    const hopeless = { logits: Float32Array.of(1000, 0), truth: 1 };

    expect(fitTemperature([...imagesAt(1), hopeless])).toBeGreaterThan(1);
  });

  it('stays within bounds for a model that is never wrong, and for one that always is', () => {
    const right = { logits: Float32Array.of(1, 0), truth: 0 };

    expect(fitTemperature([right])).toBeCloseTo(1 / 20, 3);
    expect(fitTemperature([{ ...right, truth: 1 }])).toBeCloseTo(20, 0);
  });
});

describe('calibrate', () => {
  it('fits on every other image of a class and measures on the rest', () => {
    const images = imagesAt(2);
    const others = images.filter((_, place) => place % 2 === 1);

    expect(calibrate(images)).toEqual({
      temperature: expect.closeTo(2, 1),
      fittedOn: expect.closeTo(2000, -1),
      images: expect.closeTo(2000, -1),
      before: expect.closeTo(calibrate([...others, ...others]).before, 2),
      after: expect.closeTo(0, 2),
    });
    expect(calibrate(images).before).toBeGreaterThan(0.1);
  });

  it('refuses images that leave none to measure on', () => {
    expect(() => calibrate(imagesAt(1).slice(0, 1))).toThrow('two images of a class for --fit-temperature');
  });
});

describe('writeTemperature', () => {
  const card = {
    name: 'a',
    output: { name: 'logits' },
    golden: { tolerance: 1 },
    variants: [
      { name: 'x', output: { name: 'scores' }, golden: {} },
      { name: 'y', output: { name: 'scores', more: 1 } },
    ],
  };
  const write = (text: string, ...temperatures: [string, number][]) => {
    writeFileSync(join(root, 'model.json'), text);
    for (const [variant, temperature] of temperatures) writeTemperature(root, variant, temperature);
    return readFileSync(join(root, 'model.json'), 'utf8');
  };

  it.each([0, 2])('writes and replaces that of each file, in a card indented by %d', (indent) => {
    const text = JSON.stringify(card, undefined, indent);

    const written = write(text, ['portable', 0.5], ['y', 2], ['x', 3], ['portable', 0.75]);

    expect(JSON.parse(written)).toEqual({
      ...card,
      temperature: 0.75,
      variants: [
        { ...card.variants[0], temperature: 3 },
        { ...card.variants[1], temperature: 2 },
      ],
    });
    expect(written.replaceAll(/,\s*"temperature": [\d.]+/g, '')).toBe(text);
  });

  it.each([
    ['a variant that is not there', JSON.stringify(card), 'z'],
    ['no output', JSON.stringify({ ...card, output: undefined }), 'portable'],
  ])('refuses %s', (_circumstance, text, variant) => {
    expect(() => write(text, [variant, 2])).toThrow(`Expected an "output" of ${variant} for`);
    expect(readFileSync(join(root, 'model.json'), 'utf8')).toBe(text);
  });
});

describe('scoreBroader', () => {
  const ancestors = [{ class: 'pet', label: 'pet', indices: [0, 1] }];
  const certain = { logits: Float32Array.of(9, 0, 0), truth: 0 };
  const unsure = { logits: Float32Array.of(1, 0.9, 0), truth: 1 };

  it('counts answers that are sure and those that name an ancestor', () => {
    const images = [certain, { ...certain, truth: 2 }, unsure, { ...unsure, truth: 2 }];

    expect(scoreBroader(images, { activation: 'softmax', ancestors, temperature: 1 }, 0.6)).toEqual({
      threshold: 0.6,
      sure: 0.5,
      sureRight: 0.5,
      broader: 0.5,
      broaderRight: 0.5,
      broaderTop1: 0,
      medianClasses: 2,
      right: 0.5,
    });
  });

  it('has nothing to count for a model without ancestors', () => {
    expect(scoreBroader([certain], { activation: 'softmax', temperature: 1 }, 0.6)).toBeUndefined();
  });
});
