import { describe, expect, it } from '@jest/globals';
import { formOf, parseAsk } from '../../functions/tasks/clouds/ask.ts';

const parse = (query: string, accept?: string) =>
  parseAsk(new URLSearchParams(query), accept === undefined ? {} : { accept });

describe('what a client asks for', () => {
  it('is JSON of what the file tells, without growth, where it says nothing', () => {
    expect(parse('')).toEqual({ bands: undefined, level: undefined, offset: undefined, dilate: 0, form: 'json' });
  });

  it('is read from the query', () => {
    expect(parse('bands=B08,-,b2,B03,B4&level=L1C&offset=1000&dilate=4&format=rle', 'image/png')).toEqual({
      bands: ['B08', undefined, 'B02', 'B03', 'B04'],
      level: 'L1C',
      offset: 1000,
      dilate: 4,
      form: 'rle',
    });
  });

  it.each(['0', '1', '31', '32'])('may be to grow clouds by %s pixels', (dilate) => {
    expect(parse(`dilate=${dilate}`).dilate).toBe(Number(dilate));
  });

  it.each(['0', '1000'])('may be an offset of %s', (offset) => {
    expect(parse(`offset=${offset}`).offset).toBe(Number(offset));
  });

  it.each([4, 31, 32])('may name %d bands', (count) => {
    const names = ['B02', 'B03', 'B04', 'B08', ...Array(count - 4).fill('-')];

    expect(parse(`bands=${names}`).bands).toHaveLength(count);
  });

  it.each([
    ['dilate=-1', 'Expected a whole number from 0 to 32 for dilate but received "-1"'],
    ['dilate=33', 'Expected a whole number from 0 to 32 for dilate but received "33"'],
    ['dilate=1.5', 'for dilate'],
    ['dilate=', 'for dilate'],
    ['dilate=1&dilate=1', 'Expected one value for dilate but received 2'],
    ['level=L1B', 'Expected L1C or L2A for level but received "L1B"'],
    ['level=l2a', 'Expected L1C or L2A for level'],
    ['level=', 'for level'],
    ['offset=1', 'Expected 0 or 1000 for offset but received "1"'],
    ['offset=-1000', 'for offset'],
    ['format=json', 'Expected rle for format but received "json"'],
    ['bands=', 'for bands but received ""'],
    ['bands=B02,B03,B04', 'Expected B02, B03, B04, B08 among the names for bands but received "B02,B03,B04"'],
    ['bands=B02,B03,B04,NIR', 'for bands but received "NIR"'],
    ['bands=B02,B03,B04,B08,B2', 'Expected each band once for bands but received "B02 twice"'],
    [`bands=B02,B03,B04,B08${',-'.repeat(29)}`, 'Expected at most 32 names for bands but received "33"'],
    [`bands=${'x'.repeat(1000)}`, `for bands but received "${'x'.repeat(60)}"`],
  ])('is refused as %s', (query, told) => {
    expect(() => parse(query)).toThrow(expect.objectContaining({ code: 'PARAMETER_INVALID' }));
    expect(() => parse(query)).toThrow(told);
  });
});

describe('the form that an Accept header likes', () => {
  it.each([
    [undefined, 'json'],
    ['', 'json'],
    ['*/*', 'json'],
    ['application/*', 'json'],
    ['application/json', 'json'],
    ['image/png', 'png'],
    ['IMAGE/TIFF', 'tiff'],
    ['image/tiff; application=geotiff', 'tiff'],
    ['image/*', 'png'],
    ['image/png, */*', 'png'],
    ['image/tiff;q=0.5, image/png;q=0.4', 'tiff'],
    ['image/png;q=0.5, application/json;q=0.9', 'json'],
    ['image/png;q=0, image/*', 'tiff'],
    ['image/png, application/json', 'json'],
    ['text/html', 'json'],
    ['text/html, image/avif, image/webp, */*;q=0.8', 'json'],
    ['image/png;q=2', 'json'],
    ['image/png;q=x', 'json'],
    [';;,,q=1', 'json'],
  ])('%s is %s', (accept, form) => {
    expect(formOf(accept)).toBe(form);
  });
});
