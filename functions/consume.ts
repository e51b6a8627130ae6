import { ConfigError } from './core/config.ts';
import { startConsume } from './core/consume.ts';

try {
  const { drain } = startConsume();
  process.once('SIGTERM', drain);
  process.once('SIGINT', drain);
} catch (fault) {
  process.stderr.write(`${fault instanceof ConfigError ? fault.message : (fault as Error).stack}\n`);
  process.exitCode = 1;
}
