import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chooseEdge } from '../../ingress/edge.ts';
import { freePort } from '../../ingress/port.ts';
import { until } from './stack.ts';

/** A running exporter of the ingress' log. */
export interface RunningEdge {
  /** For LOG_SERVER. */
  readonly logServer: string;
  readonly metricsUrl: string;
  /** Values by their series, as `name{label="value"}`. */
  metrics(): Promise<Readonly<Record<string, number>>>;
  /** SIGTERM; settles with its exit code. */
  stop(): Promise<number | null>;
}

export async function startEdge(env: NodeJS.ProcessEnv = {}): Promise<RunningEdge> {
  const edge = await chooseEdge(await freePort(), { PATH: process.env.PATH, ...env });
  if (!edge) throw new Error('Expected an exporter for a port but received none');
  const [file, ...args] = edge.program.command;
  const child = spawn(file, args, { env: edge.program.env, stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  const { metricsUrl, logServer } = edge;
  const metrics = async () => readMetrics(await (await fetch(metricsUrl)).text());
  const isUp = () =>
    metrics().then(
      () => true,
      () => child.exitCode !== null,
    );
  await until(isUp, 15_000, 'Expected the exporter to listen but received no answer');
  return {
    logServer,
    metricsUrl,
    metrics,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code;
    },
  };
}

export function readMetrics(text: string): Readonly<Record<string, number>> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.split(' ').at(-1))]));
}
