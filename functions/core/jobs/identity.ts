import { createHmac, randomBytes, webcrypto } from 'node:crypto';
import type { JobAsk } from './job.ts';
import type { Store } from './store.ts';

/** What makes two requests the same. */
export interface Identity {
  readonly task: string;
  readonly ask: JobAsk;
  readonly strict: boolean;
  readonly callbackUrl: string | undefined;
  /** Of the upload, in hexadecimal. */
  readonly sha256: string;
}

/** Lowercase hexadecimal SHA-256, computed beside the event loop: 10 MB take it ten milliseconds. */
export async function digest(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');
}

/** Of the upload and of all that was asked, in any order; how long the client would wait is no part of it. */
export async function fingerprintOf({ task, ask, strict, callbackUrl, sha256 }: Identity): Promise<string> {
  const query = new URLSearchParams(ask.query);
  query.sort();
  const headers = Object.entries(ask.headers).sort(([one], [other]) => (one < other ? -1 : 1));
  const parts = [task, query.toString(), headers, strict, callbackUrl ?? null, sha256];
  // At the end, so that other jobs keep the ids that they have had since before there were doors.
  return digest(Buffer.from(JSON.stringify(ask.door === undefined ? parts : [...parts, ask.door])));
}

const secretKey = 'secret';
const secretBytes = 32;

/** Random bytes that all users of a store share; whoever comes first makes them. */
export async function readSecret(store: Store): Promise<Uint8Array> {
  const known = (await store.get(secretKey)) ?? (await makeSecret(store));
  return known.bytes;
}

async function makeSecret(store: Store) {
  await store.put(secretKey, randomBytes(secretBytes), 'absent');
  const made = await store.get(secretKey);
  if (!made) throw new Error('Expected the secret of the store but received none');
  return made;
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const idLength = 26;

/** Whose jobs a repeat finds, and by what. */
export interface Claim {
  readonly task: string;
  /** The name of the API key that the ingress has checked; undefined where it asks for none. */
  readonly owner: string | undefined;
  readonly idempotencyKey: string | undefined;
}

/**
 * Equal for equal requests of one owner to one store. It cannot be guessed without the store's secret: an id is enough to read its job,
 * and keys that clients choose are as simple as 1.
 */
export function idOf(secret: Uint8Array, { task, owner, idempotencyKey }: Claim, fingerprint: string): string {
  const what = idempotencyKey === undefined ? ['content', fingerprint] : ['key', idempotencyKey];
  const parts = owner === undefined ? [task, ...what] : [task, ...what, owner];
  const hash = createHmac('sha256', secret).update(JSON.stringify(parts)).digest();
  return Array.from(hash.subarray(0, idLength), (byte) => alphabet[byte % alphabet.length]).join('');
}
