import { describe, expect, it } from '@jest/globals';
import { readUpload, type Upload } from '../../functions/core/http/upload.ts';
import {
  boundaryLine,
  cutShort,
  imagePart,
  type MultipartBody,
  multipart,
  type Part,
  rawMultipart,
} from '../support/multipart.ts';

const maxUploadBytes = 1000;
const rules = { mediaTypes: ['image/*', 'application/octet-stream'], maxUploadBytes };
const content = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 89) % 256));
const form = { 'content-type': 'multipart/form-data; boundary=x' };
const raw = { 'content-type': 'image/jpeg' };

function read({ headers, body }: MultipartBody): Promise<Upload> {
  return readUpload(headers, body, rules);
}

function textFields(count: number): Part[] {
  return Array.from({ length: count }, (_, i) => ({ name: `field-${i}`, content: 'text' }));
}

describe('readUpload', () => {
  it('gives the bytes of the file under the documented field name', async () => {
    const upload = await read(multipart(imagePart(content)));

    expect(upload.bytes).toEqual(content);
  });

  it('gives the bytes of the file under any other field name, without a filename, between text fields', async () => {
    const file = { name: 'anything', content, contentType: 'application/octet-stream' };

    const upload = await read(multipart({ name: 'note', content: 'before' }, file, { name: 'tag', content: 'after' }));

    expect(upload.bytes).toEqual(content);
  });

  it('gives a file that holds boundary-like lines unchanged', async () => {
    const tricky = `\r\n--understudy-test-boundar\r\n--\r\n\r\n${boundaryLine.slice(2)}--`;

    const upload = await read(multipart(imagePart(tricky)));

    expect(upload.bytes.toString()).toBe(tricky);
  });

  it.each([1, 300, 5_000_000])('gives a file of %i bytes as a view into the body, not a copy', async (size) => {
    const photo = Buffer.alloc(size, '\r\n--understudy-test-boundar');
    const { headers, body } = multipart({ name: 'note', content: 'before' }, imagePart(photo));

    const { bytes } = await readUpload(headers, body, { ...rules, maxUploadBytes: size });

    expect(bytes.buffer).toBe(body.buffer);
    expect(bytes.equals(photo)).toBe(true);
    body.fill('x');
    expect(bytes.equals(Buffer.alloc(size, 'x'))).toBe(true);
  });

  const partOf = (headers: string, bytes: Uint8Array | string = content) => [
    boundaryLine,
    headers,
    '\r\n\r\n',
    bytes,
    '\r\n',
  ];
  const end = `${boundaryLine.trimEnd()}--\r\n`;

  it.each([
    ['an image type and no filename', 'Content-Disposition: form-data; name="image"\r\nContent-Type: image/jpeg'],
    ['an image type with parameters', 'Content-Disposition: form-data; name="image"\r\ncontent-type: IMAGE/WebP ;q=1'],
    [
      'an image type and a charset',
      'Content-Disposition: form-data; name="image"\r\nContent-Type: image/png; charset=x',
    ],
    ['an image type alone', 'Content-Type: image/jpeg'],
    ['octets and no filename', 'Content-Disposition: form-data; name="i"\r\nContent-Type: application/octet-stream'],
    ['an empty filename', 'Content-Disposition: form-data; name="image"; filename=""'],
    ['an empty filename and a text type', 'Content-Disposition: form-data; filename=""\r\nContent-Type: text/plain'],
    [
      'a filename* in a charset that nobody knows',
      "Content-Disposition: form-data; name=i; filename*=x-none''a%FF.jpg",
    ],
    ['a broken filename*', 'Content-Disposition: form-data; name=i; filename*=a.jpg'],
    ['a filename with a quote', 'Content-Disposition: form-data; name="image"; filename="a"b.jpg"'],
    ['a filename with a semicolon', 'Content-Disposition: form-data; name="image"; filename="a;b.jpg"'],
    ['a filename without quotes, with blanks', 'Content-Disposition: form-data; name=image; FileName = my photo.jpg'],
    ['a filename of other letters', 'Content-Disposition: form-data; name="image"; filename="ä\\"ö 写真.jpg"'],
    ['a semicolon at the end', 'Content-Disposition: form-data; name="image"; filename="a.jpg";'],
    ['another disposition', 'Content-Disposition: attachment; filename="a.jpg"'],
  ])('takes a part with %s for the file', async (_, headers) => {
    expect((await read(rawMultipart([...partOf(headers), end]))).bytes).toEqual(content);
  });

  it.each([
    ['a field', 'Content-Disposition: form-data; name="filename"'],
    ['a field whose name reads like a filename', 'Content-Disposition: form-data; name="x; filename=y"'],
    ['a text', 'Content-Disposition: form-data; name="note"\r\nContent-Type: text/plain; x="image/png"'],
    ['nothing', 'X-Other: 1'],
  ])('does not take a part that says it is %s for a file', async (_, headers) => {
    await expect(read(rawMultipart([...partOf(headers), end]))).rejects.toMatchObject({ code: 'UPLOAD_EMPTY' });
    expect(
      (await read(rawMultipart([...partOf(headers), ...partOf('Content-Type: image/png', 'x'), end]))).bytes,
    ).toEqual(Buffer.from('x'));
  });

  const unfilled = partOf(
    'Content-Disposition: form-data; name="b"; filename=""\r\nContent-Type: application/octet-stream',
    '',
  );
  const filled = partOf('Content-Disposition: form-data; name="a"; filename="a.jpg"\r\nContent-Type: image/jpeg');
  const unnamed = partOf('Content-Disposition: form-data; name="a"; filename=""');

  it.each([
    ['after', [...filled, ...unfilled]],
    ['before', [...unfilled, ...filled]],
    ['around', [...unfilled, ...unnamed, ...unfilled, ...unfilled]],
  ])('takes the one file with empty file inputs %s it', async (_, parts) => {
    expect((await read(rawMultipart([...parts, end]))).bytes).toEqual(content);
  });

  it.each([
    ['two files without names', [...unnamed, ...unnamed]],
    [
      'a file and one of no bytes that has a name',
      [...filled, ...partOf('Content-Disposition: form-data; filename=b', '')],
    ],
    ['a file and an image without a filename', [...filled, ...partOf('Content-Type: image/png', 'x')]],
  ])('refuses %s with UPLOAD_AMBIGUOUS', async (_, parts) => {
    await expect(read(rawMultipart([...parts, end]))).rejects.toMatchObject({ code: 'UPLOAD_AMBIGUOUS' });
  });

  it.each([
    ['below', 31, 'OK'],
    ['at', 32, 'OK'],
    ['above', 33, 'UPLOAD_MALFORMED'],
  ])('counts empty file inputs as fields: %s the limit', async (_where, count, expected) => {
    const inputs = Array.from({ length: count }, () => unfilled).flat();

    const code = await read(rawMultipart([...inputs, ...filled, end])).then(
      () => 'OK',
      (fault) => fault.code,
    );

    expect(code).toBe(expected);
  });

  it.each([
    ['XYZ', 'multipart/form-data; boundary=XYZ;'],
    ['XYZ', 'multipart/form-data; boundary=XYZ; '],
    ['XYZ', 'multipart/form-data;; boundary=XYZ'],
    ['XYZ', 'multipart/form-data ; charset=utf-8 ;\tBOUNDARY="XYZ" ; x'],
    ['XYZ', 'multipart/form-data; boundary="X\\YZ"'],
    ['XYZ', 'multipart/form-data; x="; boundary=no"; boundary=XYZ'],
    ['XYZ', 'multipart/form-data; boundary=XYZ; boundary=no'],
    ['----=_Part_1_123.456', 'multipart/form-data; boundary=----=_Part_1_123.456'],
    ["a'()+_,-./:=?z", "multipart/form-data; boundary=a'()+_,-./:=?z"],
    ['a b', 'multipart/form-data; boundary="a b"'],
    ['a"b\\c', 'multipart/form-data; boundary="a\\"b\\\\c"'],
  ])('reads the boundary %s of %s', async (boundary, contentType) => {
    const lines = [`--${boundary}`, 'Content-Disposition: form-data; filename=a', '', 'photo', `--${boundary}--`, ''];

    const upload = await readUpload({ 'content-type': contentType }, Buffer.from(lines.join('\r\n')), rules);

    expect(upload.bytes.toString()).toBe('photo');
  });

  it('gives a raw body as it is', async () => {
    const upload = await readUpload(raw, content, rules);

    expect(upload.bytes).toBe(content);
  });

  it.each([999, 1000])('takes a file of %i bytes where 1000 are allowed', async (size) => {
    const upload = await read(multipart(imagePart(Buffer.alloc(size))));

    expect(upload.bytes).toHaveLength(size);
  });

  it('refuses a file of 1001 bytes with UPLOAD_TOO_LARGE', async () => {
    await expect(read(multipart(imagePart(Buffer.alloc(1001))))).rejects.toMatchObject({ code: 'UPLOAD_TOO_LARGE' });
  });

  it('refuses a raw body of 1001 bytes with UPLOAD_TOO_LARGE', async () => {
    await expect(readUpload(raw, Buffer.alloc(1001), rules)).rejects.toMatchObject({
      code: 'UPLOAD_TOO_LARGE',
    });
  });

  it.each([
    ['no part', multipart()],
    ['only a text field', multipart({ name: 'image', content: 'text' })],
    ['a file of no bytes', multipart(imagePart(''))],
    ['the file that a browser sends for an empty input', multipart({ name: 'image', content: '', filename: '' })],
    ['no bytes at all', rawMultipart([])],
  ])('refuses a form with %s with UPLOAD_EMPTY', async (_, body) => {
    await expect(read(body)).rejects.toMatchObject({ code: 'UPLOAD_EMPTY' });
  });

  it('refuses an empty raw body with UPLOAD_EMPTY', async () => {
    await expect(readUpload(raw, Buffer.alloc(0), rules)).rejects.toMatchObject({ code: 'UPLOAD_EMPTY' });
  });

  it('refuses two files with UPLOAD_AMBIGUOUS', async () => {
    await expect(read(multipart(imagePart(content), imagePart(content, 'second.jpg')))).rejects.toMatchObject({
      code: 'UPLOAD_AMBIGUOUS',
    });
  });

  it.each([31, 32])('takes a file beside %i text fields', async (count) => {
    const upload = await read(multipart(...textFields(count), imagePart(content)));

    expect(upload.bytes).toEqual(content);
  });

  it.each([33, 500])('refuses a file beside %i text fields with UPLOAD_MALFORMED', async (count) => {
    await expect(read(multipart(...textFields(count), imagePart(content)))).rejects.toMatchObject({
      code: 'UPLOAD_MALFORMED',
    });
  });

  it('refuses a body cut short anywhere before its last boundary is complete with UPLOAD_MALFORMED', async () => {
    const whole = multipart(imagePart(content));
    // The two last bytes are the line break after the last boundary, which nobody needs.
    const cuts = Array.from({ length: whole.body.length - 3 }, (_, i) => i + 3);

    const codes = await Promise.all(cuts.map((bytes) => read(cutShort(whole, bytes)).catch((fault) => fault.code)));

    expect(new Set(codes)).toEqual(new Set(['UPLOAD_MALFORMED']));
  });

  it.each([
    ['a broken part header', rawMultipart([boundaryLine, 'no colon here\r\n\r\n', content, '\r\n', boundaryLine])],
    ['part headers beyond 16 KiB', multipart(imagePart(content, 'a'.repeat(17 * 1024)))],
    ['another boundary than declared', { ...multipart(imagePart(content)), headers: form }],
    [
      'no boundary in the header',
      { ...multipart(imagePart(content)), headers: { 'content-type': 'multipart/form-data' } },
    ],
  ])('refuses a form with %s with UPLOAD_MALFORMED', async (_, { headers, body }) => {
    await expect(readUpload(headers, body, rules)).rejects.toMatchObject({ code: 'UPLOAD_MALFORMED' });
  });
});
