import { ModelError } from './core/card/card.ts';
import { ConfigError, loadBoot } from './core/config.ts';
import { hasTerminal } from './core/files.ts';
import { type ServedFunction, startServer } from './core/http/server.ts';
import { favorEventLoop } from './core/pool/yield.ts';

/** By FUNCTION_TARGET; each is built when it is loaded. */
const functions: Readonly<Record<string, () => Promise<ServedFunction>>> = {
  primary: async () => (await import('./primary.ts')).primary,
  fallback: async () => (await import('./fallback.ts')).fallback,
  clouds: async () => (await import('./clouds.ts')).clouds,
  digits: async () => (await import('./digits.ts')).digits,
  events: async () => (await import('./events.ts')).events,
};

favorEventLoop(); // libuv and V8 have started their threads, the models have not
let served: ServedFunction | undefined;
const hadTerminal = hasTerminal();
process.on('SIGHUP', () => {
  const isHungUp = hadTerminal && !hasTerminal();
  if (isHungUp) process.kill(process.pid, 'SIGTERM');
  else served?.service.reload();
});
try {
  const { port, target } = loadBoot(Object.keys(functions));
  served = (await functions[target]?.()) as ServedFunction;
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
