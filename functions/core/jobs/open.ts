import type { Log } from '../observe/log.ts';
import { openBucket } from './bucket.ts';
import { createDirectoryStore, sweepDrafts } from './directory.ts';
import { createKafkaQueue } from './kafka-queue.ts';
import type { Queue } from './queue.ts';
import type { JobsConfig } from './settings.ts';
import { createSpool, type Spool } from './spool.ts';
import type { Store } from './store.ts';

/** The store that JOBS_STORE names. */
export function openStore({ store }: JobsConfig): Store {
  if (store.startsWith('s3:')) return openBucket(store);
  sweepDrafts(store).catch(() => {}); // tried again at the next start
  return createDirectoryStore(store);
}

/** A queue, with `work` for what has to be done here where it brings no jobs by itself. */
export function openQueue({ kafka }: JobsConfig, store: Store, log: Log): Queue & Partial<Pick<Spool, 'work'>> {
  return kafka ? createKafkaQueue(kafka, log) : createSpool({ store, log });
}
