import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Who has no answer by then goes away; k6 is told the same. */
export const patienceMs = 10_000;
/** An answer within it counts as good. */
export const goodMs = 1_000;

/** A request to POST /classify, or elsewhere for the table of bad inputs. */
export interface Request {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly path?: string;
}

/** What came of a request. */
export interface Answer {
  /** On the clock of `performance.now()`. */
  readonly startedMs: number;
  readonly ms: number;
  /** 0: no answer. */
  readonly status: number;
  readonly model?: string;
  /** Best prediction: index and score. */
  readonly top?: readonly [index: number, score: number];
  readonly fault?: string;
}

/** Refusals come at once: who is refused does not spin. */
const backOffMs = 50;

const boundary = 'photo-7d1f4b1a';

/** A form with one file, as curl and browsers send it. */
export function form(file: Buffer, { field = 'image', type = 'image/jpeg', name = 'photo.jpg' } = {}): Request {
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n`;
  return {
    body: Buffer.concat([Buffer.from(head), file, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  };
}

/** Asks once; never rejects. */
export async function ask(
  origin: string,
  { body, headers, method = 'POST', path = '/classify' }: Request,
  agent: Agent,
): Promise<Answer> {
  const startedMs = performance.now();
  const since = () => performance.now() - startedMs;
  const signal = AbortSignal.timeout(patienceMs);
  try {
    const length = method === 'GET' ? {} : { 'content-length': body.length };
    const sent = httpRequest(origin + path, { method, agent, signal, headers: { ...headers, ...length } });
    // A server that refuses an upload may answer and hang up before all of it is sent: the answer counts.
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    sent.on('error', () => {});
    sent.end(method === 'GET' ? undefined : body);
    const [response] = await answered;
    const text = Buffer.concat(await response.toArray()).toString();
    return { startedMs, ms: since(), status: response.statusCode ?? 0, ...read(response.statusCode, text) };
  } catch (fault) {
    const { code, name } = fault as NodeJS.ErrnoException;
    return { startedMs, ms: since(), status: 0, fault: signal.aborted ? 'gave up' : (code ?? name) };
  }
}

function read(status: number | undefined, text: string): Pick<Answer, 'model' | 'top'> {
  if (status !== 200) return {};
  try {
    const { model, predictions } = JSON.parse(text) as {
      model: string;
      predictions: readonly { index: number; score: number }[];
    };
    const [best] = predictions;
    return best ? { model, top: [best.index, best.score] } : {};
  } catch {
    return {};
  }
}

/** Whether the request was classified, by whichever model. */
export function isAnswered({ status, top }: Answer): boolean {
  return status === 200 && top !== undefined;
}

/** Whether the server said that it has no room: come back later. */
export function isRefused({ status }: Answer): boolean {
  return status === 429 || status === 503;
}

/** An agent that keeps its connections, as a client that asks often does. */
export function keptConnections(): Agent {
  return new Agent({ keepAlive: true });
}

/** Asks `perSecond` times a second, whatever comes back; settles when all have been answered or given up. */
export async function openLoop(
  origin: string,
  requests: readonly Request[],
  { perSecond, seconds }: { perSecond: number; seconds: number },
): Promise<readonly Answer[]> {
  const agent = keptConnections();
  const asked: Promise<Answer>[] = [];
  const beganMs = performance.now();
  for (let turn = 0; turn < perSecond * seconds; turn += 1) {
    await sleep(Math.max(0, beganMs + (turn * 1000) / perSecond - performance.now()));
    asked.push(ask(origin, requests[turn % requests.length] as Request, agent));
  }
  return Promise.all(asked).finally(() => agent.destroy());
}

/** Some clients ask as soon as they are answered, until `endMs` on the clock of `performance.now()`. */
export async function closedLoop(
  origin: string,
  requests: readonly Request[],
  { clients, endMs }: { clients: number; endMs: number },
): Promise<readonly Answer[]> {
  const agent = keptConnections();
  const answers: Answer[] = [];
  const client = async (first: number) => {
    for (let turn = first; performance.now() < endMs; turn += clients) {
      const answer = await ask(origin, requests[turn % requests.length] as Request, agent);
      answers.push(answer);
      if (!isAnswered(answer)) await sleep(backOffMs);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  agent.destroy();
  return answers;
}
