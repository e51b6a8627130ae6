import { describe, expect, it } from '@jest/globals';
import { digitOf } from '../../functions/tasks/digits/digit.ts';
import type { Picture } from '../../functions/tasks/image/whole.ts';
import { drawDigit, drawSvg, pictureOf } from '../support/drawn.ts';

describe('no digit', () => {
  /** A gray that changes by up to `spread` from pixel to pixel, the same in every run. */
  function noise(width: number, height: number, spread: number): Picture {
    let state = 1;
    const data = Uint8Array.from({ length: width * height * 3 }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return 128 + ((state / 2 ** 32) * 2 - 1) * spread;
    });
    return { data, width, height };
  }

  const gradient =
    '<linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop stop-color="#fff"/><stop offset="1" stop-color="#555"/></linearGradient><rect width="160" height="120" fill="url(#g)"/>';
  const lines = (step: number) =>
    Array.from({ length: 12 }, (_, i) => `M0 ${10 + i * step} H160 M${10 + i * step} 0 V120`).join(' ');

  const drawn = (width: number, height: number, content: string) => () => pictureOf(drawSvg(width, height, content));
  const onPaper = (content: string) => drawn(160, 120, `<rect width="160" height="120" fill="#eee"/>${content}`);
  const middle =
    'M40 30 H120 M40 50 H120 M40 70 H120 M40 90 H120 M40 30 V90 M60 30 V90 M80 30 V90 M100 30 V90 M120 30 V90';

  it.each<[string, string, () => Promise<Picture> | Picture]>([
    ['a blank page', 'white paper', drawn(160, 120, '<rect width="160" height="120" fill="#fff"/>')],
    ['a blank page', 'black', drawn(28, 28, '<rect width="28" height="28"/>')],
    ['a blank page', 'a single pixel', drawn(1, 1, '<rect width="1" height="1" fill="#888"/>')],
    ['a blank page', 'a row of pixels', drawn(160, 1, '<rect width="160" height="1" fill="#888"/>')],
    ['a blank page', 'a gradient', drawn(160, 120, gradient)],
    ['a blank page', 'faint noise', () => noise(120, 160, 6)],
    ['a blank page', 'strong noise', () => noise(120, 160, 127)],
    ['2 separate figures', 'two digits', () => pictureOf(drawDigit(4, { times: 2 }))],
    ['5 separate figures', 'five digits', () => pictureOf(drawDigit(3, { times: 5 }))],
    ['lines alone', 'ruling', onPaper('<path d="M0 20 H160 M0 50 H160 M0 80 H160 M0 110 H160" stroke="#468"/>')],
    ['lines alone', 'a grid', onPaper(`<path d="${lines(25)}" stroke="#333" stroke-width="2"/>`)],
    ['a grid or a pattern', 'a grid in the middle', onPaper(`<path d="${middle}" stroke="#333" stroke-width="3"/>`)],
    ['a filled area', 'a square', onPaper('<rect x="70" y="50" width="20" height="20"/>')],
    ['a line', 'a dash', onPaper('<path d="M50 60 H110" stroke="#000" stroke-width="6"/>')],
  ])('says %s of %s', async (seen, _what, draw) => {
    const picture = await draw();

    expect(() => digitOf(picture)).toThrow(`Expected a single digit for the image but received ${seen}`);
  });

  it.each([
    [15, 'IMAGE_NO_DIGIT'],
    [17, undefined],
  ])('needs a digit of at least a tenth of the shorter side: %d of 160 pixels', async (height, code) => {
    const digit = await drawDigit(1, { pen: 14 }).trim().resize({ height }).toBuffer();
    const drawing = drawSvg(160, 160, '<rect width="160" height="160" fill="#f4f1e6"/>').composite([
      { input: digit, left: 70, top: 70 },
    ]);
    const picture = await pictureOf(drawing);

    const refused = (() => {
      try {
        digitOf(picture);
      } catch (fault) {
        return (fault as { readonly code?: string }).code;
      }
      return undefined;
    })();

    expect(refused).toBe(code);
  });
});
