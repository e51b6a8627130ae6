import { allowedInstructions } from './card/instructions.ts';
import { createDebut } from './chain/debut.ts';
import { rehearse } from './chain/rehearse.ts';
import { createService } from './chain/service.ts';
import { createWake } from './chain/wake.ts';
import { disableTelemetry, loadConfig } from './config.ts';
import { openStdout } from './files.ts';
import { registerFunction } from './http/framework.ts';
import { createHandler } from './http/handler.ts';
import type { ServedFunction } from './http/server.ts';
import { createJobs } from './jobs/jobs.ts';
import { allowedCores } from './observe/cores.ts';
import { createLog, gatherLines, type Log } from './observe/log.ts';
import { createMetrics, type Metrics } from './observe/metrics.ts';
import { createTraces } from './observe/traces.ts';
import type { Task, Tier } from './task.ts';
import type { TraceConfig } from './telemetry.ts';

export interface FunctionOptions {
  readonly name: string;
  /** The primary serves all models of the task, the fallback the last one. */
  readonly tier: Tier;
  readonly task: Task;
}

/**
 * Builds a function from the environment, starts its models, and registers it with the framework.
 * @throws ConfigError | ModelError
 */
export function defineFunction({ name, tier, task }: FunctionOptions): ServedFunction {
  const config = loadConfig(task, allowedCores());
  disableTelemetry();
  const log = createLog(config.logLevel, gatherLines(openStdout()));
  const metrics = createMetrics();
  const wake =
    tier === 'primary' && config.wakeUrl !== ''
      ? createWake({
          url: config.wakeUrl,
          onEnd(outcome, fields) {
            metrics.countWake(outcome);
            log('info', 'fallback asked to wake', { outcome, ...fields });
          },
        })
      : undefined;
  const debut =
    tier === 'primary' && config.peerUrl !== ''
      ? createDebut({
          url: config.peerUrl,
          onEnd: (outcome, ms) => log('info', 'asked for another primary', { outcome, ms }),
        })
      : undefined;
  const traces = config.traces && createTraces(traceOptions(name, config.traces, log, metrics));
  const onLost = () => wake?.lost();
  const choices = tier === 'primary' ? config.models : config.models.slice(-1);
  const instructions = allowedInstructions();
  const service = createService({ tier, task, choices, instructions, config, log, metrics, onLost, debut });
  rehearse(service, task).catch((error: Error) => log('error', 'rehearsal failed', { error }));
  const { workers } = config;
  const jobs = config.jobs && createJobs({ tier, task, service, workers, config: config.jobs, log, metrics });
  const handler = createHandler({ name, task, service, config, log, metrics, traces, wake, jobs });
  registerFunction(name, handler.handle);
  return { name, config, log, service, handler, traces, jobs };
}

/** A collector that fails is logged when that begins and when it ends, and every span is counted. */
function traceOptions(name: string, { resource, ...collector }: TraceConfig, log: Log, metrics: Metrics) {
  let isFailing = false;
  return {
    ...collector,
    resource: { 'service.name': `understudy-${name}`, ...resource },
    onEnd(outcome: 'sent' | 'dropped', count: number, error?: unknown) {
      metrics.countSpans(outcome, count);
      if (isFailing === (outcome === 'dropped')) return;
      isFailing = !isFailing;
      if (isFailing) log('warn', 'spans dropped', { url: collector.url, error });
      else log('info', 'spans collected again', { url: collector.url });
    },
  };
}
