import { describe, expect, it } from '@jest/globals';
import { parseAsk } from '../../functions/tasks/classify/ask.ts';

const parse = (query: string) => parseAsk(new URLSearchParams(query), {});

describe('what a client asks of classify', () => {
  it('is five predictions of any score and nothing further by default', () => {
    expect(parse('')).toEqual({ top: 5, minScore: undefined, broader: false, features: false, languages: [] });
  });

  it.each([
    ['0', 0],
    ['1', 1],
    ['0.25', 0.25],
    ['.5', 0.5],
    ['1.', 1],
    ['5e-7', 5e-7],
    ['0.30000000000000004', 0.30000000000000004],
  ])('takes %s for min_score', (text, minScore) => {
    expect(parse(`min_score=${text}`)).toMatchObject({ minScore });
  });

  it.each([
    ['-0.1', '"-0.1"'],
    ['1.0000001', '"1.0000001"'],
    ['', '""'],
    ['half', '"half"'],
    ['50%25', '"50%"'],
    ['0,5', '"0,5"'],
    ['0x1', '"0x1"'],
    ['NaN', '"NaN"'],
    ['Infinity', '"Infinity"'],
    ['1e999', '"1e999"'],
    ['%200', '" 0"'],
    ['9'.repeat(4000), `"${'9'.repeat(40)}"`],
  ])('refuses %s for min_score', (text, told) => {
    expect(() => parse(`min_score=${text}`)).toThrow(
      `Expected a number from 0 to 1 for min_score but received ${told}`,
    );
  });

  it.each(['broader', 'features'] as const)('takes 0 and 1 for %s', (name) => {
    expect(parse(`${name}=1`)).toMatchObject({ [name]: true });
    expect(parse(`${name}=0`)).toMatchObject({ [name]: false });
  });

  it.each(['broader', 'features'])('refuses anything else for %s', (name) => {
    for (const text of ['', '2', 'true', 'yes', '01', '-1', '1.0']) {
      const expected = `Expected 0 or 1 for ${name} but received "${text}"`;
      expect(() => parse(`${name}=${text}`)).toThrow(
        expect.objectContaining({ code: 'PARAMETER_INVALID', message: expected }),
      );
    }
  });

  it.each(['top', 'min_score', 'broader', 'features'])('refuses two values for %s', (name) => {
    expect(() => parse(`${name}=1&${name}=1`)).toThrow(`Expected one value for ${name} but received 2`);
  });
});
