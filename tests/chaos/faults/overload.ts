import { once } from 'node:events';
import { join } from 'node:path';
import { measureCapacity, startGenerator } from '../../../load/collapse/sweep.ts';
import { type Fault, hang, pause, type Stage } from '../fault.ts';
import { type FunctionName, signalProcess } from '../stack.ts';

/** Times the capacity of the lead model, beside the run's own traffic. */
const factor = 4;
const seconds = 8;
/** Keep every core busy while the capacity is measured. */
const clients = 4;
/** Between two kills: sooner than a function can start. */
const killEveryMs = 100;

/** What else happens while four times the capacity is offered; ends with the signal. */
type Beside = (stage: Stage, until: AbortSignal) => Promise<void>;

/** @throws Error for an answer that is neither a 200 nor a problem document, or for too few 200s */
async function offer(stage: Stage, beside: Beside): Promise<void> {
  const { origin } = stage.stack;
  const photos = [join('tests', 'images', 'test_image_1.jpg')];
  const generator = startGenerator(stage.signal);
  const over = new AbortController();
  try {
    const capacity = await measureCapacity(generator, { origin }, { photos, clients });
    const happening = beside(stage, over.signal);
    const { outcomes } = await generator.fire({ origin, photos, headers: {}, seconds, perSecond: factor * capacity });
    over.abort();
    await happening;
    const broken = outcomes.flatMap(({ verdict }) => (verdict.kind === 'broken' ? [verdict.fault] : []));
    const answers = outcomes.filter(({ verdict }) => verdict.kind === 'answer').length;
    if (broken.length > 0) throw new Error(`${broken.length} broken answers, such as ${broken[0]}`);
    if (answers < (capacity * seconds) / 2)
      throw new Error(`${answers} answers in ${seconds} s for ${capacity} a second`);
  } finally {
    over.abort();
    generator.stop();
  }
}

/** Kills a function as soon as it is started again. */
function keepDead(name: FunctionName): Beside {
  return async (stage, until) => {
    while (!until.aborted) {
      const pid = stage.stack.pid(name);
      if (pid !== undefined) signalProcess(pid, 'SIGKILL');
      await pause(stage, killEveryMs);
    }
  };
}

/** Runs in each inference thread: gives its sessions `times` runs in place of one. */
const slowRuns = (times: number) => `{
  const { InferenceSession } = require('node:module').createRequire(process.cwd() + '/')('onnxruntime-node');
  const { prototype } = InferenceSession;
  prototype.onlyRun ??= prototype.run;
  prototype.run = async function (...given) {
    for (let run = 1; run < ${times}; run += 1) await this.onlyRun(...given);
    return this.onlyRun(...given);
  };
}`;

/** Makes all models of the primary slow. */
const slowModels: Beside = async (stage, until) => {
  const inspector = await stage.stack.inspect('primary', stage.signal);
  try {
    await inspector.evaluateInWorkers(slowRuns(10));
    await once(until, 'abort');
    await inspector.evaluateInWorkers(slowRuns(1));
  } finally {
    inspector.close();
  }
};

function overload(what: string, beside: Beside = async () => {}): Fault {
  return {
    name: `${factor} times the capacity${what}`,
    allows: 'problems',
    strike: (stage) => offer(stage, beside),
  };
}

export const overloadFaults: Readonly<Record<string, Fault>> = {
  overload: overload(''),
  overloadWithoutPrimary: overload(' while the primary is dead', keepDead('primary')),
  overloadWithoutFallback: overload(' while the fallback is dead', keepDead('fallback')),
  overloadOfSlowModels: overload(" while the primary's models are ten times slower", slowModels),
  overloadBesideHung: overload(' while the fallback hangs', (stage) => hang(stage, ['fallback'], seconds * 1000)),
};
