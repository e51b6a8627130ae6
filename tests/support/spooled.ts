import { once } from 'node:events';
import { afterEach, beforeEach, expect } from '@jest/globals';
import type { Store } from '../../functions/core/jobs/store.ts';
import type { RunningFunction } from './function.ts';
import { idOf, makeStoreFolder, openStore, order } from './jobs.ts';
import { cleanAfterEach } from './served.ts';

/** A new folder for jobs before each test of a file, and functions on it that end after the test. */
export function useSpool() {
  const { start, modelsDir } = cleanAfterEach();
  let removeFolder: () => void;
  const spool = {
    folder: '',
    store: {} as Store,
    start,
    modelsDir,

    /** Starts a function with one worker on the folder, and waits until all of its models are loaded. */
    async startReady(target: 'primary' | 'fallback', env: NodeJS.ProcessEnv = {}): Promise<RunningFunction> {
      const fn = await start(target, { JOBS_STORE: spool.folder, WORKERS: '1', ...env });
      await fn.ready();
      return fn;
    },

    /** Accepts a job where none is run. */
    async accept(sent: Parameters<typeof order>[1]): Promise<string> {
      const fallback = await spool.startReady('fallback');
      const { status, headers } = await order(fallback, sent);
      expect(status).toBe(202);
      await kill(fallback);
      return idOf(headers.location);
    },
  };
  beforeEach(() => {
    [spool.folder, removeFolder] = makeStoreFolder();
    spool.store = openStore(spool.folder);
  });
  afterEach(() => removeFolder());
  return spool;
}

/** kill -9, and its end. */
export async function kill({ process }: RunningFunction): Promise<void> {
  process.kill('SIGKILL');
  await once(process, 'exit');
}
