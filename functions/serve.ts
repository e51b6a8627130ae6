import { ModelError } from './core/card/catalog.ts';
import { ConfigError, loadBoot } from './core/config.ts';
import type { UnderstudyFunction } from './core/function.ts';
import { startServer } from './core/http/server.ts';

let served: UnderstudyFunction | undefined;
try {
  const { port, target } = loadBoot();
  served = target === 'primary' ? (await import('./primary.ts')).primary : (await import('./fallback.ts')).fallback;
  const { drain } = await startServer(served, port);
  process.once('SIGTERM', drain);
  process.once('SIGINT', drain);
  served.service.lost.then((fault) => {
    fail(fault);
    drain();
  });
} catch (fault) {
  fail(fault);
  await served?.service.close();
}

function fail(fault: unknown): void {
  const isForOperator = fault instanceof ConfigError || fault instanceof ModelError;
  process.stderr.write(`${isForOperator ? fault.message : (fault as Error).stack}\n`);
  process.exitCode = 1;
}
