import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { reduceImage } from '../../functions/tasks/image/image.ts';
import { reduceJpeg } from '../../functions/tasks/image/reduce.ts';
import { drawPhoto } from '../../functions/tasks/image/rehearsal.ts';
import { fixture } from '../support/fixtures.ts';
import { ask, cleanAfterAll } from '../support/served.ts';

const { startReady } = cleanAfterAll();

const recipe = { resize: 72, crop: 72 };
const maxPixels = 40_000_000;
const photo = readFileSync('tests/images/test_image_1.jpg');

describe('reduceImage', () => {
  it.each([
    ['of 262,144 bytes', 262_144, true],
    ['of 262,145 bytes', 262_145, false],
  ])('leaves a JPEG %s to the worker: %s', async (_what, bytes, isLeft) => {
    const padded = Buffer.concat([photo, Buffer.alloc(bytes - photo.length)]);

    expect('isEncoded' in (await reduceImage(padded, recipe, maxPixels)).pixels).toBe(isLeft);
  });

  it.each([
    [2000, 1000, true],
    [2000, 1001, false],
  ])('leaves a JPEG of %i x %i pixels to the worker: %s', async (width, height, isLeft) => {
    const bytes = await sharp(photo).resize(width, height, { fit: 'fill' }).jpeg({ quality: 20 }).toBuffer();

    expect('isEncoded' in (await reduceImage(bytes, recipe, maxPixels)).pixels).toBe(isLeft);
  });

  it.each([
    [144, true],
    [143, false],
  ])('leaves a JPEG of %i pixels to the worker of a model for 72: %s', async (side, isLeft) => {
    const bytes = await sharp(photo).resize(side, side).jpeg().toBuffer();

    expect('isEncoded' in (await reduceImage(bytes, recipe, maxPixels)).pixels).toBe(isLeft);
  });

  it('leaves what is drawn for a rehearsal to the worker', async () => {
    expect('isEncoded' in (await reduceImage(await drawPhoto(), recipe, maxPixels)).pixels).toBe(true);
  });

  it('leaves no progressive JPEG to the worker', async () => {
    const small = { resize: 8, crop: 8 };

    expect('isEncoded' in (await reduceImage(await fixture('progressiveJpeg'), small, maxPixels)).pixels).toBe(false);
    expect('isEncoded' in (await reduceImage(await fixture('jpeg'), small, maxPixels)).pixels).toBe(true);
  });
});

describe('the fallback', () => {
  it('answers with what libvips makes of a JPEG whose codes are broken', async () => {
    const fallback = await startReady('fallback', { WORKERS: '1' });
    const broken = Buffer.from(photo);
    broken.set([0xff, 0xd5], photo.length >> 1); // a restart marker where there are none
    const image = await reduceImage(broken, recipe, maxPixels);

    expect('isEncoded' in image.pixels && reduceJpeg(image.pixels, recipe)).toBeUndefined();
    expect(await ask(fallback, broken)).toMatchObject({ model: 'mobilenet', predictions: { length: 5 } });
    expect(await ask(fallback, photo)).toMatchObject({ model: 'mobilenet', predictions: { length: 5 } });
  }, 30_000);
});
