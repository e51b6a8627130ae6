import { allowedInstructions } from './card/instructions.ts';
import type { Tier } from './chain/answer.ts';
import { createDebut } from './chain/debut.ts';
import { createService, type Service } from './chain/lanes.ts';
import { createWake } from './chain/wake.ts';
import { type Config, disableTelemetry, embeddedModels, loadConfig } from './config.ts';
import { openStdout } from './files.ts';
import { registerFunction } from './http/framework.ts';
import { createHandler, type Handler } from './http/handler.ts';
import { allowedCores } from './observe/cores.ts';
import { createLog, gatherLines, type Log } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';

/** A registered function with all that serves it. */
export interface UnderstudyFunction {
  readonly name: Tier;
  readonly config: Config;
  readonly log: Log;
  readonly service: Service;
  readonly handler: Handler;
}

type Role = keyof typeof embeddedModels;

/**
 * Builds a function from the environment, starts the models of these roles, the leading one first, and registers it with the
 * framework.
 * @throws ConfigError | ModelError
 */
export function defineFunction(name: Tier, roles: readonly [Role, ...Role[]]): UnderstudyFunction {
  const config = loadConfig(allowedCores());
  disableTelemetry();
  const log = createLog(config.logLevel, gatherLines(openStdout()));
  const metrics = createMetrics();
  const wake =
    name === 'primary' && config.wakeUrl !== ''
      ? createWake({
          url: config.wakeUrl,
          onEnd(outcome, fields) {
            metrics.countWake(outcome);
            log('info', 'fallback asked to wake', { outcome, ...fields });
          },
        })
      : undefined;
  const debut =
    name === 'primary' && config.peerUrl !== ''
      ? createDebut({
          url: config.peerUrl,
          onEnd: (outcome, ms) => log('info', 'asked for another primary', { outcome, ms }),
        })
      : undefined;
  const onLost = () => wake?.lost();
  const choices = roles.map((role) => ({ folder: config[role], embedded: embeddedModels[role] }));
  const instructions = allowedInstructions();
  const service = createService({ tier: name, choices, instructions, config, log, metrics, onLost, debut });
  const handler = createHandler({ service, config, log, metrics, wake });
  registerFunction(name, handler.handle);
  return { name, config, log, service, handler };
}
