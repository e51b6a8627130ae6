import type { EventRequest } from './binding.ts';
import type { Reply } from './deliver.ts';

/** A run takes seconds at most, but others of the same task may come before. Shorter than a reader may take for a message. */
const answerMs = 120_000;

/** When a function that is away is asked again. */
const awayMs = 1000;

/** Nothing was sent: the same message may come again at once, and its job had no run. */
const unsent = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT'];

/** Tells the function that a job comes again in time without being held, which would hold up those behind it. */
export const holdHeader = 'x-job-hold';

/** Within how many milliseconds a job must come again. */
export const withinHeader = 'x-job-within-ms';

/** Posts events to the function at this address. */
export function createAsking(url: string, fetchIt: typeof fetch = fetch) {
  return async ({ headers, body }: EventRequest): Promise<Reply> => {
    try {
      const signal = AbortSignal.timeout(answerMs);
      const sent = { method: 'POST', headers: { ...headers, [holdHeader]: 'never' }, body: Buffer.from(body), signal };
      const response = await fetchIt(url, sent);
      await response.arrayBuffer();
      return replyOf(response.status, response.headers);
    } catch (fault) {
      const { code, message } = ((fault as Error).cause ?? fault) as NodeJS.ErrnoException;
      const status = unsent.includes(String(code)) ? 'away' : 'later';
      return { status, afterMs: awayMs, cause: `no answer: ${message}` };
    }
  };
}

function replyOf(status: number, headers: Headers): Reply {
  if (status >= 200 && status < 300) return { status: 'done', dead: headers.get('x-dead-letter') ?? undefined };
  const cause = `answer ${status}`;
  const afterMs = Number(headers.get('retry-after') ?? 0) * 1000;
  const wasLookedAt = headers.has('x-job-attempts');
  // The function, or what is in front of it, cannot take any event now.
  if ((status === 503 && !wasLookedAt) || status === 429) return { status: 'away', afterMs: afterMs || awayMs, cause };
  // It is the event's fault. 408 is not: the body did not arrive.
  if (status < 500 && status !== 408) return { status: 'done', dead: cause };
  const within = headers.get(withinHeader);
  return { status: 'later', afterMs, ...(within !== null && { withinMs: Number(within) }), cause };
}
