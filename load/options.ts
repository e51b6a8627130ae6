import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCommand, refuse } from '../ingress/command.ts';
import { type Asked, shapeNames } from './k6/shapes.ts';
import { type TaskName, taskNames, tasks } from './k6/tasks.ts';

const shapes: readonly string[] = [...shapeNames, 'capacity', 'failover', 'canary'];

const help = `Usage: npm run load -- SHAPE [options]

  SHAPE  ${shapes.join(', ')},
         or collapse, which has options of its own: npm run load -- collapse --help

  --duration S      seconds of the whole shape, instead of its own
  --rate N          requests a second, of smoke and failover
  --capacity N      requests a second that the lead model can answer, instead of measuring it
  --factors A,B     multiples of the capacity, of overload
  --fault NAME      kill or stop, of failover
  --target URL      loads that address and starts nothing
  --foreign         the target is another model server: sends forms only, and checks the predictions only
  --baseline URL, --candidate URL   of canary; without one of them the started stack takes its place
  --task NAME       ${taskNames.join(', ')}; classify otherwise, and alone for failover and canary
  --upload FILE     is posted in place of the test images
  --deadline MS     clients send X-Deadline-Ms
  --models-dir DIR  MODELS_DIR of the functions
  --out DIR         folder of the results, load/results/SHAPE otherwise

The functions inherit the environment: WORKERS=1 npm run load -- average
Exit code: 0 when every limit held, k6's own (99) when one did not, 1 when no measurement was made or a function
used too much memory, 2 when the command line is not understood.
`;

/** What the command line asks for. */
export interface Job {
  readonly shape: string;
  readonly task: TaskName;
  /** Posted in place of the task's own files. */
  readonly upload: string | undefined;
  readonly asked: Asked;
  readonly fault: 'kill' | 'stop';
  readonly target: string | undefined;
  readonly baseline: string | undefined;
  readonly candidate: string | undefined;
  readonly isForeign: boolean;
  readonly deadlineMs: number | undefined;
  readonly modelsDir: string | undefined;
  readonly out: string;
}

const results = fileURLToPath(new URL('../../load/results/', import.meta.url));
const texts = [
  'duration',
  'rate',
  'capacity',
  'factors',
  'fault',
  'target',
  'baseline',
  'candidate',
  'task',
  'upload',
  'deadline',
] as const;
const names = [...texts, 'models-dir', 'out'] as const;

/** Ends the process with 2 where the command line is not understood. */
export function readJob(args: readonly string[]): Job {
  const options = {
    ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
    foreign: { type: 'boolean' as const, default: false },
  };
  const parsed = readCommand(help, { args: [...args], options, allowPositionals: true });
  const values = parsed.values as Partial<Record<(typeof names)[number], string>> & { readonly foreign: boolean };
  const { positionals } = parsed;
  const [shape = '', ...others] = positionals;
  if (!shapes.includes(shape) || others.length > 0) {
    refuse(`Expected one shape but received ${JSON.stringify(positionals.join(' '))}\n\n${help.trimEnd()}`);
  }
  const { fault = 'kill', factors, out, foreign } = values;
  if (fault !== 'kill' && fault !== 'stop') {
    return refuse(`Expected kill or stop for --fault but received ${JSON.stringify(fault)}`);
  }
  if (shape === 'failover' && values.target !== undefined) {
    refuse('Expected no --target for failover but received one: the shape kills a primary that it started');
  }
  const task = taskNames.find((name) => name === (values.task ?? 'classify'));
  if (task === undefined || (task !== 'classify' && ['failover', 'canary'].includes(shape))) {
    const known = task === undefined ? taskNames.join(', ') : 'classify';
    return refuse(`Expected ${known} for --task but received ${JSON.stringify(values.task)}`);
  }
  if (foreign && values.target === undefined) refuse('Expected --target with --foreign but received none');
  const number = (name: 'duration' | 'rate' | 'capacity' | 'deadline') =>
    values[name] === undefined ? undefined : toNumber(name, values[name]);
  const [seconds, rate, capacity] = [number('duration'), number('rate'), number('capacity')];
  const asked: Asked = {
    inTimeMs: tasks[task].inTimeMs,
    ...(seconds !== undefined && { seconds }),
    ...(rate !== undefined && { rate }),
    ...(capacity !== undefined && { capacity }),
    ...(factors !== undefined && { factors: factors.split(',').map((factor) => toNumber('factors', factor)) }),
  };
  const address = (name: 'target' | 'baseline' | 'candidate') =>
    values[name] === undefined ? undefined : toAddress(name, values[name]);
  return {
    ...{ shape, task, asked, fault, isForeign: foreign, deadlineMs: number('deadline') },
    ...{ target: address('target'), baseline: address('baseline'), candidate: address('candidate') },
    upload: values.upload === undefined ? undefined : resolve(values.upload),
    modelsDir: values['models-dir'] === undefined ? undefined : resolve(values['models-dir']),
    out: out === undefined ? join(results, shape) : resolve(out),
  };
}

/** Ends the process with 2 where an option is no number above 0. */
export function toNumber(name: string, text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 1_000_000) return value;
  return refuse(`Expected a number above 0 for --${name} but received ${JSON.stringify(text)}`);
}

function toAddress(name: string, text: string): string {
  if (/^https?:\/\/[^/?#]+\/?$/.test(text)) return text.replace(/\/$/, '');
  return refuse(`Expected an http address for --${name} but received ${JSON.stringify(text)}`);
}
