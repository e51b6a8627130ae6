import { describe, expect, it } from '@jest/globals';
import { decodeImage } from '../../functions/tasks/image/image.ts';
import { fixture } from '../support/fixtures.ts';

const recipe = { resize: 64, crop: 64, kernel: 'linear' } as const;

/** The detail of the problem with which a file is refused. */
async function refusalOf(bytes: Buffer): Promise<string> {
  const refusal = await decodeImage(bytes, recipe, 40_000_000).catch((fault) => fault);
  expect(refusal).toMatchObject({ code: 'IMAGE_UNSUPPORTED', status: 422 });
  return refusal.message;
}

describe('what is no accepted picture', () => {
  it('is named with what to do instead', async () => {
    expect(await refusalOf(await fixture('heic'))).toBe(
      'Expected a JPEG, PNG, WebP, GIF or AVIF image for the upload but received HEIC; ' +
        'save it as JPEG; on an iPhone, choose "Most Compatible" in Settings, Camera, Formats',
    );
  });

  it.each<[string, string | Buffer]>([
    ['HEIC', '\0\0\0\x24ftypmif1\0\0\0\0mif1heic'],
    ['HEIC', '\0\0\0\x24ftyphevc\0\0\0\0hevc'],
    ["a camera's RAW file", '\0\0\0\x18ftypcrx \0\0\0\x01crx isom'],
    ["a camera's RAW file", 'FUJIFILMCCD-RAW 0201'],
    ["a camera's RAW file", 'IIRO\x08\0\0\0'],
    ["a camera's RAW file", 'IIU\0\x18\0\0\0'],
    ['a film', '\0\0\0\x14ftypqt  \0\0\0\0qt  '],
    ['a film', '\0\0\0\x20ftypisom\0\0\x02\0isomiso2'],
    ['a film', '\x1aE\xdf\xa3\x9f'],
    ['JPEG XL', '\xff\x0a\x7a\x1f'],
    ['JPEG XL', '\0\0\0\x0cJXL \r\n\x87\n'],
    ['JPEG 2000', '\0\0\0\x0cjP  \r\n\x87\n'],
    ['JPEG 2000', '\xff\x4f\xff\x51\0\x2f'],
    ['TIFF', 'II*\0\x08\0\0\0'],
    ['TIFF', 'MM\0*\0\0\0\x08'],
    ['TIFF', 'II+\0\x08\0\0\0'],
    ['PDF', '%PDF-1.7\n'],
    ['a Photoshop file', '8BPS\0\x01'],
    ['BMP', 'BM\x36\x10\0\0\0\0\0\0\x36\0\0\0'],
    ['an icon file', '\0\0\x01\0\x01\0\x10\x10'],
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['SVG', '\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn by hand -->\n<svg/>'],
    ['SVG', '\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" ""><svg/>'],
    ['a web page', '<!DOCTYPE html><html><svg/></html>'],
    ['a web page', '<html>'],
  ])('is %s by its first bytes', async (name, start) => {
    const detail = await refusalOf(Buffer.from(`${start}${'\0'.repeat(40)}`, 'latin1'));

    expect(detail).toContain(`but received ${name}`);
    expect(detail).toContain('; '); // what to do instead
  });

  it('is other content where nothing is known', async () => {
    const others = [
      'BMW is a make of cars, in words',
      '<note>',
      '<?xml version="1.0"?><feed/>',
      'II',
      '',
      '%PD',
      '\0\0\x01',
    ];
    for (const text of others)
      expect(await refusalOf(Buffer.from(text, 'latin1'))).toMatch(/but received other content$/);
    expect(await refusalOf(await fixture('text'))).toMatch(/but received other content$/);
  });
});
