import { describe, expect, it } from '@jest/globals';
import { chooseLanguage, readPreferences } from '../../functions/tasks/classify/language.ts';

const offered = ['de', 'pt-BR'];
const choose = (header: string | undefined) => chooseLanguage(readPreferences(header), offered);

describe('the language of labels', () => {
  it.each([
    [undefined, 'en'],
    ['', 'en'],
    ['de', 'de'],
    ['DE', 'de'],
    ['de-CH', 'de'],
    ['de-CH-1996', 'de'],
    ['pt-br', 'pt-BR'],
    ['pt', 'en'], // not every Portuguese is Brazil's
    ['fr', 'en'],
    ['fr, de', 'de'],
    ['en, de', 'en'],
    ['en-GB, de', 'en'],
    ['de, en', 'de'],
    ['en;q=0.5, de', 'de'],
    ['de;q=0.5, en', 'en'],
    ['de;q=0.001, fr', 'de'],
    ['de;q=0.8, pt-BR;q=0.9', 'pt-BR'],
    ['de ; q = 0.8 , en;q=0.7', 'de'],
    ['*', 'en'],
    ['fr, *;q=0.1', 'en'],
    ['*, de;q=0.5', 'en'],
  ])('for "%s" is %s', (header, tag) => {
    expect(choose(header)).toBe(tag);
  });

  it.each([
    ['de;q=0', 'en'],
    ['de;q=0.000, *', 'en'],
    ['en;q=0, *', 'de'],
    ['en;q=0, de;q=0, *;q=0.5', 'pt-BR'],
    ['pt;q=0, pt-BR', 'en'],
    ['de-CH, de;q=0', 'en'],
    ['*;q=0', 'en'], // there is no answer without a language
    ['en;q=0, de;q=0, pt;q=0', 'en'],
  ])('heeds a weight of 0: "%s" is %s', (header, tag) => {
    expect(choose(header)).toBe(tag);
  });

  it.each([
    'de;q=2',
    'de;q=-1',
    'de;q=0.1234',
    'de;q=',
    'de;level=1',
    'de;q=1;q=1',
    'de_DE',
    'd e',
    'abcdefghi',
    'de--CH',
    '-',
    ';q=1',
    ',,,',
    'ü',
    '__proto__',
    'constructor',
  ])('passes over what is no language range: "%s"', (header) => {
    expect(choose(header)).toBe('en');
    expect(choose(`${header}, de`)).toBe('de');
  });

  it.each(['fr,', 'fr-', 'a;q=0.1,', '*', ',', ';', 'q=0;'])('takes 4 kB of "%s" in its stride', (piece) => {
    const startedMs = performance.now();

    expect(['en', 'de']).toContain(choose(`${piece.repeat(4096 / piece.length)},de`));
    expect(performance.now() - startedMs).toBeLessThan(1000); // a millisecond; what grows with the square would take longer
  });
});
