/** One part of a form: a file when it has a `filename`, else a text field. */
export interface Part {
  readonly name: string;
  readonly content: Uint8Array | string;
  readonly filename?: string;
  readonly contentType?: string;
}

export interface MultipartBody {
  readonly headers: { readonly 'content-type': string; readonly 'content-length': string };
  readonly body: Buffer;
}

const boundary = 'understudy-test-boundary';

/** A well-formed multipart/form-data body of these parts, with the headers that go with it. */
export function multipart(...parts: readonly Part[]): MultipartBody {
  const pieces = parts.flatMap((part) => [`--${boundary}\r\n${partHeaders(part)}\r\n\r\n`, part.content, '\r\n']);
  return rawMultipart([...pieces, `--${boundary}--\r\n`]);
}

/** A body of exactly these pieces, for what no client should send; `boundaryLine` opens a part. */
export function rawMultipart(pieces: readonly (Uint8Array | string)[]): MultipartBody {
  const body = Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)));
  const contentType = `multipart/form-data; boundary=${boundary}`;
  return { headers: { 'content-type': contentType, 'content-length': String(body.length) }, body };
}

/** The line that opens a part in a `rawMultipart` body. */
export const boundaryLine = `--${boundary}\r\n`;

/** A file part with the documented field name. */
export function imagePart(content: Uint8Array | string, filename = 'image.jpg'): Part {
  return { name: 'image', content, filename, contentType: 'image/jpeg' };
}

/** The same body without its last `bytes` bytes, as a connection that breaks leaves it. */
export function cutShort({ headers, body }: MultipartBody, bytes: number): MultipartBody {
  const rest = body.subarray(0, body.length - bytes);
  return { headers: { ...headers, 'content-length': String(rest.length) }, body: rest };
}

function partHeaders({ name, filename, contentType }: Part): string {
  const file = filename === undefined ? '' : `; filename="${filename}"`;
  const type = contentType === undefined ? '' : `\r\nContent-Type: ${contentType}`;
  return `Content-Disposition: form-data; name="${name}"${file}${type}`;
}
