import type { Random } from '../../models/random.ts';

/** An upload as no client should send it; its lengths are right only as far as HTTP itself needs it. */
export interface MutatedUpload {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Sent without Content-Length. */
  readonly chunked: boolean;
  /** What was done, in order, for the message of a failure. */
  readonly steps: readonly string[];
}

/** One upload to `path` of the endless list that `seed` stands for; `allowsStrict` where the primary model will be asked. */
export function mutateUpload(
  images: readonly Buffer[],
  random: Random,
  { path, allowsStrict }: { readonly path: string; readonly allowsStrict: boolean },
): MutatedUpload {
  const steps: string[] = [];
  let image = random.pick(images);
  if (random.chance(0.7)) image = mutateBytes(image, images, random, steps);

  const isForm = random.chance(0.55);
  const form = isForm ? makeForm(image, random, steps) : undefined;
  let body = form?.body ?? image;
  if (form && random.chance(0.3)) body = mutateBytes(body, [form.body, image], random, steps);
  if (random.chance(0.01)) {
    steps.push('no body');
    body = Buffer.alloc(0);
  }

  const headers: Record<string, string> = {
    'content-type': form?.contentType ?? random.pick(['image/jpeg', 'image/png', 'application/octet-stream']),
    ...mutateHeaders(random, steps, allowsStrict),
  };
  if (random.chance(0.1)) {
    headers['content-type'] = mutateText(random.pick([...contentTypes, headers['content-type'] as string]), random);
    steps.push(`content-type ${headers['content-type']}`);
  }
  return { path: makePath(path, random, steps), headers, body, chunked: random.chance(0.1), steps };
}

const contentTypes = [
  'image/jpeg; charset=utf-8',
  'IMAGE/PNG',
  'image/',
  'multipart/form-data',
  'multipart/form-data; boundary=',
  'multipart/form-data; boundary=""',
  'multipart/form-data; boundary=\\"; boundary=b',
  'multipart/mixed; boundary=b',
  'application/json',
  'application/x-www-form-urlencoded',
  'text/plain; charset=nothing',
  ';',
  '',
];

/** Whole numbers at which lengths, offsets and dimensions of image formats go wrong. */
const edges = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** One to four changes of the kinds that break parsers: flips, cuts, holes, repeats, splices, lying numbers. */
export function mutateBytes(source: Buffer, others: readonly Buffer[], random: Random, steps: string[]): Buffer {
  let bytes = Buffer.from(source);
  const isHeaderOnly = random.chance(0.4); // sizes, types and offsets of every format stand in front
  for (let left = 1 + random.below(4); left > 0 && bytes.length > 0; left -= 1) {
    const at = random.below(isHeaderOnly ? Math.min(64, bytes.length) : bytes.length);
    const end = Math.min(bytes.length, at + 1 + random.below(random.chance(0.5) ? 8 : bytes.length));
    const kind = random.pick(['flip', 'flip', 'flip', 'byte', 'edge', 'cut', 'hole', 'repeat', 'noise', 'splice']);
    steps.push(`${kind} ${at}-${end}`);
    if (kind === 'flip') bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    if (kind === 'byte') bytes[at] = random.below(256);
    if (kind === 'edge' && bytes.length >= at + 4) {
      const edge = random.pick(edges);
      if (random.chance(0.5)) bytes.writeUInt32BE(edge, at);
      else bytes.writeUInt16LE(edge & 0xffff, at);
    }
    if (kind === 'cut') bytes = bytes.subarray(0, at);
    if (kind === 'hole') bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    if (kind === 'repeat') bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    if (kind === 'noise') for (let i = at; i < end; i += 1) bytes[i] = random.below(256);
    if (kind === 'splice') bytes = Buffer.concat([bytes.subarray(0, at), random.pick(others).subarray(at)]);
  }
  return bytes;
}

/** A form around the image, in a third of the cases with too much, too little or the wrong thing in it. */
function makeForm(image: Buffer, random: Random, steps: string[]): { body: Buffer; contentType: string } {
  const oddBoundaries = ['b', '-', '--', "a'b(c)", 'x'.repeat(70), 'x'.repeat(3000), '\xe9', 'a b'];
  const boundary = random.chance(0.9) ? 'understudy' : random.pick(oddBoundaries);
  const part = (headers: string, content: Buffer) =>
    Buffer.concat([Buffer.from(`--${boundary}\r\n${headers}\r\n\r\n`), content, Buffer.from('\r\n')]);
  const file = part(
    'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg',
    image,
  );
  const field = part('Content-Disposition: form-data; name="note"', Buffer.from('text'));
  const end = Buffer.from(`--${boundary}--\r\n`);
  const odd: Record<string, () => Buffer[]> = {
    'two files': () => [file, file, end],
    'no file': () => [field, end],
    'many fields': () => [...Array.from({ length: 10 + random.below(60) }, () => field), file, end],
    'no end': () => [file],
    'end twice': () => [file, end, end],
    'bytes around': () => [Buffer.from('preamble\r\n'), file, end, Buffer.from('epilogue')],
    'no headers': () => [part('', image), end],
    'part headers': () => [part(mutateText(oddPartHeaders(random), random), image), end],
    'long part header': () => [part(`Content-Disposition: form-data; name="${'n'.repeat(20_000)}"`, image), end],
    'file without a name': () => [part('Content-Disposition: form-data; filename="a.jpg"', image), end],
    'empty file': () => [part('Content-Disposition: form-data; name="image"; filename=""', Buffer.alloc(0)), end],
    'form in a form': () => [part('Content-Disposition: form-data; name="i"; filename="f"', file), end],
    'bare line feeds': () => [Buffer.from(file.toString('latin1').replaceAll('\r\n', '\n'), 'latin1'), end],
  };
  const oddity = random.chance(0.35) ? random.pick(Object.keys(odd)) : undefined;
  if (oddity) steps.push(oddity);
  const quoted = random.chance(0.2) || !/^[\w'()-]+$/.test(boundary) ? `"${boundary}"` : boundary;
  return {
    body: Buffer.concat(oddity ? (odd[oddity]?.() as Buffer[]) : [file, end]),
    contentType: `multipart/form-data; boundary=${quoted}`,
  };
}

function oddPartHeaders(random: Random): string {
  return random.pick([
    'Content-Disposition: form-data; name="image"; filename="a.jpg"',
    "Content-Disposition: form-data; name=image; filename*=UTF-8''%e2%82%ac%zz.jpg",
    'Content-Disposition: attachment; filename="../../etc/passwd"',
    'Content-Disposition: form-data; name="image"; filename="a\0b\r\n c.jpg"',
    'Content-Disposition: form-data; name="__proto__"; filename="x"',
    'Content-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name="image"; filename="x"',
    'Content-Type: multipart/mixed; boundary=inner\r\nContent-Disposition: form-data; name="image"; filename="x"',
    ': nothing\r\nContent-Disposition; form-data',
  ]);
}

/** Values that must not end in a deadline: 504 would be right there, and nothing could be told from it. */
function mutateHeaders(random: Random, steps: string[], allowsStrict: boolean): Record<string, string> {
  const now = Date.now() / 1000;
  const odd: Record<string, () => string> = {
    prefer: () =>
      allowsStrict && random.chance(0.5)
        ? mutateText('handling=strict', random)
        : mutateText(random.pick(['handling=lenient', 'respond-async, wait=10', ',;=,"', 'a'.repeat(4000)]), random),
    'x-deadline-ms': () =>
      random.pick(['30000', '29999', '30001', '0', '-1', '1e4', '0x10', ' ', '999999999999', 'NaN', '20000, 20000']),
    'x-request-start': () =>
      random.pick(['t=', 't=abc', `t=${now + 5}`, `t=${(now - 61).toFixed(3)}`, 't=1e9.123', `t=${'9'.repeat(500)}`]),
    'x-request-id': () => random.pick(['ok-id', 'a'.repeat(128), 'a'.repeat(129), '\xff', '"', '{"a":1}', '../..', '']),
    'content-encoding': () => random.pick(['identity', 'gzip', 'br', 'gzip, identity', 'x', '']),
    expect: () => '100-continue',
    traceparent: () => mutateText('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', random),
    'x-cloud-trace-context': () => mutateText('105445aa7843bc8bf206b12000100000/1;o=1', random),
    'content-range': () => 'bytes 0-9/10',
    'x-forwarded-for': () => mutateText('127.0.0.1, ::1', random),
  };
  const headers: Record<string, string> = {};
  while (random.chance(0.25)) {
    const name = random.pick(Object.keys(odd));
    headers[name] = odd[name]?.() as string;
    steps.push(`${name}: ${headers[name]}`);
  }
  return headers;
}

function makePath(right: string, random: Random, steps: string[]): string {
  if (random.chance(0.85)) return right;
  const query = random.pick([
    'top=1',
    'top=20',
    'top=0',
    'top=21',
    'top=5&top=5',
    'top[]=5',
    'top=%00',
    'top',
    'a=%zz&top=3',
  ]);
  const path = random.chance(0.9)
    ? right
    : random.pick([
        `/${right}`,
        `${right}/`,
        `/%${right.charCodeAt(1).toString(16)}${right.slice(2)}`,
        `${right};x`,
        '/%',
      ]);
  const whole = `${path}?${random.chance(0.5) ? query : mutateText(query, random).replace(/[^!-"$-~]/g, '~')}`;
  steps.push(whole);
  return whole;
}

/** Up to three characters changed, left out or doubled; what is left can be sent in a header. */
function mutateText(text: string, random: Random): string {
  let result = text;
  for (let left = random.below(4); left > 0; left -= 1) {
    const at = random.below(result.length + 1);
    const character = String.fromCharCode(random.chance(0.8) ? 0x20 + random.below(0x5f) : 0x80 + random.below(0x80));
    result =
      result.slice(0, at) + random.pick([character, '', result.slice(at, at + 8).repeat(2)]) + result.slice(at + 1);
  }
  return result.trim();
}
