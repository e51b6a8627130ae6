import { type Stack, startStack } from '../stack.ts';
import { watchUsage } from '../usage.ts';
import { startPeer } from './peer.ts';
import type { Served } from './sweep.ts';

/** The system to measure: an address, a reference server, or else our own stack. */
interface Asked {
  readonly target: string | undefined;
  readonly peer: string | undefined;
  readonly dead: 'primary' | 'fallback' | undefined;
}

export async function serve(asked: Asked, photos: readonly string[], signal: AbortSignal): Promise<Served> {
  const { target, peer, dead } = asked;
  if (target !== undefined) return elsewhere(target);
  if (peer !== undefined) return startPeer(peer, photos);
  const stack = await startStack(process.env, signal);
  process.once('exit', () => stack.interrupt());
  let revive = () => {};
  return {
    origin: stack.origin,
    probed: {
      ...(dead !== 'primary' && { '/readyz': `${stack.primaryOrigin}/readyz` }),
      '/healthz': `${stack.origin}/healthz`,
    },
    watch: () => watchStack(stack),
    kill: () => {
      if (dead !== undefined) revive = keepDead(stack, dead);
    },
    stop: async () => {
      revive();
      await stack.stop();
    },
  };
}

function elsewhere(origin: string): Served {
  const nothing = { cpuSeconds: {}, mostMb: {} };
  return { origin, probed: {}, watch: () => ({ stop: () => nothing }), kill: () => {}, stop: async () => {} };
}

function watchStack({ groups }: Stack): ReturnType<Served['watch']> {
  const usage = watchUsage(groups);
  return {
    stop: () => {
      const looks = usage.stop();
      const { cpuSeconds = {} } = looks.at(-1) ?? {};
      const mostOf = (name: string) => Math.max(...looks.map(({ residentMb }) => residentMb[name] ?? 0));
      return { cpuSeconds, mostMb: Object.fromEntries(Object.keys(cpuSeconds).map((name) => [name, mostOf(name)])) };
    },
  };
}

/** Kills a function at each start; the returned function stops that. */
function keepDead({ groups }: Stack, name: 'primary' | 'fallback'): () => void {
  let killed = 0;
  const kill = () => {
    const pid = groups()[name];
    if (pid === undefined || pid === killed) return;
    killed = pid;
    process.kill(pid, 'SIGKILL');
  };
  kill();
  const timer = setInterval(kill, 20);
  return () => clearInterval(timer);
}
