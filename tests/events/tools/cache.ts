import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe } from '@jest/globals';

/** Where install.sh leaves the servers. */
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy');

/** The class path of the broker. */
export const kafkaLibraries = join(cache, 'kafka', 'libs');

export const versitygw = join(cache, 'bin', 'versitygw');

/** `describe` where all servers are there; else its tests are skipped and counted. */
export function describeWith(...servers: readonly string[]): typeof describe | typeof describe.skip {
  return servers.every((path) => existsSync(path)) ? describe : describe.skip;
}
