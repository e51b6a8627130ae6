import { createHash } from 'node:crypto';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changeCard, makeModelsDir } from '../../support/models.ts';
import { type Fault, pause, type Stage, sendUsual, untilReplaced } from '../fault.ts';
import type { Photo } from '../photos.ts';
import { signalProcess } from '../stack.ts';

/** The test model's version where it leads, and its classes. */
export const moodyVersion = 'moody';
export const moodyClasses = 2;

/** Restart, load, and the 5 s for which nginx' breaker may still skip the primary: then a moment is left to serve ... */
const servedMs = 8000;
/** ... and longer, where something happens at each run. */
const servedMoodyMs = 12_000;

interface Broken {
  readonly name: string;
  readonly does: string;
  /** @default 'portable' */
  readonly leading?: 'portable' | 'moody' | 'real';
  /** Changes the model folders before the primary is started with them. */
  readonly spoil?: (dir: string) => void;
  /** What is sent of n while it lasts; the usual otherwise. */
  readonly photoOf?: (stage: Stage, n: number) => Photo | undefined;
}

/** The primary is restarted with these model folders, serves with them for a time, and is restarted with the shipped ones. */
function broken({ name, does, leading = 'portable', spoil, photoOf }: Broken): Fault {
  return {
    name,
    does,
    allows: 'none',
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

/** Makes the card agree with the file, so that only what comes after the hash can notice. */
function signAnew(dir: string): void {
  const sha256 = createHash('sha256')
    .update(readFileSync(leadingFile(dir)))
    .digest('hex');
  changeCard(join(dir, 'wide-resnet'), (card) => ({ ...card, sha256 }));
}

/** Bytes in the middle overwritten: weights, not structure. */
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

function threads(name: string, does: string, expression: string, times = 1): Fault {
  return {
    name,
    does,
    allows: 'none',
    async strike(stage) {
      for (let time = 0; time < times; time += 1) {
        await endWorkers(stage, expression);
        await pause(stage, 500);
      }
    },
  };
}

/** What happens to a model: its files, its runs, its threads. */
export const modelFaults = {
  raisesSometimes: broken({
    name: 'model raises at every third photo',
    does: 'a model leads whose run raises in ONNX Runtime, by the photo; every third photo does it',
    leading: 'moody',
    photoOf: ({ photos }, n) => (n % 3 === 0 ? photos.raising : undefined),
  }),
  raisesAlways: broken({
    name: 'model raises at every photo',
    does: 'the same, every photo does it',
    leading: 'moody',
    photoOf: ({ photos }) => photos.raising,
  }),
  overstaysSometimes: broken({
    name: 'model overstays at every tenth photo',
    does: 'a model leads whose run takes seconds, by the photo; every tenth photo does it',
    leading: 'moody',
    photoOf: ({ photos }, n) => (n % 10 === 0 ? photos.lingering : undefined),
  }),
  overstaysAlways: broken({
    name: 'model overstays at every photo',
    does: 'the same, every photo does it',
    leading: 'moody',
    photoOf: ({ photos }) => photos.lingering,
  }),
  slower: broken({
    name: 'model is ten times slower',
    does: 'a model leads whose run takes about ten times as long as the Wide ResNet',
    leading: 'moody',
    photoOf: ({ photos }) => photos.slow,
  }),
  corrupt: broken({
    name: 'model file corrupt at start',
    does: '4 kB in the middle of the file overwritten: its hash is not as its card says',
    spoil: scratch,
  }),
  corruptSigned: broken({
    name: 'model file corrupt at start, hash adjusted',
    does: 'the same, with the hash of the spoiled file in the card: only the golden case can notice',
    spoil: (dir) => {
      scratch(dir);
      signAnew(dir);
    },
  }),
  truncatedSigned: broken({
    name: 'model file cut short at start, hash adjusted',
    does: 'half of the file, with its hash in the card: ONNX Runtime cannot load it',
    spoil: (dir) => {
      truncateSync(leadingFile(dir), 1_000_000);
      signAnew(dir);
    },
  }),
  missing: broken({
    name: 'model file missing at start',
    does: 'the primary restarts without the file',
    spoil: (dir) => rmSync(leadingFile(dir)),
  }),
  folderMissing: broken({
    name: 'model folder missing at start',
    does: 'the primary restarts without the folder of the Wide ResNet',
    spoil: (dir) => rmSync(join(dir, 'wide-resnet'), { recursive: true }),
  }),
  cardUnreadable: broken({
    name: 'model card unreadable at start',
    does: 'model.json is no JSON',
    spoil: (dir) => writeFileSync(join(dir, 'wide-resnet', 'model.json'), '{'),
  }),
  goldenFails: broken({
    name: 'golden case fails',
    does: 'the card demands another first logit of the golden case',
    spoil: (dir) =>
      changeCard(join(dir, 'wide-resnet'), (card) => {
        const [first, ...rest] = card.golden.logits;
        return { ...card, golden: { ...card.golden, logits: [first + 1, ...rest] } };
      }),
  }),
  understudyMissing: broken({
    name: 'understudy in process missing at start',
    does: 'the primary restarts without the folder of MobileNet',
    leading: 'real', // it answers here, and has to say what it said before
    spoil: (dir) => rmSync(join(dir, 'mobilenet'), { recursive: true }),
  }),
  allMissing: broken({
    name: 'all models of the primary missing at start',
    does: 'the primary finds no model folder and ends, again and again',
    spoil: (dir) => {
      rmSync(join(dir, 'wide-resnet'), { recursive: true });
      rmSync(join(dir, 'mobilenet'), { recursive: true });
    },
  }),
  threadsEnd: threads(
    "Wide ResNet's threads end",
    'process.exit in every inference thread of the Wide ResNet, three times, 0.5 s apart',
    `if (${ofLeadingModel}) setTimeout(() => process.exit(1))`,
    3,
  ),
  threadsThrow: threads(
    "Wide ResNet's threads throw",
    'an exception that nobody catches, in every inference thread of the Wide ResNet',
    `if (${ofLeadingModel}) setTimeout(() => { throw new Error('thrown by the chaos run') })`,
  ),
  allThreadsEnd: threads(
    'all inference threads of the primary end',
    'process.exit in every inference thread, of both models',
    `setTimeout(() => process.exit(1))`,
  ),
  threadsBlocked: threads(
    "Wide ResNet's threads are blocked 3 s",
    'a busy loop of 3 s in every inference thread of the Wide ResNet: its sessions do not answer',
    `if (${ofLeadingModel}) { const end = Date.now() + 3000; while (Date.now() < end); }`,
  ),
} as const satisfies Readonly<Record<string, Fault>>;
