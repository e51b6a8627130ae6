import { uriOf } from './address.ts';
import type { Store } from './store.ts';

/** A store in a bucket, without the SDK until the first call: that takes 24 MiB and 0.2 s of the event loop. */
export function openBucket(address: string): Store {
  let opened: Promise<Store> | undefined;
  const open = () => {
    opened ??= import('./s3.ts').then(({ createS3Store }) => createS3Store(address));
    return opened;
  };
  return {
    get: async (key) => (await open()).get(key),
    put: async (key, bytes, condition) => (await open()).put(key, bytes, condition),
    delete: async (key) => (await open()).delete(key),
    async *list(prefix) {
      yield* (await open()).list(prefix);
    },
    uri: (key) => uriOf(address, key),
  };
}
