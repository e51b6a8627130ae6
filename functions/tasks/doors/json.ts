import { randomUUID } from 'node:crypto';
import { readInteger } from '../../core/parameter.ts';
import { Problem } from '../../core/problem.ts';

/** Bytes of JSON that are parsed: what a body may say beside its image. */
const maxParsedBytes = 64 * 1024;

/** Strings from this length on are taken out before the rest is parsed. */
const longBytes = 1024;

const [quote, backslash] = [0x22, 0x5c];

/**
 * A JSON text whose long strings, images in base64, are not worth a parser: taken out of it as they are, 10 MB cost 3 ms of the event loop
 * in place of 20. The rest is bounded, and with it the time and memory of a parser.
 * @param name of the body, for the message
 * @throws Problem UPLOAD_MALFORMED
 */
export function parseJson(name: string, body: Buffer): unknown {
  const pieces: Buffer[] = [];
  const long: string[] = [];
  const mark = randomUUID(); // begins a string's place: a body that could name one could have it copied many times
  let [from, parsedBytes] = [0, 0];
  const keep = (until: number) => {
    parsedBytes += until - from;
    if (parsedBytes > maxParsedBytes) throw tooLong(name);
    pieces.push(body.subarray(from, until));
  };
  for (let start = body.indexOf(quote); start !== -1; ) {
    if (parsedBytes + start - from > maxParsedBytes) throw tooLong(name);
    const end = endOfString(name, body, start);
    if (end - start > longBytes) {
      keep(start + 1);
      pieces.push(Buffer.from(`${mark}${long.length}`)); // its place, found again below
      long.push(body.toString('latin1', start + 1, end));
      from = end;
    }
    start = body.indexOf(quote, end + 1);
  }
  keep(body.length);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(pieces));
    return JSON.parse(text, (_key, value) =>
      typeof value === 'string' && value.startsWith(mark)
        ? unescaped(long[Number(value.slice(mark.length))] ?? '')
        : value,
    );
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw malformed(`Expected valid JSON for ${name} but received something else`, cause);
  }
}

/** Most encoders escape nothing in base64, some its slashes. */
function unescaped(text: string): string {
  return text.includes('\\') ? JSON.parse(`"${text}"`) : text;
}

/** Where the quote lies that ends a string. */
function endOfString(name: string, body: Buffer, start: number): number {
  for (let end = body.indexOf(quote, start + 1); end !== -1; end = body.indexOf(quote, end + 1)) {
    let slashes = 0;
    while (body[end - 1 - slashes] === backslash) slashes += 1;
    if (slashes % 2 === 0) return end;
    if (end - start > maxParsedBytes) throw tooLong(name); // no image has quotes
  }
  throw malformed(`Expected valid JSON for ${name} but received something else`);
}

function tooLong(name: string): Problem {
  return malformed(`Expected at most ${maxParsedBytes} bytes beside the image for ${name} but received more`);
}

function malformed(detail: string, cause?: unknown): Problem {
  return new Problem('UPLOAD_MALFORMED', detail, { cause });
}

/** The fields of an object, all of which are known. @throws Problem UPLOAD_MALFORMED | PARAMETER_INVALID for a field that nothing reads */
export function readFields(name: string, value: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(`Expected an object for ${name} but received something else`);
  }
  const other = Object.keys(value).find((key) => !known.includes(key));
  if (other === undefined) return value as Record<string, unknown>;
  const told = JSON.stringify(other.slice(0, 40));
  throw new Problem('PARAMETER_INVALID', `Expected ${known.join(', ') || 'no field'} for ${name} but received ${told}`);
}

/** A whole number from 1 to `max`, as a number or its text. @throws Problem PARAMETER_INVALID */
export function readWhole(name: string, value: unknown, max: number): number {
  // Not String() of anything else: it throws for some objects and for deep arrays, which would be a fault of ours.
  const text = typeof value === 'number' || typeof value === 'string' ? String(value) : `a JSON ${typeof value}`;
  return readInteger(name, text, { fallback: max, max });
}

/**
 * The bytes of base64, with or without padding, of its URL-safe form, or of a data URL.
 * @throws Problem UPLOAD_EMPTY | UPLOAD_MALFORMED | PARAMETER_INVALID for a URL, since nothing is fetched
 */
export function readBase64(name: string, value: unknown): Buffer {
  if (value === undefined || value === null) {
    throw new Problem('UPLOAD_EMPTY', `Expected base64 or a data URL for ${name} but received none`);
  }
  if (typeof value !== 'string') throw malformed(`Expected base64 or a data URL for ${name} but received no string`);
  if (/^(?:https?|ftp|file):/i.test(value)) {
    const detail = `Expected base64 or a data URL for ${name} but received another URL: send the image itself, nothing is fetched`;
    throw new Problem('PARAMETER_INVALID', detail);
  }
  const comma = /^data:[^,]{0,200};base64,/i.exec(value)?.[0].length ?? 0;
  const padded = value.slice(comma).trimEnd();
  const text = padded.slice(0, padded.length - (padded.endsWith('==') ? 2 : Number(padded.endsWith('='))));
  // Node.js passes over what is no base64, so that there are fewer bytes then.
  const bytes = decode(text) ?? decode(text.replace(/\s+/g, ''));
  if (!bytes) throw malformed(`Expected base64 or a data URL for ${name} but received something else`);
  return bytes;
}

function decode(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === Math.floor((text.length * 3) / 4) && text.length % 4 !== 1 ? bytes : undefined;
}
