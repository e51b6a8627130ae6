import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { readSamples, type Sample } from './samples.ts';
import { type Usage, watchUsage } from './usage.ts';

/** A script of load/k6 with its environment. */
export interface Script {
  readonly name: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly seconds: number;
}

/** What a run of k6 came to. */
export interface Run {
  readonly code: number;
  readonly samples: readonly Sample[];
  readonly usage: readonly Usage[];
}

/** Where k6 runs, and beside what. */
export interface Setting {
  /** Program of k6. */
  readonly k6: string;
  /** Folder of its results. */
  readonly out: string;
  /** Aborted by a Ctrl-C. */
  readonly signal: AbortSignal;
  /** Process groups whose usage is measured. */
  readonly groups: () => Readonly<Record<string, number>>;
  /** Acts on the service during the traffic; its signal tells that the traffic is over. */
  readonly meanwhile?: (signal: AbortSignal) => Promise<void>;
  /** File name of k6's dashboard, where it is wanted. */
  readonly dashboard?: string;
}

const scripts = fileURLToPath(new URL('../../load/k6/', import.meta.url));

/** The last requests may take a client's whole patience of 45 s; the rest is k6's start and end. */
const marginMs = 90_000;
/** After a Ctrl-C, k6 writes its summary. */
const interruptGraceMs = 15_000;
/** A service that is down causes one line a request. */
const shownLines = 20;
/** Points of a dashboard's charts, at most; k6 sums up whole seconds. */
const dashboardPoints = 120;

/** Runs a script to its end. @throws Error when k6 does not end in time or sends nothing */
export async function runK6({ name, variables, seconds }: Script, setting: Setting): Promise<Run> {
  const { k6, out, signal, groups, meanwhile = async () => {}, dashboard } = setting;
  signal.throwIfAborted();
  const points = join(out, `${name}.csv`);
  rmSync(points, { force: true });
  const args = ['run', '--quiet', '--no-usage-report', '--address', '', '--out', `csv=${points}`];
  const written = { K6_CSV_TIME_FORMAT: 'unix_milli', SUMMARY: join(out, `${name}.json`) };
  const child = spawn(k6, [...args, join(scripts, `${name}.ts`)], {
    env: { ...process.env, ...variables, ...written, ...(dashboard && dashboardOf(join(out, dashboard), seconds)) },
    stdio: ['ignore', 'inherit', 'pipe'],
    detached: true, // a Ctrl-C reaches only this process
  });
  const kill = () => void child.kill('SIGKILL');
  const interrupt = () => {
    child.kill('SIGINT');
    setTimeout(kill, interruptGraceMs).unref();
  };
  process.once('exit', kill);
  signal.addEventListener('abort', interrupt);
  const watch = watchUsage(() => ({ ...groups(), k6: child.pid ?? 0 }));
  const late = setTimeout(kill, seconds * 1000 + marginMs);
  const over = new AbortController();
  const exited = once(child, 'exit').finally(() => over.abort());
  const passing = passOn(child);
  try {
    await Promise.all([exited, meanwhile(over.signal)]);
  } catch (fault) {
    kill();
    throw fault;
  } finally {
    await exited.catch(() => {});
    clearTimeout(late);
    signal.removeEventListener('abort', interrupt);
    process.removeListener('exit', kill);
  }
  const usage = watch.stop();
  await passing;
  signal.throwIfAborted();
  if (child.exitCode === null)
    throw new Error(`Expected k6 to end within ${seconds} s and ${marginMs} ms but it did not`);
  if (!existsSync(points)) throw new Error(`Expected traffic of k6 but received exit code ${child.exitCode}`);
  const samples = await readSamples(createInterface({ input: createReadStream(points) }));
  if (samples.length === 0) throw new Error(`Expected requests of k6 but received none, and code ${child.exitCode}`);
  return { code: child.exitCode, samples, usage };
}

/** Environment that has k6 write its dashboard to a file and serve it nowhere. */
function dashboardOf(path: string, seconds: number): Readonly<Record<string, string>> {
  return {
    K6_WEB_DASHBOARD: 'true',
    K6_WEB_DASHBOARD_PORT: '-1',
    K6_WEB_DASHBOARD_PERIOD: `${Math.max(1, Math.ceil(seconds / dashboardPoints))}s`,
    K6_WEB_DASHBOARD_EXPORT: path,
  };
}

/** Prints the first lines of k6's log. */
async function passOn({ stderr }: ChildProcess): Promise<void> {
  if (stderr === null) return;
  let lines = 0;
  for await (const line of createInterface({ input: stderr })) {
    lines += 1;
    if (lines <= shownLines) process.stderr.write(`${line}\n`);
  }
  if (lines > shownLines) process.stderr.write(`load: k6 wrote ${lines - shownLines} more lines\n`);
}
