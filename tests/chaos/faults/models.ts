import { createHash } from 'node:crypto';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changeCard, makeModelsDir } from '../../support/models.ts';
import { type Fault, pause, type Stage, sendUsual, untilReplaced } from '../fault.ts';
import type { Photo } from '../photos.ts';
import { signalProcess } from '../stack.ts';

/** Version of the test model as lead model, and number of its classes. */
export const moodyVersion = 'moody';
export const moodyClasses = 2;

/** Restart, load and the 5 s of nginx' breaker, and a moment to serve. */
const servedMs = 8000;
/** The same, longer, for faults of each run. */
const servedMoodyMs = 12_000;

interface Broken {
  readonly name: string;
  /** @default 'portable' */
  readonly leading?: 'portable' | 'moody' | 'real';
  /** Changes the model folders before the primary is started with them. */
  readonly spoil?: (dir: string) => void;
  /** Photo of the n-th request during the fault; the usual one otherwise. */
  readonly photoOf?: (stage: Stage, n: number) => Photo | undefined;
}

/** Restarts the primary with changed model folders, lets it serve, and restarts it with the shipped ones. */
function broken({ name, leading = 'portable', spoil, photoOf }: Broken): Fault {
  return {
    name,
    async strike(stage) {
      const { stack, driver, photos, signal } = stage;
      const dir = makeModelsDir({ 'wide-resnet': leading, mobilenet: 'real' });
      try {
        if (leading === 'moody') changeCard(join(dir, 'wide-resnet'), (card) => ({ ...card, version: moodyVersion }));
        spoil?.(dir);
        stack.serveModels(dir);
        const pid = await stack.untilPid('primary', signal);
        signalProcess(pid, 'SIGKILL');
        await untilReplaced(stage, 'primary', pid);
        if (photoOf) driver.send((n) => photoOf(stage, n) ?? (photos.calm[n % photos.calm.length] as Photo));
        await pause(stage, leading === 'moody' ? servedMoodyMs : servedMs);
      } finally {
        sendUsual(stage);
        stack.serveModels();
        const pid = stack.pid('primary');
        if (pid !== undefined) signalProcess(pid, 'SIGKILL');
        rmSync(dir, { recursive: true });
      }
    },
  };
}

const leadingFile = (dir: string) => join(dir, 'wide-resnet', 'model.onnx');

/** Adjusts the card's hash to the file, so that only later checks can fail. */
function signAnew(dir: string): void {
  const sha256 = createHash('sha256')
    .update(readFileSync(leadingFile(dir)))
    .digest('hex');
  changeCard(join(dir, 'wide-resnet'), (card) => ({ ...card, sha256 }));
}

/** Overwrites bytes in the middle: weights, not structure. */
function scratch(dir: string): void {
  const bytes = readFileSync(leadingFile(dir));
  bytes.fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 4096);
  writeFileSync(leadingFile(dir), bytes);
}

async function endWorkers(stage: Stage, expression: string): Promise<void> {
  const inspector = await stage.stack.inspect('primary', stage.signal);
  try {
    await inspector.evaluateInWorkers(expression);
  } finally {
    inspector.close();
  }
}

const ofLeadingModel = `require('node:worker_threads').workerData.path.includes('wide-resnet')`;

function threads(name: string, expression: string, times = 1): Fault {
  return {
    name,
    async strike(stage) {
      for (let time = 0; time < times; time += 1) {
        await endWorkers(stage, expression);
        await pause(stage, 500);
      }
    },
  };
}

/** Faults of a model's files, runs and threads. */
export const modelFaults = {
  raisesSometimes: broken({
    name: 'model raises at every third photo',
    leading: 'moody',
    photoOf: ({ photos }, n) => (n % 3 === 0 ? photos.raising : undefined),
  }),
  raisesAlways: broken({
    name: 'model raises at every photo',
    leading: 'moody',
    photoOf: ({ photos }) => photos.raising,
  }),
  overstaysSometimes: broken({
    name: 'model overstays at every tenth photo',
    leading: 'moody',
    photoOf: ({ photos }, n) => (n % 10 === 0 ? photos.lingering : undefined),
  }),
  overstaysAlways: broken({
    name: 'model overstays at every photo',
    leading: 'moody',
    photoOf: ({ photos }) => photos.lingering,
  }),
  slower: broken({
    name: 'model is ten times slower',
    leading: 'moody',
    photoOf: ({ photos }) => photos.slow,
  }),
  corrupt: broken({
    name: 'model file corrupt at start',
    spoil: scratch,
  }),
  corruptSigned: broken({
    name: 'model file corrupt at start, hash adjusted',
    spoil: (dir) => {
      scratch(dir);
      signAnew(dir);
    },
  }),
  truncatedSigned: broken({
    name: 'model file cut short at start, hash adjusted',
    spoil: (dir) => {
      truncateSync(leadingFile(dir), 1_000_000);
      signAnew(dir);
    },
  }),
  missing: broken({
    name: 'model file missing at start',
    spoil: (dir) => rmSync(leadingFile(dir)),
  }),
  folderMissing: broken({
    name: 'model folder missing at start',
    spoil: (dir) => rmSync(join(dir, 'wide-resnet'), { recursive: true }),
  }),
  cardUnreadable: broken({
    name: 'model card unreadable at start',
    spoil: (dir) => writeFileSync(join(dir, 'wide-resnet', 'model.json'), '{'),
  }),
  goldenFails: broken({
    name: 'golden case fails',
    spoil: (dir) =>
      changeCard(join(dir, 'wide-resnet'), (card) => {
        const [first, ...rest] = card.golden.logits;
        return { ...card, golden: { ...card.golden, logits: [first + 1, ...rest] } };
      }),
  }),
  understudyMissing: broken({
    name: 'understudy in process missing at start',
    leading: 'real', // it answers here, with the same predictions as before
    spoil: (dir) => rmSync(join(dir, 'mobilenet'), { recursive: true }),
  }),
  allMissing: broken({
    name: 'all models of the primary missing at start',
    spoil: (dir) => {
      rmSync(join(dir, 'wide-resnet'), { recursive: true });
      rmSync(join(dir, 'mobilenet'), { recursive: true });
    },
  }),
  threadsEnd: threads("Wide ResNet's threads end", `if (${ofLeadingModel}) setTimeout(() => process.exit(1))`, 3),
  threadsThrow: threads(
    "Wide ResNet's threads throw",
    `if (${ofLeadingModel}) setTimeout(() => { throw new Error('thrown by the chaos run') })`,
  ),
  allThreadsEnd: threads('all inference threads of the primary end', `setTimeout(() => process.exit(1))`),
  threadsBlocked: threads(
    "Wide ResNet's threads are blocked 3 s",
    `if (${ofLeadingModel}) { const end = Date.now() + 3000; while (Date.now() < end); }`,
  ),
} as const satisfies Readonly<Record<string, Fault>>;
