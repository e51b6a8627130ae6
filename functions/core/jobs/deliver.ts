import { type EventRequest, type Message, toRequest } from './binding.ts';
import type { Delivery, Verdict } from './kafka.ts';
import type { Topics } from './topics.ts';

/** What the function that runs jobs says of an event. */
export type Reply =
  /** It is done with; `dead`: nothing came of it, and nothing would. */
  | { readonly status: 'done'; readonly dead?: string | undefined }
  /** It is to come again after a pause, others may come before. */
  | {
      readonly status: 'later';
      readonly afterMs: number;
      /** It must not come later than that. */
      readonly withinMs?: number | undefined;
      readonly cause: string;
    }
  /** It was not looked at: the function is away, or not ready. */
  | { readonly status: 'away'; readonly afterMs: number; readonly cause: string };

export interface DeliverOptions {
  readonly topics: Topics;
  ask(request: EventRequest): Promise<Reply>;
  send(topic: string, message: Message): Promise<void>;
  /** Told of every delivery. */
  onDelivered(delivery: Delivery, reply: Reply): void;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** What a message that is sent on says of itself; all in the words of where it came from first. */
const headerNames = {
  topic: 'understudy_topic',
  partition: 'understudy_partition',
  offset: 'understudy_offset',
  attempt: 'understudy_attempt',
  cause: 'understudy_cause',
  dueAt: 'understudy_due_at',
} as const;

/**
 * Hands a message to the function, and says what becomes of it. One whose job has not ended goes to the next topic of retries, so that
 * those behind it need not wait; one that can never be processed goes to the topic of dead letters. It is done with only after that.
 */
export function createDeliver({ topics, ask, send, onDelivered, now = Date.now }: DeliverOptions) {
  return async (delivery: Delivery): Promise<Verdict> => {
    const waitMs = Number(delivery.headers[headerNames.dueAt] ?? 0) - now();
    if (waitMs > 0) return { isDone: false, afterMs: waitMs };
    const reply = await ask(toRequest(delivery));
    onDelivered(delivery, reply);
    switch (reply.status) {
      case 'away':
        return { isDone: false, afterMs: reply.afterMs };
      case 'later': {
        const { afterMs, withinMs = Number.POSITIVE_INFINITY } = reply;
        const next = nextTopic(topics.retries, delivery.topic, withinMs);
        const dueAt = now() + Math.min(withinMs, Math.max(next.delayMs, afterMs));
        await send(next.name, sentOn(delivery, reply.cause, { [headerNames.dueAt]: String(dueAt) }));
        return { isDone: true };
      }
      case 'done':
        if (reply.dead !== undefined) await send(topics.dead, sentOn(delivery, reply.dead));
        return { isDone: true };
    }
  };
}

/** The one behind the present one, or one of shorter pauses for a job that is to come sooner: in its own, others would wait for it. */
function nextTopic(retries: Topics['retries'], present: string, withinMs: number): Topics['retries'][number] {
  const reached = retries.slice(0, retries.findIndex(({ name }) => name === present) + 2);
  return reached.findLast(({ delayMs }) => delayMs <= withinMs) ?? (retries[0] as Topics['retries'][number]);
}

function sentOn(
  { key, value, headers, topic, partition, offset }: Delivery,
  cause: string,
  further: Message['headers'] = {},
): Message {
  const { [headerNames.dueAt]: _, ...kept } = headers;
  return {
    key,
    value,
    headers: {
      [headerNames.topic]: topic,
      [headerNames.partition]: String(partition),
      [headerNames.offset]: offset,
      ...kept,
      [headerNames.attempt]: String(Number(headers[headerNames.attempt] ?? 0) + 1),
      [headerNames.cause]: cause,
      ...further,
    },
  };
}
