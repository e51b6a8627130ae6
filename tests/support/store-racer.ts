import { createDirectoryStore } from '../../functions/core/jobs/directory.ts';

// One of several processes that write to the same store: node store-racer.js FOLDER count|gate TIMES. Prints how often it was first.

const [folder = '', kind, times] = process.argv.slice(2);
const store = createDirectoryStore(folder);

/** Adds 1 to the number under a key so often, whatever the others do to it. */
async function count(): Promise<number> {
  let done = 0;
  while (done < Number(times)) {
    const stored = await store.get('shared/count');
    if (!stored) continue;
    const next = Buffer.from(String(Number(Buffer.from(stored.bytes).toString()) + 1));
    if ((await store.put('shared/count', next, { etag: stored.etag })) !== undefined) done += 1;
  }
  return done;
}

/** Takes so many keys if nobody has before. */
async function passGates(): Promise<number> {
  let first = 0;
  for (let i = 0; i < Number(times); i += 1) {
    if ((await store.put(`gates/${i}`, Buffer.from(String(process.pid)), 'absent')) !== undefined) first += 1;
  }
  return first;
}

process.stdout.write(String(await (kind === 'count' ? count() : passGates())));
