import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../ingress/port.ts';
import { requestIdPrefix } from './k6/shapes.ts';
import type { LoopReport } from './loop.ts';

/** nginx and both functions, started by ingress/start.ts. */
export interface Stack {
  readonly origin: string;
  /** The primary itself, without nginx. */
  readonly primaryOrigin: string;
  /** Process group of each program, the current one where it was started again. */
  groups(): Readonly<Record<string, number>>;
  /** k6's next request has been answered. */
  nextRequest(): Promise<void>;
  /** Lets it drain and end; what the functions' event loops report at their end, those of killed ones not. */
  stop(): Promise<readonly LoopReport[]>;
  /** Tells it to end and does not wait: for when this process itself is about to. */
  interrupt(): void;
}

const script = fileURLToPath(new URL('../ingress/start.js', import.meta.url));
/** For NODE_OPTIONS: has a function report what its event loop did. */
export const loopWatch = `--import=${new URL('./loop.js', import.meta.url)}`;
const photo = fileURLToPath(new URL('../../tests/images/test_image_1.jpg', import.meta.url));

/** Loading the primary model takes seconds; who has not by then never will. */
const leadWithinMs = 60_000;
/** After that many the code is compiled and the connections are there. */
const warmUpRequests = 20;
const shownLines = 30;

/**
 * Starts the stack on a free port and waits until the primary model answers. Without `watchesLoops` the event loops are left
 * alone: looking at one takes about 3 % of a core.
 * @throws Error with its last lines
 */
export async function startStack(
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  { watchesLoops } = { watchesLoops: true },
): Promise<Stack> {
  const port = await freePort();
  const child = spawn(process.execPath, [script], {
    env: {
      ...env,
      PORT: String(port),
      NODE_OPTIONS: `${env.NODE_OPTIONS ?? ''} ${watchesLoops ? loopWatch : ''}`,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a Ctrl-C reaches only us: k6 ends first, then the stack
  });
  const closed = once(child, 'close'); // its output has been read then
  signal.addEventListener('abort', () => isReady || child.kill('SIGINT'));
  const groups: Record<string, number> = {};
  const loops: LoopReport[] = [];
  const lines: string[] = [];
  let primaryPort = '';
  let isReady = false;
  let onRequest = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (line.includes('"uri":"/classify')) {
        if (line.includes(`"requestId":"${requestIdPrefix}`)) onRequest();
        return;
      }
      if (line.startsWith('{"message":"event loop"')) loops.push(JSON.parse(line));
      if (lines.push(line) > shownLines) lines.shift();
      const [, name, pid] = /^understudy: (\w+) is process (\d+)$/.exec(line) ?? [];
      if (name !== undefined) groups[name] = Number(pid);
      primaryPort = /"listening","function":"primary","port":(\d+)/.exec(line)?.[1] ?? primaryPort;
      if (line.includes('ready, ends with Ctrl-C')) isReady = true;
    });
  }
  const origin = `http://127.0.0.1:${port}`;
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  async function stop(): Promise<readonly LoopReport[]> {
    if (isRunning()) child.kill('SIGINT');
    await closed;
    return loops;
  }
  try {
    while (!(isReady && primaryPort !== '') && isRunning()) await sleep(50);
    if (!isRunning()) throw new Error('the stack could not start');
    await warmUp(origin);
  } catch (fault) {
    await stop();
    throw new Error(`${(fault as Error).message}; its last lines:\n${lines.join('\n')}`);
  }
  return {
    origin,
    primaryOrigin: `http://127.0.0.1:${primaryPort}`,
    groups: () => ({ ...groups }),
    nextRequest: () =>
      new Promise((resolve) => {
        onRequest = resolve;
      }),
    stop,
    interrupt: () => void (isRunning() && child.kill('SIGINT')),
  };
}

async function warmUp(origin: string): Promise<void> {
  const body = readFileSync(photo);
  const headers = { 'content-type': 'image/jpeg' };
  let leading = 0;
  for (const endMs = Date.now() + leadWithinMs; leading < warmUpRequests; ) {
    const response = await fetch(`${origin}/classify`, { method: 'POST', headers, body });
    const { degraded } = (await response.json()) as { degraded?: boolean };
    if (degraded === false) leading += 1;
    else if (Date.now() > endMs) throw new Error('Expected an answer of the primary model but received none');
    else await sleep(100);
  }
}
