import type { IncomingHttpHeaders } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import busboy from 'busboy';
import { Problem } from './problem.ts';

/** The bytes of one image, as they were sent; they may be a part of a longer body. */
export interface Upload {
  readonly bytes: Buffer;
}

/** Room in a multipart body beside the file: boundaries, part headers (16 KiB at most each in busboy), small text fields. */
const multipartOverheadBytes = 64 * 1024;

/** Parsed without a pause; most photos are smaller. */
const pieceBytes = 1024 * 1024;

/** A form that people fill in has fewer text fields beside its file. */
const maxFields = 32;

/**
 * Judges what is known before any byte of the body.
 * @throws Problem UPLOAD_UNSUPPORTED | UPLOAD_MALFORMED | UPLOAD_TOO_LARGE | UPLOAD_EMPTY
 */
export function judgeUploadHeaders(headers: IncomingHttpHeaders, maxUploadBytes: number): void {
  const encoding = headers['content-encoding']?.trim().toLowerCase();
  if (encoding && encoding !== 'identity') {
    throw new Problem('UPLOAD_UNSUPPORTED', 'Expected no Content-Encoding for the upload but received one');
  }
  const type = mediaType(headers);
  if (!/^(multipart\/form-data|image\/.+|application\/octet-stream)$/.test(type)) {
    const detail = `Expected multipart/form-data, image/* or application/octet-stream for Content-Type but received ${type ? 'another type' : 'none'}`;
    throw new Problem('UPLOAD_UNSUPPORTED', detail);
  }
  if (isMultipart(headers)) openParser(headers, maxUploadBytes);

  const length = headers['content-length'];
  if (length === undefined) return;
  if (Number(length) > maxBodyBytes(headers, maxUploadBytes)) throw tooLarge(maxUploadBytes);
  if (Number(length) === 0) throw empty('no bytes');
}

/** The longest body that can hold an upload of `maxUploadBytes`. */
export function maxBodyBytes(headers: IncomingHttpHeaders, maxUploadBytes: number): number {
  return isMultipart(headers) ? maxUploadBytes + multipartOverheadBytes : maxUploadBytes;
}

/**
 * The one file of a multipart body, under whatever field name, or the raw body itself; nothing is copied where the file
 * lies in one piece. Text fields beside it are skipped.
 * @throws Problem UPLOAD_MALFORMED | UPLOAD_EMPTY | UPLOAD_AMBIGUOUS | UPLOAD_TOO_LARGE
 */
export async function readUpload(headers: IncomingHttpHeaders, body: Buffer, maxUploadBytes: number): Promise<Upload> {
  if (body.length === 0) throw empty('no bytes');
  const bytes = isMultipart(headers) ? await readFile(headers, body, maxUploadBytes) : body;
  if (bytes.length > maxUploadBytes) throw tooLarge(maxUploadBytes);
  if (bytes.length === 0) throw empty('a file of no bytes');
  return { bytes };
}

/** The file of a multipart body; at most one byte longer than `maxUploadBytes`. */
function readFile(headers: IncomingHttpHeaders, body: Buffer, maxUploadBytes: number): Promise<Buffer> {
  const parser = openParser(headers, maxUploadBytes);
  return new Promise((resolve, reject) => {
    const malformed = (cause: unknown) => {
      const detail = 'Expected a complete multipart/form-data body for the upload but received one cut short or broken';
      reject(new Problem('UPLOAD_MALFORMED', detail, { cause }));
    };
    let chunks: Buffer[] | undefined;
    parser.on('file', (_field, file) => {
      const pieces: Buffer[] = [];
      chunks = pieces;
      // A body cut short raises its error here; without this listener it would end the process.
      file.on('error', malformed);
      file.on('data', (piece: Buffer) => pieces.push(piece));
    });
    parser.on('filesLimit', () => {
      reject(new Problem('UPLOAD_AMBIGUOUS', 'Expected exactly one file for the upload but received more'));
    });
    parser.on('partsLimit', () => {
      const detail = `Expected at most ${maxFields} fields beside the file for the upload but received more`;
      reject(new Problem('UPLOAD_MALFORMED', detail));
    });
    parser.on('error', malformed);
    parser.on('close', () => {
      const [first, ...rest] = chunks ?? [];
      if (chunks === undefined) reject(empty('no file'));
      else resolve(first === undefined ? Buffer.alloc(0) : rest.length === 0 ? first : Buffer.concat(chunks));
    });
    feed(parser, body).catch(malformed);
  });
}

/** Hands over a long body piece by piece: one full of near-boundaries takes 3 ms a megabyte, and others want the event loop. */
async function feed(parser: busboy.Busboy, body: Buffer): Promise<void> {
  for (let from = 0; from < body.length && !parser.destroyed; from += pieceBytes) {
    if (from > 0) await nextTurn();
    parser.write(body.subarray(from, from + pieceBytes));
  }
  parser.end();
}

/** @throws Problem UPLOAD_MALFORMED where the Content-Type names no boundary */
function openParser(headers: IncomingHttpHeaders, maxUploadBytes: number): busboy.Busboy {
  try {
    // busboy tells of a limit when it is reached, not passed: hence one more byte, and one more part than file and fields.
    return busboy({ headers, limits: { files: 1, fileSize: maxUploadBytes + 1, parts: maxFields + 2 } });
  } catch (cause) {
    const detail = 'Expected a boundary for the multipart/form-data Content-Type but received none';
    throw new Problem('UPLOAD_MALFORMED', detail, { cause });
  }
}

function mediaType(headers: IncomingHttpHeaders): string {
  return (headers['content-type'] ?? '').split(';', 1).join().trim().toLowerCase();
}

function isMultipart(headers: IncomingHttpHeaders): boolean {
  return mediaType(headers) === 'multipart/form-data';
}

function tooLarge(maxUploadBytes: number): Problem {
  return new Problem('UPLOAD_TOO_LARGE', `Expected at most ${maxUploadBytes} bytes for the upload but received more`);
}

function empty(received: string): Problem {
  return new Problem('UPLOAD_EMPTY', `Expected one file for the upload but received ${received}`);
}
