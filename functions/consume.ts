import { ConfigError } from './core/config.ts';
import { startConsume } from './core/consume.ts';

function fail(fault: unknown): void {
  process.stderr.write(`${fault instanceof ConfigError ? fault.message : (fault as Error).stack}\n`);
  process.exit(1); // whatever started it starts it again
}

try {
  const { drain } = startConsume(fail);
  process.once('SIGTERM', drain);
  process.once('SIGINT', drain);
} catch (fault) {
  fail(fault);
}
