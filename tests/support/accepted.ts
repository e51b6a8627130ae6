import { createDesk, type Order } from '../../functions/core/jobs/desk.ts';
import { createDirectoryStore } from '../../functions/core/jobs/directory.ts';
import { createDue } from '../../functions/core/jobs/due.ts';
import type { JobEvent } from '../../functions/core/jobs/event.ts';
import { decodeRecord, type Job, recordKey } from '../../functions/core/jobs/job.ts';
import { createRecords } from '../../functions/core/jobs/records.ts';

const hourMs = 3_600_000;

/** Accepts jobs as a function does, into a store in a folder, and keeps their events. */
export function acceptInto(folder: string) {
  const store = createDirectoryStore(folder);
  const events: JobEvent[] = [];
  const queue = {
    send: async (event: JobEvent) => void events.push(event),
    backlog: async () => ({ count: 0, oldestAt: undefined }),
    close: async () => {},
  };
  const records = createRecords({ store, retentionMs: hourMs, onEnd: async () => {} });
  const due = createDue({ store, retentionMs: hourMs, photoRetentionMs: hourMs });
  const desk = createDesk({ store, queue, records, due, max: 100 });
  return {
    store,
    /** Accepts a job; what is not named is as usual. */
    async accept(order: Partial<Order> & Pick<Order, 'task' | 'bytes'>): Promise<JobEvent> {
      const usual = {
        ask: { query: '', headers: {} },
        strict: false,
        requestId: 'request',
        deadlineMs: hourMs,
        mediaType: 'application/octet-stream',
        owner: undefined,
        idempotencyKey: undefined,
        callbackUrl: undefined,
      };
      await desk.accept({ ...usual, ...order }, () => '1');
      return events.at(-1) as JobEvent;
    },
    async read(id: string): Promise<Job> {
      const stored = await store.get(recordKey(id));
      return decodeRecord(stored?.bytes ?? new Uint8Array()) as Job;
    },
    async resultOf({ result }: Job): Promise<string> {
      return String(Buffer.from((result && (await store.get(result.key)))?.bytes ?? ''));
    },
  };
}
