import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FunctionName } from '../functions/launch.ts';
import { readCommand } from '../ingress/command.ts';
import { type SystemName, systems } from '../ingress/settings.ts';
import { pollMs, startFunction } from './function.ts';
import { tasks } from './k6/tasks.ts';
import { machine, median, print, table } from './report.ts';

readCommand(
  'Usage: node dist/load/start.js\n\nHow long each function takes from the start of its process to its first answer.',
  {},
);

/** Odd, so that the median is a run. */
const runs = 11;

interface Start {
  /** Milliseconds from the spawn of the process. */
  readonly listeningMs: number;
  readonly answerMs: number;
  /** Until every model is loaded. */
  readonly readyMs: number;
  readonly firstModel: string;
}

/** Starts a function and asks until it answers, as a waiting request does. */
async function measure(target: FunctionName, task: SystemName): Promise<Start> {
  const { path, files, contentType } = tasks[task];
  const body = readFileSync(`tests/images/${files[0]}`);
  const headers = { 'content-type': contentType };
  const { origin, process, startedMs, untilReady, kill } = await startFunction(target);
  const sinceMs = () => performance.now() - startedMs;
  let listeningMs: number | undefined;
  let answer: { model: string } | undefined;
  while (!answer) {
    const response = await fetch(`${origin}${path}`, { method: 'POST', headers, body }).catch(() => undefined);
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
const functions = Object.entries(systems).flatMap(([task, { functions }]) =>
  functions.map((name: FunctionName) => [name, task as SystemName] as const),
);
const starts = new Map<FunctionName, Start[]>(functions.map(([name]) => [name, []]));
for (let run = -1; run < runs; run += 1) {
  for (const [name, task] of functions) {
    const measured = await measure(name, task);
    if (run >= 0) starts.get(name)?.push(measured); // the first run brings the files into memory
  }
}
print(`From the start of the process, ${runs} runs each, ms:\n`);
const head = ['function', 'listens', 'first 200, median', 'fastest', 'slowest', 'all models', 'first answer by'];
print(
  table(
    head,
    [...starts].map(([target, list]) => rowOf(target, list)),
  ),
);
