import type { Log } from '../observe/log.ts';
import { createDirectoryStore } from './directory.ts';
import type { JobsConfig } from './settings.ts';
import { createSpool, type Spool } from './spool.ts';
import type { Store } from './store.ts';

/** The store that JOBS_STORE names. */
export function openStore({ store }: JobsConfig): Store {
  return createDirectoryStore(store);
}

/** A queue, and what has to be done here where it brings no jobs by itself. */
export function openSpool(store: Store, log: Log): Spool {
  return createSpool({ store, log });
}
