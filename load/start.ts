import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCommand } from '../ingress/command.ts';
import { pollMs, startFunction, type Target } from './function.ts';
import { machine, median, print, table } from './report.ts';

readCommand(
  'Usage: node dist/load/start.js\n\nHow long each function takes from the start of its process to its first answer.',
  {},
);

/** Odd, so that the median is a run. */
const runs = 11;

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

/** Starts a function and asks until it answers, as a waiting request does. */
async function measure(target: Target): Promise<Start> {
  const { origin, process, startedMs, untilReady, kill } = await startFunction(target);
  const sinceMs = () => performance.now() - startedMs;
  let listeningMs: number | undefined;
  let answer: { model: string } | undefined;
  while (!answer) {
    const response = await fetch(`${origin}/classify`, { method: 'POST', headers, body: photo }).catch(() => undefined);
    if (response) listeningMs ??= sinceMs();
    if (response?.status === 200) answer = (await response.json()) as { model: string };
    else await sleep(pollMs);
    if (process.exitCode !== null) throw new Error(`Expected a function that starts but it ended: ${process.exitCode}`);
  }
  const answerMs = sinceMs();
  await untilReady();
  const readyMs = sinceMs();
  await kill();
  return { listeningMs: listeningMs ?? answerMs, answerMs, readyMs, firstModel: answer.model };
}

function rowOf(target: string, starts: readonly Start[]): string[] {
  const times = starts.map(({ answerMs }) => answerMs);
  const figures = [
    median(starts.map(({ listeningMs }) => listeningMs)),
    median(times),
    Math.min(...times),
    Math.max(...times),
    median(starts.map(({ readyMs }) => readyMs)),
  ];
  const models = [...new Set(starts.map(({ firstModel }) => firstModel))].join(', ');
  return [target, ...figures.map((ms) => ms.toFixed(0)), models];
}

print(machine());
const starts: Record<Target, Start[]> = { fallback: [], primary: [] };
for (let run = -1; run < runs; run += 1) {
  for (const target of ['fallback', 'primary'] as const) {
    const measured = await measure(target);
    if (run >= 0) starts[target].push(measured); // the first run brings the files into memory
  }
}
print(`From the start of the process, ${runs} runs each, ms:\n`);
const head = ['function', 'listens', 'first 200, median', 'fastest', 'slowest', 'all models', 'first answer by'];
print(
  table(
    head,
    Object.entries(starts).map(([target, list]) => rowOf(target, list)),
  ),
);
