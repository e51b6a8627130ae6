import { ModelError } from './shared/catalog.ts';
import { ConfigError, loadBoot } from './shared/config.ts';
import { startServer } from './shared/server.ts';

try {
  const { port, target } = loadBoot();
  const served =
    target === 'primary' ? (await import('./primary.ts')).primary : (await import('./fallback.ts')).fallback;
  const { drain } = await startServer(served, port);
  process.once('SIGTERM', drain);
  process.once('SIGINT', drain);
} catch (fault) {
  const isForOperator = fault instanceof ConfigError || fault instanceof ModelError;
  process.stderr.write(`${isForOperator ? fault.message : (fault as Error).stack}\n`);
  process.exitCode = 1;
}
