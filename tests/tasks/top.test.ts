import { describe, expect, it } from '@jest/globals';
import { scoresOf, topPredictions } from '../../functions/tasks/classify/top.ts';

const labels = ['a', 'b', 'c', 'd'].map((label) => ({ class: `n0${label}`, label }));
const details = { labels, activation: 'softmax' } as const;

describe('topPredictions', () => {
  it('sorts by falling score, which is the softmax over all labels', () => {
    const predictions = topPredictions(Float32Array.of(0, Math.log(2), Math.log(5), Math.log(2)), details, 2);

    expect(predictions).toEqual([
      { index: 2, class: 'n0c', label: 'c', score: expect.closeTo(0.5, 6) },
      { index: 1, class: 'n0b', label: 'b', score: expect.closeTo(0.2, 6) },
    ]);
  });

  it('gives each class a score of its own by sigmoid', () => {
    const predictions = topPredictions(Float32Array.of(0, 3, -1000, Math.log(4)), { labels, activation: 'sigmoid' }, 4);

    expect(predictions.map(({ label, score }) => [label, score])).toEqual([
      ['b', expect.closeTo(0.9526, 4)],
      ['d', expect.closeTo(0.8, 6)],
      ['a', 0.5],
      ['c', 0],
    ]);
  });

  it('takes scores as they are, but never beyond 0 and 1', () => {
    const scores = Float32Array.of(0.25, 1.0000002, -1e-9, 0.75);

    const predictions = topPredictions(scores, { labels, activation: 'none' }, 4);

    expect(predictions.map(({ label, score }) => [label, score])).toEqual([
      ['b', 1],
      ['d', 0.75],
      ['a', 0.25],
      ['c', 0],
    ]);
  });

  it.each([0.5, 1, 2.5])('divides the logits by a temperature of %d, which changes no place', (temperature) => {
    const logits = Float32Array.of(0, 1, 3, 2);
    const [first, ...others] = topPredictions(logits, { ...details, temperature }, 4);
    const odds = Math.exp(1 / temperature);

    expect([first, ...others].map((prediction) => prediction?.index)).toEqual([2, 3, 1, 0]);
    expect((first?.score ?? 0) / (others[0]?.score ?? 1)).toBeCloseTo(odds, 9);
    expect(scoresOf(logits, { ...details, temperature }).reduce((sum, score) => sum + score)).toBeCloseTo(1, 12);
  });

  it('stays finite for logits that overflow an exponential', () => {
    const [first] = topPredictions(Float32Array.of(1000, 0, -1000, 0), details, 1);

    expect(first?.score).toBeCloseTo(1, 6);
  });

  it.each([1, 5, 19, 20])('gives the %i best of a thousand, as sorting all of them would', (count) => {
    const logits = Float32Array.from({ length: 1000 }, (_, i) => (Math.imul(i + 1, 2_654_435_761) >>> 24) / 32); // 256 values: many are equal
    const many = Array.from(logits, (_, i) => ({ class: `n${i}`, label: `${i}` }));
    const sorted = [...logits.keys()].sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);

    const predictions = topPredictions(logits, { ...details, labels: many }, count);

    expect(predictions.map(({ index }) => index)).toEqual(sorted.slice(0, count));
  });

  it('gives all labels when asked for more', () => {
    expect(topPredictions(new Float32Array(4), details, 20).map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  });
});
