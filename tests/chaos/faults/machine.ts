import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evaluate, type Fault, pause, sendUsual, untilReplaced } from '../fault.ts';
import { coverWithTinyDisk, groupsMissing, type Limit, makeGroup, prlimitMissing, setLimit } from '../limits.ts';
import { type FunctionName, signalProcess } from '../stack.ts';

/** Duration of a limit that a process survives. */
const limitedMs = 6000;

function blocked(ms: number): Fault {
  return {
    name: `event loop blocked ${ms / 1000} s`,
    strike: (stage) =>
      evaluate(stage, 'primary', `{ const end = performance.now() + ${ms}; while (performance.now() < end); }`),
  };
}

const tenth: Fault = {
  name: 'primary gets a tenth of the time',
  async strike(stage) {
    const pid = await stage.stack.untilPid('primary', stage.signal);
    try {
      for (const end = performance.now() + limitedMs; performance.now() < end; ) {
        signalProcess(pid, 'SIGSTOP');
        await pause(stage, 90);
        signalProcess(pid, 'SIGCONT');
        await pause(stage, 10);
      }
    } finally {
      signalProcess(pid, 'SIGCONT');
    }
  },
};

function throttled(names: readonly FunctionName[], coreShare: number): Fault {
  const limit: Limit = { coreShare };
  return {
    name: `${names.join(' and ')} limited to ${coreShare * 100} % of a core`,
    impossible: () => groupsMissing(limit),
    async strike(stage) {
      const group = makeGroup(limit);
      try {
        for (const name of names) group.add(await stage.stack.untilPid(name, stage.signal));
        await pause(stage, limitedMs);
      } finally {
        await group.remove();
      }
    },
  };
}

const memoryLimit: Limit = { memoryBytes: 64 * 1024 * 1024 };

const outOfMemory: Fault = {
  name: 'memory limit hit',
  impossible: () => groupsMissing(memoryLimit),
  async strike(stage) {
    const group = makeGroup(memoryLimit);
    try {
      const pid = await stage.stack.untilPid('primary', stage.signal);
      group.add(pid);
      await evaluate(stage, 'primary', 'setTimeout(() => { globalThis.hoard = Buffer.alloc(300e6, 1) })');
      await untilReplaced(stage, 'primary', pid);
    } finally {
      await group.remove();
    }
  },
};

const leak: Fault = {
  name: "V8's heap limit hit",
  async strike(stage) {
    const pid = await stage.stack.untilPid('primary', stage.signal);
    const grow = 'for (let i = 0; i < 20_000; i += 1) leaked.push({ i, text: String(i) })';
    await evaluate(stage, 'primary', `{ const leaked = []; setInterval(() => { ${grow} }, 10) }`);
    await untilReplaced(stage, 'primary', pid);
  },
};

const noFiles: Fault = {
  name: 'primary has no file descriptor left',
  impossible: prlimitMissing,
  async strike(stage) {
    const pid = await stage.stack.untilPid('primary', stage.signal);
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    const usual = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    setLimit(pid, `--nofile=${readdirSync(`/proc/${pid}/fd`).length}:`);
    try {
      await pause(stage, limitedMs);
    } finally {
      if (signalProcess(pid, 'SIGCONT')) setLimit(pid, `--nofile=${usual}:`);
    }
  },
};

function mountMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const folder = mkdtempSync(join(tmpdir(), 'understudy-chaos-mount-'));
  try {
    coverWithTinyDisk(folder)();
    return undefined;
  } catch {
    return 'needs to be allowed to mount';
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const diskFull: Fault = {
  name: 'disk full for uploads',
  impossible: mountMissing,
  async strike(stage) {
    const uncover = coverWithTinyDisk(join(stage.stack.runDir, 'body'));
    try {
      sendUsual(stage, { largeEvery: 4 });
      await pause(stage, limitedMs);
    } finally {
      sendUsual(stage);
      uncover();
    }
  },
};

const busyMachine: Fault = {
  name: 'four neighbors take all cores',
  async strike(stage) {
    const spin = 'const end = Date.now() + 6000; while (Date.now() < end);';
    const neighbors = Array.from({ length: 4 }, () => spawn(process.execPath, ['-e', spin], { stdio: 'ignore' }));
    try {
      await Promise.all(neighbors.map((neighbor) => once(neighbor, 'exit', { signal: stage.signal })));
    } finally {
      for (const neighbor of neighbors) neighbor.kill('SIGKILL');
    }
  },
};

/** Steps only the clock that functions read: nginx' stays right, and timers use another clock. */
function clockStepped(names: readonly FunctionName[], bySeconds: number): Fault {
  const much = Math.abs(bySeconds) >= 3600 ? `${Math.abs(bySeconds) / 3600} h` : `${Math.abs(bySeconds)} s`;
  return {
    name: `clock of ${names.join(' and ')} ${much} ${bySeconds > 0 ? 'ahead' : 'behind'}`,
    async strike(stage) {
      const step = `globalThis.now ??= Date.now; Date.now = () => globalThis.now() + ${bySeconds * 1000}`;
      try {
        for (const name of names) await evaluate(stage, name, step);
        await pause(stage, limitedMs);
      } finally {
        for (const name of names) await evaluate(stage, name, 'Date.now = globalThis.now ?? Date.now');
      }
    },
  };
}

/** Faults of a process' resources: time, memory, files, disk, clock. */
export const machineFaults = {
  blocked1: blocked(1000),
  blocked4: blocked(4000),
  blocked12: blocked(12_000),
  tenth,
  throttled: throttled(['primary'], 0.1),
  bothThrottled: throttled(['primary', 'fallback'], 0.4),
  outOfMemory,
  leak,
  noFiles,
  diskFull,
  busyMachine,
  clockAhead: clockStepped(['primary'], 3600),
  clockBehind: clockStepped(['primary'], -3600),
  clockAheadOfDeadline: clockStepped(['primary'], 10),
  clocksAhead: clockStepped(['primary', 'fallback'], 10),
  clocksFarAhead: clockStepped(['primary', 'fallback'], 45),
} as const satisfies Readonly<Record<string, Fault>>;
