import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDirectoryStore } from '../../functions/core/jobs/directory.ts';
import { describeStore } from '../support/store-contract.ts';

describeStore('a store in a folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'store-test-'));
  return {
    open: () => createDirectoryStore(folder),
    close: async () => rmSync(folder, { recursive: true }),
  };
});
