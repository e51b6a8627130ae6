import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { listCandidates, verifyFiles } from '../functions/core/card/catalog.ts';
import { allowedInstructions } from '../functions/core/card/instructions.ts';
import { disableTelemetry } from '../functions/core/config.ts';
import type { FromWorker, Load, ToWorker } from '../functions/core/pool/message.ts';
import type { TaskInput } from '../functions/core/task.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { thread } from '../functions/tasks/classify/thread.ts';
import { readCommand } from '../ingress/command.ts';
import { runTool } from './tool.ts';

const usage = `Usage: node dist/models/memory.js --model NAME [options]

Memory of this process with a model in the service's workers, each of which has loaded and run it. Linux only.

  --model NAME         a folder, NAME or NAME@VERSION
  --models-dir PATH    folder of model folders (default models)
  --variant NAME       which of its files: portable, or the name of a variant that this processor may run
                       (default what the service would choose)
  --workers N          how many (default 1)`;

const workerScript = new URL('../functions/core/pool/worker.js', import.meta.url);
/** After so many, what a run allocates has been allocated. */
const runs = 20;

type Options = ReturnType<typeof readOptions>;

async function measure({ modelsDir, model, variant, workers }: Options): Promise<void> {
  const candidates = listCandidates(modelsDir, model, classify.card, allowedInstructions());
  const spec = candidates.find((candidate) => variant === undefined || candidate.variant === variant);
  if (spec === undefined) {
    const names = candidates.map((candidate) => candidate.variant).join(', ');
    throw new Error(`Expected one of ${names} of ${model} for --variant but received "${variant}"`);
  }
  verifyFiles(spec);
  const { path, input, output, optimizedBy, details } = spec;
  const pixels = thread.golden(details);
  const load: Load = { path, input, output, optimizedBy, details, thread: classify.thread.href, niceness: 0 };
  const started = Array.from({ length: workers }, () => new Worker(workerScript, { workerData: load }));
  try {
    await Promise.all(started.map((worker) => runRepeatedly(worker, pixels)));
    const { residentMb, onceMb } = readMemory();
    const who = `${model} ${spec.variant}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
    process.stdout.write(`${who}: ${residentMb} MB resident, ${onceMb} MB with each mapped page once\n`);
  } finally {
    const quit: ToWorker = { type: 'quit' };
    for (const worker of started) worker.postMessage(quit);
  }
}

/** Resolves once the worker has loaded its file, proven it and run it `runs` times. */
function runRepeatedly(worker: Worker, input: TaskInput): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = runs;
    const run: ToWorker = { type: 'run', input };
    worker.on('error', reject);
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'refused' || message.type === 'raised') reject(new Error(message.error));
      else if (left === 0) resolve();
      else {
        left -= 1;
        worker.postMessage(run);
      }
    });
  });
}

/**
 * In millions of bytes, from /proc: what is resident (RSS), which counts a file once for each session that maps it, and the same
 * with each page of a file counted once, as a container's limit does.
 */
function readMemory(): { readonly residentMb: number; readonly onceMb: number } {
  const areas = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[\da-f]+-[\da-f]+ )/m);
  const anonymous: number[] = [];
  const ofFiles = new Map<string, number>();
  for (const area of areas) {
    const [, place, device, inode] = /^\S+ \S+ (\S+) (\S+) (\S+)/.exec(area) ?? [];
    const bytes = (name: string) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(area)?.[1]);
    const mapped = bytes('Rss') - bytes('Anonymous');
    const pages = `${device} ${inode} ${place}`;
    anonymous.push(bytes('Anonymous'));
    ofFiles.set(pages, Math.max(mapped, ofFiles.get(pages) ?? 0));
  }
  const megabytes = (parts: Iterable<number>) => Math.round([...parts].reduce((sum, part) => sum + part, 0) / 1e6);
  return {
    residentMb: Math.round(process.memoryUsage.rss() / 1e6),
    onceMb: megabytes([...anonymous, ...ofFiles.values()]),
  };
}

/** @throws TypeError about the command line */
function readOptions() {
  const { values } = readCommand(usage, {
    options: {
      model: { type: 'string' },
      'models-dir': { type: 'string', default: 'models' },
      variant: { type: 'string' },
      workers: { type: 'string', default: '1' },
    },
  });
  if (values.model === undefined) throw new TypeError('Expected a folder for --model but received nothing');
  if (!/^[1-9]\d?$/.test(values.workers)) {
    throw new TypeError(`Expected a whole number from 1 to 99 for --workers but received "${values.workers}"`);
  }
  return {
    model: values.model,
    modelsDir: values['models-dir'],
    variant: values.variant,
    workers: Number(values.workers),
  };
}

disableTelemetry();
await runTool(usage, readOptions, measure);
