/** A value and its version; a value that was written anew has another one. */
export interface Stored {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

/** Write only where there is no value, or where there is still this version of it. */
export type Condition = 'absent' | { readonly etag: string };

/**
 * Holds uploads, records and results, for several processes at a time. What a call says is done is durable and seen by all. Every method
 * rejects with the system's error where the store cannot be reached or is full, and nothing is half done then.
 */
export interface Store {
  get(key: string): Promise<Stored | undefined>;
  /** Settles with the new version, or undefined where the condition was not met: of several writers with the same condition one succeeds. */
  put(key: string, bytes: Uint8Array, condition?: Condition): Promise<string | undefined>;
  /** Does nothing where there is no value. */
  delete(key: string): Promise<void>;
  /** All keys that begin with `prefix`, which ends in a slash, in the order of their characters. */
  list(prefix: string): AsyncIterable<string>;
  /** The address of a key, for others. */
  uri(key: string): string;
}

/** Letters, digits and ._- between slashes; nothing that a path understands otherwise. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/.test(text) && text.length <= 512;
}
