import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import busboy from 'busboy';
import { Problem } from '../problem.ts';
import type { Envelope } from '../task.ts';
import { cutOutsideQuotes, readPair } from './header.ts';

/** The bytes of one image, as they were sent; they may be a part of a longer body. */
export interface Upload {
  readonly bytes: Buffer;
}

/** Room in a body beside the file: an envelope's words; boundaries, part headers (16 KiB at most each in busboy), small text fields. */
const overheadBytes = 64 * 1024;

/** Parsed without a pause; most photos are smaller. */
const pieceBytes = 1024 * 1024;

/** A form that people fill in has fewer text fields beside its file. */
const maxFields = 32;

/** What a function takes. */
export interface UploadRules {
  /** Of a raw body and of a form's file; `image/*` is any image. */
  readonly mediaTypes: readonly string[];
  readonly maxUploadBytes: number;
  /** Opens bodies of any type in place of those. */
  readonly envelope?: Envelope | undefined;
  /** How many files a form may have, which may then be `multipart/mixed`, too. @default 1 */
  readonly maxFiles?: number;
}

/**
 * Judges what is known before any byte of the body.
 * @throws Problem UPLOAD_UNSUPPORTED | UPLOAD_MALFORMED | UPLOAD_TOO_LARGE | UPLOAD_EMPTY
 */
export function judgeUploadHeaders(headers: IncomingHttpHeaders, rules: UploadRules): void {
  const { mediaTypes, maxUploadBytes, envelope, maxFiles } = rules;
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  if (encoding && encoding !== 'identity') {
    throw new Problem('UPLOAD_UNSUPPORTED', 'Expected no Content-Encoding for the upload but received one');
  }
  const type = mediaType(headers);
  const hasParts = isMultipart(headers, maxFiles);
  if (!envelope && !hasParts && !isAmong(mediaTypes, type)) {
    const known = ['multipart/form-data', ...mediaTypes.slice(0, -1)].join(', ');
    const detail = `Expected ${known} or ${mediaTypes.at(-1)} for Content-Type but received another type`;
    throw new Problem('UPLOAD_UNSUPPORTED', detail);
  }
  if (!envelope && hasParts) readBoundary(headers);

  const length = headers['content-length'];
  if (length === undefined) return;
  if (Number(length) > maxBodyBytes(headers, rules)) throw tooLarge(maxUploadBytes);
  if (Number(length) === 0) throw empty('no bytes');
}

/** The longest body that can hold an upload of `maxUploadBytes`. */
export function maxBodyBytes(
  headers: IncomingHttpHeaders,
  { maxUploadBytes, envelope, maxFiles }: Omit<UploadRules, 'mediaTypes'>,
): number {
  return envelope || isMultipart(headers, maxFiles) ? maxUploadBytes + overheadBytes : maxUploadBytes;
}

/**
 * The one file of a multipart body, under whatever field name, or the raw body itself; a view, nothing is copied. Text
 * fields beside it are skipped, and so are empty file inputs.
 * @throws Problem UPLOAD_MALFORMED | UPLOAD_EMPTY | UPLOAD_AMBIGUOUS | UPLOAD_TOO_LARGE
 */
export async function readUpload(headers: IncomingHttpHeaders, body: Buffer, rules: UploadRules): Promise<Upload> {
  const [bytes = Buffer.alloc(0)] = await readUploads(headers, body, rules);
  if (bytes.length === 0) throw empty('a file of no bytes');
  return { bytes };
}

/**
 * The same for all files of a multipart body, in their order; some may have no bytes.
 * @throws Problem as `readUpload`; UPLOAD_TOO_LARGE for more than `maxFiles` where that is above one, and where their sum is too large
 */
export async function readUploads(headers: IncomingHttpHeaders, body: Buffer, rules: UploadRules): Promise<Buffer[]> {
  const { maxUploadBytes, maxFiles } = rules;
  if (body.length === 0) throw empty('no bytes');
  const files = isMultipart(headers, maxFiles) ? await readFiles(headers, body, rules) : [body];
  if (files.reduce((sum, { length }) => sum + length, 0) > maxUploadBytes) throw tooLarge(maxUploadBytes);
  return files;
}

/** The files of a multipart body, one at least; each at most one byte longer than `maxUploadBytes`. */
function readFiles(headers: IncomingHttpHeaders, body: Buffer, rules: UploadRules): Promise<Buffer[]> {
  const { maxFiles = 1 } = rules;
  const parser = openParser(readBoundary(headers), rules);
  return new Promise((resolve, reject) => {
    const malformed = (cause: unknown) => {
      const detail = 'Expected a complete multipart/form-data body for the upload but received one cut short or broken';
      reject(new Problem('UPLOAD_MALFORMED', detail, { cause }));
    };
    const chosen = new Set<Buffer[]>();
    parser.on('file', (_field, file, { filename }) => {
      const pieces: Buffer[] = [];
      const choose = () => {
        chosen.add(pieces);
        if (chosen.size > maxFiles) reject(tooMany(maxFiles));
      };
      if (filename === ('named' satisfies PartKind)) choose();
      // A body cut short raises its error here; without this listener it would end the process.
      file.on('error', malformed);
      file.on('data', (piece: Buffer) => {
        pieces.push(piece);
        choose();
      });
    });
    parser.on('partsLimit', () => {
      const detail = `Expected at most ${maxFields} fields beside the file for the upload but received more`;
      reject(new Problem('UPLOAD_MALFORMED', detail));
    });
    parser.on('error', malformed);
    parser.on('close', () => {
      if (chosen.size === 0) reject(empty('no file'));
      else resolve([...chosen].map((pieces) => viewOf(pieces, body)));
    });
    feed(parser, body).catch(malformed);
  });
}

/** These pieces of a body as one view into it: where they lie is known from one that the parser did not copy. */
function viewOf(pieces: readonly Buffer[], body: Buffer): Buffer {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  let before = 0;
  for (const piece of pieces) {
    const start = piece.byteOffset - body.byteOffset;
    const isInBody = piece.buffer === body.buffer && start >= 0 && start < body.length;
    if (isInBody) return body.subarray(start - before, start - before + length);
    before += piece.length;
  }
  return Buffer.concat(pieces);
}

/** Hands over a long body piece by piece: one full of near-boundaries takes 3 ms a megabyte, and others want the event loop. */
async function feed(parser: busboy.Busboy, body: Buffer): Promise<void> {
  for (let from = 0; from < body.length && !parser.destroyed; from += pieceBytes) {
    if (from > 0) await nextTurn();
    parser.write(body.subarray(from, from + pieceBytes));
  }
  parser.end();
}

function openParser(boundary: string, { mediaTypes, maxUploadBytes, maxFiles = 1 }: UploadRules): busboy.Busboy {
  const quoted = boundary.replaceAll(/["\\]/g, '\\$&');
  const parser = busboy({
    headers: { 'content-type': `multipart/form-data; boundary="${quoted}"` },
    // busboy tells of a limit when it is reached, not passed: hence one more byte, and one more part than files and fields.
    limits: { fileSize: maxUploadBytes + 1, parts: maxFields + maxFiles + 1 },
  });
  tellKinds(parser, mediaTypes);
  return parser;
}

type PartKind = 'named' | 'unnamed' | 'text';
type PartHeaders = Readonly<Record<string, readonly string[] | undefined>>;

/**
 * Makes busboy see each part as `kindOf` does, and a file's kind as its filename. By itself it takes a part for text that has an
 * image type but no filename, skips one whose Content-Disposition it cannot read, and has no option for either; this is its
 * last version.
 */
function tellKinds(parser: busboy.Busboy, mediaTypes: readonly string[]): void {
  let headerParser: { cb(headers: PartHeaders): void } | null = null;
  Object.defineProperty(parser, '_hparser', {
    get: () => headerParser,
    set(next: typeof headerParser) {
      headerParser = next;
      if (next === null || Object.hasOwn(next, 'isTold')) return;
      const { cb } = next;
      const told = (headers: PartHeaders) => {
        const kind = kindOf(headers, mediaTypes);
        const filename = kind === 'text' ? '' : `; filename=${kind}`;
        cb({ 'content-disposition': [`form-data${filename}`] });
      };
      Object.assign(next, { isTold: true, cb: told });
    },
  });
}

/** What a part is: one with a filename or an accepted type is a file, which counts when it has a name or bytes. */
function kindOf(headers: PartHeaders, mediaTypes: readonly string[]): PartKind {
  const [, ...parameters] = cutOutsideQuotes(headers['content-disposition']?.[0] ?? '', ';').map(readPair);
  const filenames = parameters.filter(([name]) => name === 'filename' || name === 'filename*');
  const [type = ''] = (headers['content-type']?.[0] ?? '').split(';', 1);
  if (filenames.length === 0 && !isAmong(mediaTypes, type.trim().toLowerCase())) return 'text';
  return filenames.some(([, filename]) => filename !== '') ? 'named' : 'unnamed';
}

/** The boundary of a multipart Content-Type. @throws Problem UPLOAD_MALFORMED where it names none */
function readBoundary(headers: IncomingHttpHeaders): string {
  const [, ...parameters] = cutOutsideQuotes(headers['content-type'] ?? '', ';').map(readPair);
  const boundary = parameters.find(([name]) => name === 'boundary')?.[1];
  if (boundary) return boundary;
  const detail = 'Expected a boundary for the multipart/form-data Content-Type but received none that can be read';
  throw new Problem('UPLOAD_MALFORMED', detail);
}

/** RFC 9110 8.3: without a Content-Type, the recipient may take the content for bytes. */
export function mediaType(headers: IncomingHttpHeaders): string {
  const [type = ''] = (headers['content-type'] ?? '').split(';', 1);
  return type.trim().toLowerCase() || 'application/octet-stream';
}

function isAmong(mediaTypes: readonly string[], type: string): boolean {
  return mediaTypes.some((known) =>
    known.endsWith('/*') ? type.startsWith(known.slice(0, -1)) && type.length >= known.length : type === known,
  );
}

export function isForm(headers: IncomingHttpHeaders): boolean {
  return mediaType(headers) === 'multipart/form-data';
}

function isMultipart(headers: IncomingHttpHeaders, maxFiles = 1): boolean {
  return isForm(headers) || (maxFiles > 1 && mediaType(headers) === 'multipart/mixed');
}

function tooMany(maxFiles: number): Problem {
  return maxFiles === 1
    ? new Problem('UPLOAD_AMBIGUOUS', 'Expected exactly one file for the upload but received more')
    : new Problem('UPLOAD_TOO_LARGE', `Expected at most ${maxFiles} files for a batch but received more`);
}

export function tooLarge(maxUploadBytes: number): Problem {
  return new Problem('UPLOAD_TOO_LARGE', `Expected at most ${maxUploadBytes} bytes for the upload but received more`);
}

export function empty(received: string): Problem {
  return new Problem('UPLOAD_EMPTY', `Expected one file for the upload but received ${received}`);
}
