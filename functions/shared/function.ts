import type { Tier } from './classify.ts';
import { type Config, disableTelemetry, loadConfig } from './config.ts';
import { allowedCores } from './cores.ts';
import { registerFunction } from './framework.ts';
import { createHandler, type Handler } from './handler.ts';
import { createLog, type Log } from './log.ts';
import { createMetrics } from './metrics.ts';
import { createService, type Service } from './service.ts';
import { createWake } from './wake.ts';

/** A registered function with all that serves it. */
export interface UnderstudyFunction {
  readonly name: Tier;
  readonly config: Config;
  readonly log: Log;
  readonly service: Service;
  readonly handler: Handler;
}

/**
 * Builds a function from the environment, starts its models and registers it with the framework.
 * @throws ConfigError | ModelError
 */
export function defineFunction(name: Tier, models: readonly [string, ...string[]]): UnderstudyFunction {
  const config = loadConfig(allowedCores());
  disableTelemetry();
  const log = createLog(config.logLevel);
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
  const onLost = () => wake?.lost();
  const service = createService({ tier: name, names: models, config, log, metrics, onLost });
  const handler = createHandler({ service, config, log, metrics, wake });
  registerFunction(name, handler.handle);
  return { name, config, log, service, handler };
}
