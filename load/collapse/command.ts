import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readCommand, refuse } from '../../ingress/command.ts';
import { toNumber } from '../options.ts';
import { machine, print } from '../report.ts';
import { failures, ratioFailures, type Sweep } from './limits.ts';
import { peers } from './peer.ts';
import { serve } from './served.ts';
import { measureCapacity, startGenerator, sweep } from './sweep.ts';
import { sweepTables } from './tables.ts';

const help = `Usage: npm run load -- collapse [options]

  --steps A,B       multiples of the capacity, 0.5,1,1.5,2,3,4,5,7,10 otherwise
  --seconds S       of each step, 24 otherwise: a third in each of three passes
  --capacity N      requests a second, instead of measuring it; of a peer: as for ours in load/collapse.json
  --deadline MS     clients say X-Deadline-Ms
  --photos DIR      JPEGs of 20 kB and more there, instead of the three test images
  --dead NAME       primary or fallback: kills that function at every start
  --target URL      loads that address and starts nothing
  --peer NAME       starts a reference server with the shipped Wide ResNet: ${Object.keys(peers).join(', ')}
  --ratio           asks only that every request is answered and that 80 % of the best goodput remains
  --save            keeps the steps in load/collapse.json and draws load/collapse.svg anew
  --tables          only prints and draws what is kept there

Ends with 0 when every limit held, else with 1 and a sentence for each that did not; a peer has no limits.
Ends with 2 when the command line is not understood.
`;

const kept = fileURLToPath(new URL('../../../load/collapse.json', import.meta.url));
const images = fileURLToPath(new URL('../../../tests/images/', import.meta.url));
const allFactors = [0.5, 1, 1.5, 2, 3, 4, 5, 7, 10];
const smallestPhoto = 20_000;
/** Systems in the picture: all with the same photos and clients. */
const pictured = ['understudy', ...Object.keys(peers)];

type Sweeps = Record<string, Sweep>;

interface Options {
  readonly factors: readonly number[];
  readonly seconds: number;
  readonly capacity: number | undefined;
  readonly deadlineMs: number | undefined;
  readonly photos: string | undefined;
  readonly dead: 'primary' | 'fallback' | undefined;
  readonly target: string | undefined;
  readonly peer: string | undefined;
  readonly isRatio: boolean;
  readonly isKept: boolean;
  readonly onlyTables: boolean;
}

/** Ends the process with 2 where the command line is not understood. */
export function readOptions(args: readonly string[]): Options {
  const text = { type: 'string' as const };
  const flag = { type: 'boolean' as const, default: false };
  const { values } = readCommand(help, {
    args: [...args],
    options: {
      ...{ steps: text, seconds: text, capacity: text, deadline: text },
      ...{ photos: text, dead: text, target: text, peer: text },
      ...{ ratio: flag, save: flag, tables: flag },
    },
  });
  const { dead, target, peer } = values;
  const optional = (name: 'capacity' | 'deadline') =>
    values[name] === undefined ? undefined : toNumber(name, values[name]);
  if (dead !== undefined && dead !== 'primary' && dead !== 'fallback') {
    refuse(`Expected primary or fallback for --dead but received ${JSON.stringify(dead)}`);
  }
  if (target !== undefined && !/^http:\/\/[^/?#]+\/?$/.test(target)) {
    refuse(`Expected an http address for --target but received ${JSON.stringify(target)}`);
  }
  if (peer !== undefined && peers[peer] === undefined) {
    refuse(`Expected one of ${Object.keys(peers).join(', ')} for --peer but received ${JSON.stringify(peer)}`);
  }
  const [, second] = [dead && '--dead', target && '--target', peer && '--peer'].filter(Boolean);
  if (second !== undefined) refuse(`Expected one of --dead, --target and --peer but received ${second}, too`);
  return {
    factors: values.steps?.split(',').map((step) => toNumber('steps', step)) ?? allFactors,
    seconds: toNumber('seconds', values.seconds ?? '24'),
    capacity: optional('capacity'),
    deadlineMs: optional('deadline'),
    ...{ photos: values.photos, dead, target: target?.replace(/\/$/, ''), peer },
    ...{ isRatio: values.ratio, isKept: values.save, onlyTables: values.tables },
  };
}

/** Measures, prints, saves, and compares with the limits. Resolves to the exit code. */
export async function collapse(options: Options, say: (text: string) => void, signal: AbortSignal): Promise<number> {
  const sweeps = readKept();
  if (options.onlyTables) {
    for (const one of Object.values(sweeps)) print(sweepTables(one));
    await draw(sweeps);
    return 0;
  }
  const one = await measure(options, sweeps.understudy?.capacity, say, signal);
  print(sweepTables(one));
  if (options.isKept) {
    const all = { ...sweeps, [nameOf(options)]: one };
    const rounded = (_: string, value: unknown) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value);
    writeFileSync(kept, `${JSON.stringify(all, rounded, 1)}\n`);
    await draw(all);
  }
  if (options.peer !== undefined) return 0;
  const failed = options.isRatio ? ratioFailures(one) : failures(one);
  for (const sentence of failed) process.stderr.write(`${sentence}\n`);
  return failed.length === 0 ? 0 : 1;
}

async function measure(
  options: Options,
  known: number | undefined,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<Sweep> {
  const { factors, seconds, deadlineMs, peer } = options;
  const photos = photosOf(options);
  const setting = machine().trim();
  const cores = availableParallelism();
  const given = options.capacity ?? (peer === undefined ? undefined : known);
  if (peer !== undefined && given === undefined) {
    refuse('Expected --capacity for a peer, or ours in load/collapse.json, but received neither');
  }
  say(
    `starts what is to be measured${given === undefined ? ', and finds out how much the lead model can answer' : ''}`,
  );
  const served = await serve(options, photos, signal);
  const generator = startGenerator(signal);
  try {
    const capacity = given ?? (await measureCapacity(generator, served, { photos, clients: 2 * Math.max(2, cores) }));
    say(`capacity ${capacity.toFixed(1)} a second`);
    served.kill();
    const headers = deadlineMs === undefined ? {} : { 'x-deadline-ms': String(deadlineMs) };
    const plan = { photos, headers, capacity, factors, seconds, isForeign: peer !== undefined };
    const measured = await sweep(generator, served, plan, { say, signal });
    const measuredAt = new Date().toISOString();
    const label = labelOf(options);
    const described =
      options.photos === undefined ? 'the three test images' : `${photos.length} photos of 20 kB and more`;
    return { label, measuredAt, machine: setting, cores, capacity, photos: described, ...measured };
  } finally {
    generator.stop();
    await served.stop();
  }
}

function photosOf({ photos }: Options): readonly string[] {
  if (photos === undefined) return [1, 2, 3].map((number) => join(images, `test_image_${number}.jpg`));
  const names = readdirSync(photos).filter((name) => /\.jpe?g$/i.test(name));
  const paths = names.sort().map((name) => resolve(photos, name));
  const large = paths.filter((path) => statSync(path).size >= smallestPhoto);
  if (large.length === 0) refuse(`Expected JPEGs of 20 kB and more for --photos but received none in ${photos}`);
  return large;
}

function nameOf({ peer = 'understudy', deadlineMs, photos, dead }: Options): string {
  return [peer, deadlineMs && `deadline-${deadlineMs}`, photos && 'large-photos', dead && `no-${dead}`]
    .filter(Boolean)
    .join('-');
}

function labelOf({ peer, deadlineMs, dead, target }: Options): string {
  const who = (peer && peers[peer]) ?? target ?? 'Understudy';
  return [who, deadlineMs && `clients wait ${deadlineMs} ms`, dead && `${dead} dead`].filter(Boolean).join(', ');
}

function readKept(): Sweeps {
  return existsSync(kept) ? (JSON.parse(readFileSync(kept, 'utf8')) as Sweeps) : {};
}

async function draw(sweeps: Sweeps): Promise<void> {
  const shown = pictured.flatMap((name) => sweeps[name] ?? []);
  if (shown.length === 0) return;
  const { drawSweeps } = await import('./picture.ts'); // takes 0.3 s to load, and few runs draw
  writeFileSync(kept.replace('.json', '.svg'), `${await drawSweeps(shown)}\n`);
}
