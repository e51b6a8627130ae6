import { evaluate, type Fault, hang, pause, type Stage, sendUsual, untilReady, untilReplaced } from '../fault.ts';
import type { FunctionName, ProgramName } from '../stack.ts';
import { signalProcess } from '../stack.ts';

async function send(stage: Stage, name: ProgramName, signal: NodeJS.Signals): Promise<number> {
  const pid = await stage.stack.untilPid(name, stage.signal);
  signalProcess(pid, signal);
  return pid;
}

function killed(name: ProgramName, signal: NodeJS.Signals = 'SIGKILL'): Fault {
  return {
    name: `${name} ends by ${signal}`,
    allows: name === 'nginx' ? 'cuts' : 'none',
    async strike(stage) {
      const pid = await send(stage, name, signal);
      // Nothing stands in for nginx: what is behind it cannot be seen before it is back.
      if (name === 'nginx') await untilReplaced(stage, name, pid);
    },
  };
}

function hung(names: readonly FunctionName[], ms: number, allows: Fault['allows'] = 'none'): Fault {
  return {
    name: `${names.join(' and ')} hang${names.length === 1 ? 's' : ''} ${ms / 1000} s`,
    allows,
    strike: (stage) => hang(stage, names, ms),
  };
}

const hungBeforeHurried: Fault = {
  name: 'primary hangs 9 s, clients wait 1 s',
  async strike(stage) {
    sendUsual(stage, { deadlineMs: 1000 });
    try {
      await hang(stage, ['primary'], 9000);
    } finally {
      sendUsual(stage);
    }
  },
};

/** SIGTERM; waits until the new process can answer, as a rollout does. */
async function replace(stage: Stage, name: FunctionName): Promise<void> {
  await untilReplaced(stage, name, await send(stage, name, 'SIGTERM'));
  await untilReady(stage, name);
}

const killedAgain: Fault = {
  name: 'primary ends by SIGKILL three times',
  async strike(stage) {
    for (let again = 2; again >= 0; again -= 1) {
      const pid = await send(stage, 'primary', 'SIGKILL');
      if (again === 0) return;
      await untilReplaced(stage, 'primary', pid);
      await untilReady(stage, 'primary');
    }
  },
};

const throws: Fault = {
  name: 'primary throws',
  async strike(stage) {
    const pid = await stage.stack.untilPid('primary', stage.signal);
    await evaluate(stage, 'primary', `setTimeout(() => { throw new Error('thrown by the chaos run') })`);
    await untilReplaced(stage, 'primary', pid);
  },
};

const stutters: Fault = {
  name: 'primary stutters',
  async strike(stage) {
    for (let times = 0; times < 10; times += 1) {
      await hang(stage, ['primary'], 400);
      await pause(stage, 400);
    }
  },
};

const killedBesideHung: Fault = {
  name: 'primary ends while fallback hangs',
  allows: 'problems', // neither can answer for 2.5 s, and the ingress holds 24 requests for the fallback
  async strike(stage) {
    const hanging = hang(stage, ['fallback'], 3000);
    await pause(stage, 500);
    await send(stage, 'primary', 'SIGKILL');
    await hanging;
  },
};

const drained = (name: FunctionName): Fault => ({
  name: `${name} drains`,
  strike: (stage) => replace(stage, name),
});

const rolled: Fault = {
  name: 'rolling restart of both functions',
  async strike(stage) {
    await replace(stage, 'primary');
    await replace(stage, 'fallback');
  },
};

const rolledAtOnce: Fault = {
  name: 'restart of the fallback, then of the primary, 2 s apart',
  async strike(stage) {
    await replace(stage, 'fallback');
    await pause(stage, 2000);
    await replace(stage, 'primary');
  },
};

const reloaded = (times: number): Fault => ({
  name: times === 1 ? 'nginx reloads' : `nginx reloads ${times} times`,
  async strike(stage) {
    for (let time = 0; time < times; time += 1) {
      await send(stage, 'nginx', 'SIGHUP');
      await pause(stage, 500);
    }
  },
});

const reloadedBesideKilled: Fault = {
  name: 'nginx reloads while primary is down',
  breakers: 2,
  async strike(stage) {
    await send(stage, 'primary', 'SIGKILL');
    await pause(stage, 100);
    await send(stage, 'nginx', 'SIGHUP');
  },
};

const workerKilled: Fault = {
  name: 'one nginx worker ends by SIGKILL',
  allows: 'cuts',
  async strike({ stack }) {
    const [worker] = stack.nginxWorkers();
    if (worker === undefined) throw new Error('Expected a worker of nginx but received none');
    signalProcess(worker, 'SIGKILL');
  },
};

const workerHung: Fault = {
  name: 'one nginx worker hangs 2 s',
  async strike(stage) {
    const [worker] = stage.stack.nginxWorkers();
    if (worker === undefined) throw new Error('Expected a worker of nginx but received none');
    signalProcess(worker, 'SIGSTOP');
    await pause(stage, 2000).finally(() => signalProcess(worker, 'SIGCONT'));
  },
};

const bothKilled: Fault = {
  name: 'both functions end by SIGKILL',
  allows: 'problems',
  async strike(stage) {
    await Promise.all([send(stage, 'primary', 'SIGKILL'), send(stage, 'fallback', 'SIGKILL')]);
  },
};

const bothKeptDown: Fault = {
  name: 'both functions are down 6 s',
  allows: 'problems',
  async strike(stage) {
    for (const end = performance.now() + 6000; performance.now() < end; await pause(stage, 20)) {
      for (const name of ['primary', 'fallback'] as const) {
        const pid = stage.stack.pid(name);
        if (pid !== undefined) signalProcess(pid, 'SIGKILL');
      }
    }
  },
};

/** Faults of whole processes. */
export const processFaults = {
  primaryKilled: killed('primary'),
  primaryCrashed: killed('primary', 'SIGSEGV'),
  killedAgain,
  throws,
  primaryHung2: hung(['primary'], 2000),
  primaryHung5: hung(['primary'], 5000),
  primaryHung9: hung(['primary'], 9000),
  primaryHung20: hung(['primary'], 20_000),
  hungBeforeHurried,
  stutters,
  fallbackKilled: killed('fallback'),
  fallbackHung2: hung(['fallback'], 2000),
  fallbackHung20: hung(['fallback'], 20_000),
  killedBesideHung,
  primaryDrained: drained('primary'),
  fallbackDrained: drained('fallback'),
  rolled,
  rolledAtOnce,
  reloaded: reloaded(1),
  reloadedOften: reloaded(8),
  reloadedBesideKilled,
  workerHung,
  workerKilled,
  nginxRestarted: killed('nginx', 'SIGQUIT'),
  nginxKilled: killed('nginx'),
  bothKilled,
  bothKeptDown,
  bothHung: hung(['primary', 'fallback'], 3000, 'problems'),
} as const satisfies Readonly<Record<string, Fault>>;
