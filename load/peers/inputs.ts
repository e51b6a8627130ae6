import { form, type Request } from './client.ts';
import { drawBomb } from './photos.ts';

/** Pillow refuses more than 179 megapixels by itself and only warns from 89 on: one bomb on each side of that. */
const bombSides = [13_000, 20_000] as const;

/** What clients get wrong, and what attackers try; each with a name for the table. */
export async function badInputs(
  photo: Buffer,
): Promise<readonly { readonly name: string; readonly request: Request }[]> {
  const bombs = await Promise.all(bombSides.map(drawBomb));
  const png = { type: 'image/png', name: 'photo.png' };
  const plain = { 'content-type': 'text/plain' };
  return [
    { name: 'JPEG cut short', request: form(photo.subarray(0, photo.length / 2)) },
    { name: 'text named .jpg', request: form(Buffer.from('This is no photo.\n'.repeat(100))) },
    { name: 'empty file', request: form(Buffer.alloc(0)) },
    { name: 'another field name only', request: form(photo, { field: 'photograph' }) },
    { name: 'no form but text', request: { body: Buffer.from('hello'), headers: plain } },
    {
      name: 'JSON cut short',
      request: { body: Buffer.from('{"image":'), headers: { 'content-type': 'application/json' } },
    },
    { name: '11 MB', request: form(Buffer.concat([photo, Buffer.alloc(11_000_000)])) },
    ...bombs.map((bomb, index) => ({
      name: `bomb of ${(bombSides[index] as number) ** 2 / 1e6} megapixels, ${Math.round(bomb.length / 1000)} kB`,
      request: form(bomb, png),
    })),
    { name: 'GET /classify', request: { ...form(photo), method: 'GET', headers: {} } },
    { name: 'unknown path', request: { ...form(photo), path: '/unknown' } },
    { name: 'a good photo, afterwards', request: form(photo) },
  ];
}
