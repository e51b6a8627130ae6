import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { functionCommand, memoryVariables } from '../functions/launch.ts';
import { readCommand } from '../ingress/command.ts';
import { freePort } from '../ingress/port.ts';
import { machine, median, print, table } from './report.ts';

readCommand(
  'Usage: node dist/load/start.js\n\nHow long each function takes from the start of its process to its first answer.',
  {},
);

/** Odd, so that the median is a run. */
const runs = 11;

/** How often a client knocks: what a measured time may be too long by. */
const pollMs = 5;

const photo = readFileSync('tests/images/test_image_1.jpg');
const headers = { 'content-type': 'image/jpeg' };

interface Start {
  /** Milliseconds from the spawn of the process. */
  readonly listeningMs: number;
  readonly answerMs: number;
  /** Until every model is loaded. */
  readonly readyMs: number;
  readonly firstModel: string;
}

/** Starts a function as its container does and asks until it answers, as a request that waits in front of it does. */
async function start(target: 'primary' | 'fallback'): Promise<Start> {
  const port = await freePort();
  const variables = { FUNCTION_TARGET: target, PORT: String(port), LOG_LEVEL: 'silent' };
  const env = { ...memoryVariables(target), ...process.env, ...variables };
  const [program, ...args] = functionCommand(target);
  const startedMs = performance.now();
  const child = spawn(program, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
  const sinceMs = () => performance.now() - startedMs;
  let listeningMs: number | undefined;
  let answer: { model: string } | undefined;
  const origin = `http://127.0.0.1:${port}`;
  while (!answer) {
    const response = await fetch(`${origin}/classify`, { method: 'POST', headers, body: photo }).catch(() => undefined);
    if (response) listeningMs ??= sinceMs();
    if (response?.status === 200) answer = (await response.json()) as { model: string };
    else await sleep(pollMs);
    if (child.exitCode !== null) throw new Error(`exit ${child.exitCode}`);
  }
  const answerMs = sinceMs();
  while (((await (await fetch(`${origin}/readyz`)).json()) as { status: string }).status !== 'ready')
    await sleep(pollMs);
  const readyMs = sinceMs();
  child.kill('SIGKILL');
  await once(child, 'exit');
  return { listeningMs: listeningMs ?? answerMs, answerMs, readyMs, firstModel: answer.model };
}

print(machine());
const starts: Record<string, Start[]> = { fallback: [], primary: [] };
for (let run = -1; run < runs; run += 1) {
  for (const target of ['fallback', 'primary'] as const) {
    const measured = await start(target);
    if (run >= 0) starts[target]?.push(measured); // the first brings the files into memory
  }
}
const rows = Object.entries(starts).map(([target, list]) => {
  const times = list.map(({ answerMs }) => answerMs);
  return [
    target,
    ...[
      median(list.map(({ listeningMs }) => listeningMs)),
      median(times),
      Math.min(...times),
      Math.max(...times),
      median(list.map(({ readyMs }) => readyMs)),
    ].map((ms) => ms.toFixed(0)),
    [...new Set(list.map(({ firstModel }) => firstModel))].join(', '),
  ];
});
print(`From the start of the process, ${runs} runs each, ms:\n`);
print(table(['function', 'listens', 'first 200, median', 'fastest', 'slowest', 'all models', 'first answer by'], rows));
