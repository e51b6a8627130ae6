import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { findK6, k6Version } from '../../load/tool.ts';
import { textsOf } from '../support/program.ts';

const script = fileURLToPath(new URL('../../load/run.js', import.meta.url));

/** What npm run load prints where k6 cannot be had. */
export const missing =
  `Expected k6 ${k6Version} or later in PATH or at K6 but received none: ` +
  `get it with "go install go.k6.io/k6@v${k6Version}"\n`;

/** The installed k6. Building it takes minutes and a network, which `npm test` does not ask for. */
export const k6 = await findK6();

const scores = [0.5, 0.2, 0.1, 0.05, 0.05];
/** A valid answer of the primary. */
export const answerBody = {
  model: 'wide-resnet',
  version: '1',
  tier: 'primary',
  degraded: false,
  reason: null as string | null,
  predictions: scores.map((score, index) => ({ index, class: `n${index}`, label: `label ${index}`, score })),
};
export const answerHeaders: Readonly<Record<string, string>> = { 'X-Model': 'wide-resnet', 'X-Tier': 'primary' };

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts npm run load without its compiler. */
export function startRun(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...(k6 !== undefined && { K6: k6 }), WORKERS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = textsOf(child);
  return { child, ended: once(child, 'close').then(([code]) => ({ code, ...texts })) };
}

/** Runs it to its end. */
export function run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> {
  return startRun(args, env).ended;
}
