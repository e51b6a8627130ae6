import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { readAddress, uriOf } from './address.ts';
import { type Condition, isKey, type Store, type Stored } from './store.ts';

/** What one call may take, tries included: an answer of 503 is better than a client that waits. */
const callMs = 10_000;

/** A server that is there takes connections in a few milliseconds, one across the world in some hundred. */
const connectMs = 1000;

/** Without a byte of the other side. The largest upload takes a second at 100 Mbit/s. */
const silenceMs = 5000;

/** How often an answer of 409 is followed by another try: several writers of one key are told to come again. */
const conflictTries = 5;

/**
 * A store in a bucket of S3, or of another server that knows conditional writes (`If-None-Match: *`, `If-Match`). The SDK reads
 * AWS_REGION, AWS_ENDPOINT_URL_S3 and credentials as the tools of AWS do. Two values of the same bytes have the same etag.
 * @param address s3://BUCKET or s3://BUCKET/PREFIX
 */
export function createS3Store(address: string): Store {
  const { bucket, prefix } = readAddress(address);
  const client = createClient();
  const objectOf = (key: string) => {
    if (isKey(key)) return { Bucket: bucket, Key: `${prefix}${key}` };
    throw new Error(`Expected a key of the store but received ${JSON.stringify(key)}`);
  };
  const limit = () => ({ abortSignal: AbortSignal.timeout(callMs) });

  async function get(key: string): Promise<Stored | undefined> {
    try {
      const { Body, ETag = '' } = await client.send(new GetObjectCommand(objectOf(key)), limit());
      return { bytes: (await Body?.transformToByteArray()) ?? new Uint8Array(), etag: ETag };
    } catch (fault) {
      if (isAbsent(fault)) return undefined;
      throw fault;
    }
  }

  async function put(key: string, bytes: Uint8Array, condition?: Condition): Promise<string | undefined> {
    const command = new PutObjectCommand({ ...objectOf(key), Body: bytes, ...headersOf(condition) });
    for (let tries = 1; ; tries += 1) {
      try {
        return (await client.send(command, limit())).ETag ?? '';
      } catch (fault) {
        if (statusOf(fault) === 409 && tries < conflictTries) continue;
        const isUnmet = condition !== undefined && (statusOf(fault) === 412 || isAbsent(fault));
        if (!isUnmet) throw fault;
        return wasTriedBefore(fault) ? etagOfOwn(key, bytes) : undefined;
      }
    }
  }

  /** The first try may have succeeded though its answer was lost; then the second one meets its own value. */
  async function etagOfOwn(key: string, bytes: Uint8Array): Promise<string | undefined> {
    const present = await get(key);
    return present && Buffer.from(bytes).equals(present.bytes) ? present.etag : undefined;
  }

  async function* list(folder: string): AsyncGenerator<string, void> {
    if (!folder.endsWith('/') || !isKey(folder.slice(0, -1))) {
      throw new Error(`Expected a key and a slash for the prefix but received ${JSON.stringify(folder)}`);
    }
    for (let token: string | undefined, isFirst = true; isFirst || token !== undefined; isFirst = false) {
      const page = new ListObjectsV2Command({ Bucket: bucket, Prefix: `${prefix}${folder}`, ContinuationToken: token });
      const { Contents = [], NextContinuationToken } = await client.send(page, limit());
      for (const { Key = '' } of Contents) yield Key.slice(prefix.length);
      token = NextContinuationToken;
    }
  }

  return {
    get,
    put,
    delete: async (key) => {
      await client.send(new DeleteObjectCommand(objectOf(key)), limit());
    },
    list,
    uri: (key) => uriOf(address, key),
  };
}

function createClient(): S3Client {
  return new S3Client({
    forcePathStyle: true, // other servers have one host name for all buckets, and AWS takes both
    maxAttempts: 3,
    requestHandler: { connectionTimeout: connectMs, requestTimeout: silenceMs, throwOnRequestTimeout: true },
    // Other servers than AWS' know no checksum trailers; an upload is checked by its SHA-256, and TLS does for the rest.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}

function headersOf(condition: Condition | undefined): { readonly IfNoneMatch?: string; readonly IfMatch?: string } {
  if (condition === undefined) return {};
  return condition === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.etag };
}

function statusOf(fault: unknown): number | undefined {
  return fault instanceof S3ServiceException ? fault.$metadata.httpStatusCode : undefined;
}

/** Of a key; a bucket that is not there is another fault. */
function isAbsent(fault: unknown): boolean {
  return fault instanceof S3ServiceException && fault.name === 'NoSuchKey';
}

function wasTriedBefore(fault: unknown): boolean {
  return fault instanceof S3ServiceException && (fault.$metadata.attempts ?? 1) > 1;
}
