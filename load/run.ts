import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { onInterrupt } from '../ingress/command.ts';
import { collapse, readOptions } from './collapse/command.ts';
import { judgeDelays } from './delays.ts';
import { takePrimary } from './fault.ts';
import { needsCapacity, planPhases, secondsOf, shapeNames } from './k6/shapes.ts';
import type { SummaryData } from './k6/summary.ts';
import { tasks } from './k6/tasks.ts';
import { type Job, readJob } from './options.ts';
import { machine, print } from './report.ts';
import { type Run, runK6, type Script, type Setting } from './runner.ts';
import { answerTable, firstLead, headline, statusTable, throughput } from './samples.ts';
import { type Stack, startStack } from './stack.ts';
import { ensureK6, ToolError } from './tool.ts';
import { judgeMemory, usageTable } from './usage.ts';

/** Some hundred answers of a small model, after seconds in which the pool's queue fills. */
const capacitySeconds = 13;
const capacityWarmUpMs = 3000;
/** One request runs while the next one is decoded or waits; more would only wait. */
const clientsPerCore = 2;
/** Longest answer while the primary is killed, and while it hangs: the 8 s that nginx waits for it, and an answer. */
const longestMs = { kill: 2000, stop: 10_000 };
/** Exit code of k6 where a limit did not hold. */
const limitCode = 99;

let stack: Stack | undefined;
const stopping = new AbortController();
onInterrupt(() => stopping.abort());
process.once('exit', () => stack?.interrupt());

async function main(job: Job): Promise<number> {
  const k6 = await ensureK6(say, process.env, stopping.signal);
  const machineLine = machine(); // before the traffic, so that its load average is that of others
  mkdirSync(job.out, { recursive: true });
  const isStarted = job.shape === 'canary' ? !(job.baseline && job.candidate) : job.target === undefined;
  if (isStarted) {
    say(`starts nginx and what answers ${job.task}`);
    const env = { ...process.env, ...(job.modelsDir !== undefined && { MODELS_DIR: job.modelsDir }) };
    stack = await startStack(env, stopping.signal, job.task);
  }
  const origin = job.target ?? stack?.origin ?? '';
  const setting = { k6, out: job.out, signal: stopping.signal, groups: () => stack?.groups() ?? {} };
  const isRelative = shapeNames.some((name) => name === job.shape) && needsCapacity(job.shape);
  const capacity =
    job.asked.capacity ?? (isRelative ? await measureCapacity(setting, postedOf(job), origin) : undefined);
  const asked = { ...job.asked, ...(capacity !== undefined && { capacity }) };
  const script = scriptOf({ ...job, asked }, origin);
  say(`${job.shape}, ${Math.round(script.seconds)} s of traffic`);
  const faults: { readonly atMs: number; readonly label: string }[] = [];
  const meanwhile = async (over: AbortSignal) => {
    if (stack && job.shape === 'failover') faults.push(...(await takePrimary(stack, job.fault, script.seconds, over)));
  };
  const run = await runK6(script, { ...setting, meanwhile, dashboard: 'dashboard.html' });
  const blocks = [
    ...reportOf({ ...job, asked }, run, machineLine),
    ...faults.map(({ atMs, label }) => `${label}: ${firstLead(run.samples, atMs)}\n`),
  ];
  const memory = judgeMemory(run.usage, script.seconds, job.shape);
  if (memory !== undefined) blocks.push(memory.sentence);
  const delays = job.shape === 'jobs' ? judgeDelays(run.samples, readSummary(job.out), script.seconds) : undefined;
  if (delays !== undefined) blocks.push(delays.text);
  writeFileSync(join(job.out, 'report.md'), blocks.join('\n'));
  for (const block of blocks) print(block);
  say(`charts of k6: ${join(job.out, 'dashboard.html')}`);
  if (run.code === 0 && delays?.isOver) return limitCode;
  return run.code === 0 && memory?.isOver ? 1 : run.code;
}

/** What k6 wrote at the end of the shape `jobs`. */
function readSummary(out: string): SummaryData {
  return JSON.parse(readFileSync(join(out, 'jobs.json'), 'utf8'));
}

/** What is posted. */
function postedOf({ task, upload }: Job): Readonly<Record<string, string>> {
  return { TASK: task, ...(upload !== undefined && { UPLOAD: upload }) };
}

function scriptOf(job: Job, origin: string): Script {
  const { shape, asked, baseline, candidate, fault, isForeign, deadlineMs } = job;
  const variables: Record<string, string> = { TARGET: origin, ...postedOf(job) };
  if (asked.seconds !== undefined) variables.SECONDS = String(asked.seconds);
  if (asked.rate !== undefined) variables.RATE = String(asked.rate);
  if (isForeign) variables.FOREIGN = '1';
  if (deadlineMs !== undefined) variables.DEADLINE_MS = String(deadlineMs);
  if (shape === 'capacity') {
    const seconds = asked.seconds ?? capacitySeconds;
    return { name: shape, variables: { ...capacityVariables(origin), ...variables }, seconds };
  }
  if (shape === 'canary') {
    const sides = { BASELINE: baseline ?? origin, CANDIDATE: candidate ?? origin };
    return { name: shape, variables: { ...variables, ...sides }, seconds: asked.seconds ?? 30 };
  }
  const seconds = secondsOf(planPhases(shape, asked));
  if (shape === 'failover') {
    return { name: shape, variables: { ...variables, LONGEST_MS: String(longestMs[fault]) }, seconds };
  }
  variables.SHAPE = shape;
  if (asked.capacity !== undefined) variables.CAPACITY = String(asked.capacity);
  if (asked.factors !== undefined) variables.FACTORS = asked.factors.join(',');
  return { name: shape === 'jobs' ? shape : 'classify', variables, seconds };
}

function capacityVariables(origin: string): Readonly<Record<string, string>> {
  const clients = Math.max(2, availableParallelism()) * clientsPerCore;
  return { TARGET: origin, CLIENTS: String(clients), SECONDS: String(capacitySeconds) };
}

async function measureCapacity(
  setting: Setting,
  posted: Readonly<Record<string, string>>,
  origin: string,
): Promise<number> {
  say('measures how many requests a second the lead model answers');
  const script = {
    name: 'capacity',
    variables: { ...capacityVariables(origin), ...posted },
    seconds: capacitySeconds,
  };
  const { code, samples } = await runK6(script, setting);
  if (code !== 0) throw new Error(`Expected answers of the lead model but received these:\n${answerTable(samples)}`);
  return throughput(samples, capacityWarmUpMs);
}

function reportOf({ shape, task, asked: { capacity } }: Job, { samples, usage }: Run, machineLine: string): string[] {
  const now = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const offered = capacity === undefined ? '' : ` at a capacity of ${capacity.toFixed(1)} requests a second`;
  const measured = throughput(samples, capacityWarmUpMs).toFixed(1);
  return [
    `${task === 'classify' ? '' : `${task}, `}${shape}${offered}, ${samples.length} requests, ${now} UTC. ${machineLine}`,
    `${headline(samples, tasks[task].inTimeMs)}\n`,
    'Answers, times in ms:\n',
    answerTable(samples),
    statusTable(samples),
    usageTable(usage),
    ...(shape === 'capacity' ? [`The lead model answers ${measured} requests a second.\n`] : []),
  ];
}

function say(text: string): void {
  process.stderr.write(`load: ${text}\n`);
}

try {
  const args = process.argv.slice(2);
  const isCollapse = args[0] === 'collapse'; // the one shape without k6
  process.exitCode = isCollapse
    ? await collapse(readOptions(args.slice(1)), say, stopping.signal)
    : await main(readJob(args));
} catch (fault) {
  const isInterrupted = stopping.signal.aborted;
  process.exitCode = isInterrupted ? 130 : 1;
  if (!isInterrupted) process.stderr.write(`${(fault as Error)[fault instanceof ToolError ? 'message' : 'stack']}\n`);
} finally {
  await stack?.stop();
}
