import { allowedInstructions } from './card/instructions.ts';
import { createService, type Service } from './chain/service.ts';
import { type Config, ConfigError, disableTelemetry, loadConfig, loadEventTasks } from './config.ts';
import { openStdout } from './files.ts';
import { createEvents, type Received } from './http/events.ts';
import { registerEventFunction } from './http/framework.ts';
import type { ServedFunction } from './http/server.ts';
import { holdHeader, withinHeader } from './jobs/asking.ts';
import { readEvent } from './jobs/event.ts';
import { createHold, type RunInTime } from './jobs/hold.ts';
import { createJobs } from './jobs/jobs.ts';
import type { Outcome, Runner } from './jobs/runner.ts';
import { allowedCores } from './observe/cores.ts';
import { createLog, gatherLines } from './observe/log.ts';
import { createMetrics, type Metrics, type ModelState } from './observe/metrics.ts';
import { createPlaces, type Places } from './places.ts';
import { Problem } from './problem.ts';
import type { Task } from './task.ts';

/** What runs the jobs of a task here. */
interface Post {
  readonly task: Task;
  readonly service: Service;
  readonly runner: Runner;
  /** As many jobs at a time as a model has workers: a run that finds none free does not wait, its job comes again. */
  readonly places: Places;
  stop(): Promise<void>;
}

/** An event is a claim check: the upload is in the store. The protocols of most brokers take so much for granted. */
const maxEventBytes = 65_536;

/**
 * Builds a function that takes the events of jobs and runs these, whatever their task is, and registers it with the framework.
 * @param known the tasks that it may serve; EVENTS_TASKS names some of them
 * @throws ConfigError | ModelError
 */
export function defineEvents(name: string, known: readonly Task[]): ServedFunction {
  disableTelemetry();
  const tasks = loadEventTasks(known);
  const configs = tasks.map((task) => loadConfig(task, allowedCores()));
  const [config] = configs as [Config, ...Config[]];
  const log = createLog(config.logLevel, gatherLines(openStdout()));
  const metrics = createMetrics();
  const gathered = gatherModels(metrics);
  const ending = new AbortController();
  const posts = tasks.map((task, i) => openPost(task, configs[i] as Config, { log, metrics: gathered }));
  const runInTime = createHold(ending.signal);
  let draining = false;
  const { handler, listener } = createEvents({
    name,
    log,
    metrics,
    starting: () => posts.filter(({ service }) => !service.canAnswer()).map(({ task }) => task.name),
    service: { isDraining: () => draining },
    config,
    receive: (event, headers) =>
      receive(event, {
        posts,
        signal: ending.signal,
        runInTime: headers[holdHeader] === 'never' ? runOnce : runInTime,
      }),
  });
  registerEventFunction(name, listener);
  return {
    name,
    config: { ...config, maxUploadBytes: maxEventBytes },
    log,
    handler,
    traces: undefined,
    service: {
      lost: Promise.race(posts.map(({ service }) => service.lost)),
      reload: async () => void (await Promise.all(posts.map(({ service }) => service.reload()))),
      beginDrain() {
        draining = true;
        for (const { service } of posts) service.beginDrain();
      },
      close: async () => void (await Promise.all(posts.map(({ service }) => service.close()))),
    },
    jobs: {
      async stop() {
        ending.abort(new Error('the function ends'));
        await Promise.all(posts.map((post) => post.stop()));
      },
    },
  };
}

function openPost(
  task: Task,
  config: Config,
  { log, metrics }: Pick<ServedFunction, 'log'> & { metrics: Metrics },
): Post {
  if (!config.jobs) throw new ConfigError('Expected a folder or s3://BUCKET/PREFIX for JOBS_STORE but received none');
  const tier = 'primary';
  const onLost = () => {};
  const { models: choices, workers } = config;
  const service = createService({
    tier,
    task,
    choices,
    instructions: allowedInstructions(),
    config,
    log,
    metrics,
    onLost,
  });
  const jobs = createJobs({ tier, task, service, workers, config: config.jobs, log, metrics, isFed: true });
  return {
    task,
    service,
    runner: jobs.runner as Runner,
    places: createPlaces(workers),
    stop: jobs.stop,
  };
}

interface Receiving {
  readonly posts: readonly Post[];
  /** Aborted when the function ends. */
  readonly signal: AbortSignal;
  readonly runInTime: RunInTime;
}

const runOnce: RunInTime = (run) => run();

/** @throws Problem for an event that is to come again */
async function receive(event: unknown, { posts, signal, runInTime }: Receiving): Promise<Received> {
  const about = readEvent(event);
  // It can never be processed: unless it is acknowledged, it comes for ever.
  if (!about) return { facts: { type: (event as { type?: unknown } | undefined)?.type }, dead: 'no event of a job' };
  const facts = { job: about.id, task: about.task };
  const post = posts.find(({ task }) => task.name === about.task);
  if (!post) return { facts, dead: 'no task of this function' };
  const run = async () => {
    const leave = await post.places.take();
    return post.runner.run(about.id, signal).finally(leave);
  };
  const outcome = await runInTime(run).catch((fault) => {
    throw again('the store does not answer', '1', fault);
  });
  // As if it had not been looked at: a pause that suits the job may be too long by the time of the next start.
  if (outcome.status === 'later' && signal.aborted) throw again('the function ends', '1', undefined);
  return receivedOf(outcome, facts);
}

/** @throws Problem for a job that has not ended */
function receivedOf(outcome: Outcome, facts: Received['facts']): Received {
  switch (outcome.status) {
    case 'ended':
      return { facts: { ...facts, state: outcome.state }, dead: outcome.isDead ? 'too many runs failed' : undefined };
    case 'unknown':
      return { facts: { ...facts, state: 'unknown' } };
    case 'later':
      throw again(outcome.cause, String(Math.ceil(outcome.afterMs / 1000)), undefined, outcome);
  }
}

/** @param outcome of a job that was looked at: whoever brings it may take up others first */
function again(cause: string, after: string, fault: unknown, outcome?: Extract<Outcome, { status: 'later' }>): Problem {
  const headers = {
    'retry-after': after,
    ...(outcome && { 'x-job-attempts': String(outcome.attempts), [withinHeader]: String(outcome.withinMs) }),
  };
  return new Problem('UNAVAILABLE', `Expected an end of the job but received none: ${cause}`, {
    cause: fault,
    headers,
  });
}

/** The registry reads the models of one service; these are those of several. */
function gatherModels(metrics: Metrics): Metrics {
  const readers: (() => readonly ModelState[])[] = [];
  metrics.watchModels(() => readers.flatMap((read) => read()));
  return { ...metrics, watchModels: (read) => void readers.push(read) };
}
