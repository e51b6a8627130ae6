import { allowedInstructions } from './card/instructions.ts';
import { createDebut } from './chain/debut.ts';
import { createService } from './chain/service.ts';
import { createWake } from './chain/wake.ts';
import { disableTelemetry, loadConfig } from './config.ts';
import { openStdout } from './files.ts';
import { registerFunction } from './http/framework.ts';
import { createHandler } from './http/handler.ts';
import type { ServedFunction } from './http/server.ts';
import { allowedCores } from './observe/cores.ts';
import { createLog, gatherLines } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import type { Task, Tier } from './task.ts';

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
  const onLost = () => wake?.lost();
  const choices = tier === 'primary' ? config.models : config.models.slice(-1);
  const instructions = allowedInstructions();
  const service = createService({ tier, task, choices, instructions, config, log, metrics, onLost, debut });
  const handler = createHandler({ name, task, service, config, log, metrics, wake });
  registerFunction(name, handler.handle);
  return { name, config, log, service, handler };
}
