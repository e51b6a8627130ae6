import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../ingress/port.ts';
import { systems } from '../ingress/settings.ts';
import { requestIdPrefix } from './k6/shapes.ts';
import { type TaskName, tasks } from './k6/tasks.ts';

/** nginx and the functions of a task, started by ingress/start.ts. */
export interface Stack {
  readonly origin: string;
  /** Address of the function that leads, without nginx. */
  readonly primaryOrigin: string;
  /** Process group of each program; that of the new process after a restart. */
  groups(): Readonly<Record<string, number>>;
  /** Resolves when nginx has logged the next request of k6. */
  nextRequest(): Promise<void>;
  /** Drains and ends the stack. */
  stop(): Promise<void>;
  /** Signals the stack to end and does not wait: for the exit of this process. */
  interrupt(): void;
}

const script = fileURLToPath(new URL('../ingress/start.js', import.meta.url));
/** On a disk, as the store of `npm start` is: where /tmp is memory, jobs would cost too little. */
const results = fileURLToPath(new URL('../../load/results/', import.meta.url));
const images = fileURLToPath(new URL('../../tests/images/', import.meta.url));

/** The lead model loads in seconds. */
const leadWithinMs = 60_000;
/** After these the code is compiled and the connections are open. */
const warmUpRequests = 20;
const shownLines = 30;

/** Starts the stack on a free port, with no jobs but those it is sent, and waits until the lead model answers. @throws Error with its last lines */
export async function startStack(
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  task: TaskName = 'classify',
): Promise<Stack> {
  const port = await freePort();
  mkdirSync(results, { recursive: true });
  const store = mkdtempSync(join(results, `store-${process.pid}-`));
  const child = spawn(process.execPath, [script], {
    env: { ...env, FUNCTIONS: task, PORT: String(port), JOBS_STORE: store },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a Ctrl-C reaches only this process, which ends k6 before the stack
  });
  const closed = once(child, 'close').finally(() => rmSync(store, { recursive: true, force: true }));
  const groups: Record<string, number> = {};
  const lines: string[] = [];
  let primaryPort = '';
  let isReady = false;
  let onRequest = () => {};
  signal.addEventListener('abort', () => isReady || child.kill('SIGINT'));
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (line.includes(`"uri":"${tasks[task].path}`)) {
        if (line.includes(`"requestId":"${requestIdPrefix}`)) onRequest();
        return;
      }
      if (lines.push(line) > shownLines) lines.shift();
      const [, name, pid] = /^understudy: (\w+) is process (\d+)$/.exec(line) ?? [];
      if (name !== undefined) groups[name] = Number(pid);
      const [, listening, listensAt = ''] = /"listening","function":"(\w+)","port":(\d+)/.exec(line) ?? [];
      if (listening === systems[task].functions[0]) primaryPort = listensAt;
      if (line.includes('ready, ends with Ctrl-C')) isReady = true;
    });
  }
  const origin = `http://127.0.0.1:${port}`;
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  const interrupt = () => void (isRunning() && child.kill('SIGINT'));
  async function stop(): Promise<void> {
    interrupt();
    await closed;
  }
  try {
    while (!(isReady && primaryPort !== '') && isRunning()) await sleep(50);
    if (!isRunning()) throw new Error('the stack could not start');
    await warmUp(origin, task);
  } catch (fault) {
    await stop();
    throw new Error(`${(fault as Error).message}; its last lines:\n${lines.join('\n')}`);
  }
  const nextRequest = () =>
    new Promise<void>((resolve) => {
      onRequest = resolve;
    });
  const primaryOrigin = `http://127.0.0.1:${primaryPort}`;
  return { origin, primaryOrigin, groups: () => ({ ...groups }), nextRequest, stop, interrupt };
}

async function warmUp(origin: string, task: TaskName): Promise<void> {
  const { path, files, contentType } = tasks[task];
  const body = readFileSync(join(images, files[0]));
  const headers = { 'content-type': contentType };
  let leading = 0;
  for (const endMs = Date.now() + leadWithinMs; leading < warmUpRequests; ) {
    const response = await fetch(`${origin}${path}`, { method: 'POST', headers, body });
    const { degraded } = (await response.json()) as { degraded?: boolean };
    if (degraded === false) leading += 1;
    else if (Date.now() > endMs) throw new Error('Expected an answer of the lead model but received none');
    else await sleep(100);
  }
}
