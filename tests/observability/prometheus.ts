import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { until } from '../support/stack.ts';

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'understudy/observability/usr/bin');

function find(name: string): string | undefined {
  const own = join(cache, name);
  if (existsSync(own)) return own;
  return spawnSync(name, ['--version']).status === 0 ? name : undefined;
}

const promtool = find('promtool') ?? '';
const prometheus = find('prometheus') ?? '';

/** Skips what needs Prometheus where it cannot be had; install.sh says why. */
export const describeWithPrometheus = promtool && prometheus ? describe : describe.skip;

/** What promtool says, and whether it is content. */
export async function ask(...args: readonly string[]): Promise<{ readonly isRight: boolean; readonly text: string }> {
  return promisify(execFile)(promtool, args).then(
    ({ stdout, stderr }) => ({ isRight: true, text: stdout + stderr }),
    ({ stdout, stderr }) => ({ isRight: false, text: String(stdout) + String(stderr) }),
  );
}

/** A target by the value of its label `service`, as prometheus.yaml makes it. */
export type Targets = Readonly<Record<string, string>>;

export interface RunningPrometheus {
  /** The number of series of an expression now. @throws Error with what Prometheus says of a wrong one */
  series(expr: string): Promise<number>;
  stop(): Promise<void>;
}

/** Scrapes once a second. */
export async function startPrometheus(targets: Targets): Promise<RunningPrometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'prometheus-test-'));
  const port = await freePort();
  const static_configs = Object.entries(targets).map(([service, target]) => ({
    targets: [target],
    labels: { service, pod: `${service}-0` },
  }));
  const config = { global: { scrape_interval: '1s' }, scrape_configs: [{ job_name: 'understudy', static_configs }] };
  writeFileSync(join(folder, 'prometheus.json'), JSON.stringify(config)); // JSON is YAML
  const child = spawn(
    prometheus,
    [
      `--config.file=${join(folder, 'prometheus.json')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ],
    { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(child, 'exit');
  const origin = `http://127.0.0.1:${port}`;
  const isUp = () =>
    fetch(`${origin}/-/ready`).then(
      ({ ok }) => ok,
      () => child.exitCode !== null,
    );
  await until(isUp, 30_000, 'Expected Prometheus to be ready but received no answer');
  return {
    async series(expr) {
      const answer = await fetch(`${origin}/api/v1/query?query=${encodeURIComponent(expr)}`);
      const { status, error, data } = (await answer.json()) as {
        status: string;
        error?: string;
        data?: { result: readonly unknown[] };
      };
      if (status !== 'success') throw new Error(`${error}: ${expr}`);
      return data?.result.length ?? 0;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
