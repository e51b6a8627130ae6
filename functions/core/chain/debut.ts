import { get } from 'node:http';

/** How long a pod that starts keeps to itself that a model can answer. */
export interface Debut {
  /** Whether it still waits for its lead model. Once it does not, it never does again. */
  waits(hasLeadModel: boolean): boolean;
}

/** `leads` when another function says that it is ready with its lead model, `none` for every other answer and for silence. */
export type DebutOutcome = 'leads' | 'none';

export interface DebutOptions {
  /** A listener that passes a GET of this on to another pod that is ready. */
  readonly url: string;
  readonly onEnd: (outcome: DebutOutcome, ms: number) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/** A platform may hold the question until some pod is ready, and under load an answer takes its time as well. */
const askedWithinMs = 2000;
/** A lead model that is not there by then may be long in coming, and the others are in need of help. */
const longestMs = 10_000;

/**
 * Asks at once whether another pod leads. Where one does, this one has time: who came to it before its lead model is loaded would
 * get less than from the others. The first one is needed as soon as it can answer at all.
 */
export function createDebut({ url, onEnd, now = () => performance.now() }: DebutOptions): Debut {
  const startedMs = now();
  let isOver = false;
  let outcome: DebutOutcome | undefined;
  ask(url).then((answer) => {
    outcome = answer;
    onEnd(answer, Math.round(now() - startedMs));
  });
  return {
    waits(hasLeadModel) {
      isOver ||= hasLeadModel || outcome === 'none' || now() - startedMs >= longestMs;
      return !isOver;
    },
  };
}

function ask(url: string): Promise<DebutOutcome> {
  return new Promise((resolve) => {
    // Not `fetch`, whose first use takes tens of milliseconds of a start; and the process may end meanwhile.
    const request = get(url, { agent: false, signal: AbortSignal.timeout(askedWithinMs) });
    request.on('socket', (socket) => socket.unref());
    request.on('error', () => resolve('none'));
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', () => resolve('none'));
      response.on('end', () => resolve(response.statusCode === 200 && isReady(text) ? 'leads' : 'none'));
    });
  });
}

/** The answer of GET /readyz. */
function isReady(text: string): boolean {
  try {
    return (JSON.parse(text) as { readonly status?: unknown } | null)?.status === 'ready';
  } catch {
    return false;
  }
}
