import { describe, expect, it } from '@jest/globals';
import { findBroader } from '../../functions/tasks/classify/broader.ts';
import { readAncestors } from '../../functions/tasks/image/ancestors.ts';

const labels = ['beagle', 'collie', 'tabby', 'car', 'van'].map((label) => ({ class: label, label }));
const file = [
  { class: 'animal', label: 'animal', narrower: ['pet', 'carnivore'] },
  { class: 'pet', label: 'pet', narrower: ['dog', 'tabby'] },
  { class: 'carnivore', label: 'carnivore', narrower: ['dog', 'tabby'] },
  { class: 'dog', label: 'dog', narrower: ['beagle', 'collie'] },
  { class: 'vehicle', label: 'vehicle', narrower: ['car', 'van'] },
];
const read = (json: unknown) => readAncestors({ path: 'ancestors.json', json }, labels);
const ancestors = read(file);
const find = (scores: number[], threshold = 0.5) => findBroader(Float64Array.of(...scores), ancestors, threshold);

describe('readAncestors', () => {
  it('gives each ancestor all classes below it, by however many ways, those with the fewest first', () => {
    expect(ancestors.map(({ class: id, indices }) => [id, [...indices].sort()])).toEqual([
      ['dog', [0, 1]],
      ['vehicle', [3, 4]],
      ['pet', [0, 1, 2]],
      ['carnivore', [0, 1, 2]],
      ['animal', [0, 1, 2]],
    ]);
  });

  it('counts a class that has narrower ones to itself', () => {
    const [only] = read([{ class: 'beagle', label: 'beagle', narrower: ['collie'] }]);

    expect(only?.indices).toEqual([0, 1]);
  });

  it.each([
    ['an object', {}],
    ['a text', ['dog']],
    ['no label', [{ class: 'dog', narrower: ['beagle'] }]],
    ['an empty class', [{ class: '', label: 'dog', narrower: ['beagle'] }]],
    ['nothing narrower', [{ class: 'dog', label: 'dog', narrower: [] }]],
    ['null', [null]],
  ])('refuses %s', (_circumstance, json) => {
    expect(() => read(json)).toThrow(
      'ancestors.json: Expected a list of {"class", "label", "narrower"} for ancestors but received something else',
    );
  });

  it.each([
    [
      'a class that nobody knows',
      [{ class: 'dog', label: 'dog', narrower: ['wolf'] }],
      /this file for narrower but received "wolf"/,
    ],
    [
      'one below itself',
      [{ class: 'dog', label: 'dog', narrower: ['dog'] }],
      /no circle for narrower but received "dog" below itself/,
    ],
    [
      'a circle',
      [
        { class: 'dog', label: 'dog', narrower: ['pet'] },
        { class: 'pet', label: 'pet', narrower: ['dog'] },
      ],
      /no circle for narrower/,
    ],
    ['one class twice', [file[3], file[3]], /each class once for ancestors but received "dog" again/],
  ])('refuses %s', (_circumstance, json, message) => {
    expect(() => read(json)).toThrow(message);
  });
});

describe('findBroader', () => {
  it('names the narrowest ancestor that is sure enough', () => {
    expect(find([0.3, 0.3, 0.2, 0.1, 0.1])).toEqual({ class: 'dog', label: 'dog', score: expect.closeTo(0.6, 9) });
    expect(find([0.2, 0.2, 0.2, 0.2, 0.2])).toMatchObject({ class: 'pet', score: expect.closeTo(0.6, 9) });
  });

  it('names none where the first prediction is sure', () => {
    expect(find([0.5, 0.3, 0.2, 0, 0])).toBeUndefined();
    expect(find([0.499, 0.3, 0.2, 0, 0])).toMatchObject({ class: 'dog' });
  });

  it('names none where no ancestor is', () => {
    expect(find([0.3, 0.2, 0.1, 0.2, 0.2], 0.7)).toBeUndefined();
  });

  it.each([
    [0.249, { class: 'dog' }],
    [0.25, { class: 'dog' }],
    [0.251, { class: 'pet' }],
  ])('takes a sum of 0.25 for a threshold of %d or not', (threshold, expected) => {
    expect(find([0.125, 0.125, 0.125, 0.125, 0.125], threshold)).toMatchObject(expected);
  });

  it('takes the higher score of two that are equally narrow', () => {
    expect(find([0.1, 0.15, 0.15, 0.25, 0.25], 0.3)).toMatchObject({ class: 'vehicle' });
  });

  it('has no score above 1, however the sum is rounded', () => {
    expect(find([1 / 3, 1 / 3, 1 / 3 + 1e-12, 0, 0], 0.9)?.score).toBe(1);
  });
});
