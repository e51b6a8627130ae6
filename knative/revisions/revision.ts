import { readFileSync } from 'node:fs';
import { readCommand } from '../../ingress/command.ts';
import { ensureK6, ToolError } from '../../load/tool.ts';
import { checkKn, KnError, look, type Subject } from './kn.ts';
import { listOf } from './list.ts';
import { beforeOf, CandidateError, change, deploy, rollback, route, say, takeBack } from './operate.ts';
import { deleteLine, planCanary, planPromotion, prunable } from './plan.ts';
import { type Asked, rehearse } from './rehearse.ts';
import { ReleaseError, release } from './release.ts';
import { candidateOf, currentOf, type State, StateError } from './state.ts';

const help = `Usage: npm run revision -- VERB [options]

  list               every revision with its share of the traffic, tags and fate
  deploy             makes a revision without traffic, tagged candidate
  canary PERCENT     gives the candidate so much of the traffic, 1 to 99
  promote            gives it all; who served is tagged previous and stays warm
  rollback           takes the last step back: drops the candidate, or returns to previous
  prune              deletes revisions that have neither traffic nor a tag
  release            deploy, smoke test, 10 %, comparison, 50 %, comparison, 100 %; takes itself back when a step falls short

  --image IMAGE      of deploy and release; without --image and --env the newest revision is taken as it is
  --env NAME=VALUE   of deploy and release, as often as needed
  --wait SECONDS     how long a candidate may take to become ready, 180 otherwise
  --address URL      of release: the gateway of cluster-local Services; kubectl forwards a free port to it otherwise
  --seconds S        of release: length of a comparison, 30 otherwise; the smoke test takes half of it
  --service NAME     classify-primary otherwise
  --namespace NAME   understudy otherwise
  --dry-run          prints the lines that would run; the state is read from the cluster or from --state FILE
  --state FILE       what "list --json" printed
  --json             of list
`;

/** Something the person at the terminal has to change; the message says what. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Job {
  readonly verb: string;
  readonly subject: Subject;
  readonly asked: Asked;
  readonly isDry: boolean;
  readonly stateFile: string | undefined;
  readonly isJson: boolean;
}

const verbs = ['list', 'deploy', 'canary', 'promote', 'rollback', 'prune', 'release'];
const makers = ['deploy', 'release'];
/** npm hands a Ctrl-C on that the terminal has already sent to everyone: that is one Ctrl-C, not two. */
const sameSignalMs = 500;

function readJob(args: readonly string[]): Job {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    ...{ image: text, env: { ...text, multiple: true as const }, wait: text, address: text, seconds: text },
    ...{ service: text, namespace: text, state: text, 'dry-run': flag, json: flag },
  };
  const { values, positionals } = readCommand(help, { args: [...args], options, allowPositionals: true });
  const [verb = '', ...others] = positionals;
  if (!verbs.includes(verb)) {
    throw new UsageError(`Expected one of ${verbs.join(', ')} but received ${JSON.stringify(verb)}\n\n${help}`);
  }
  const [percent, ...rest] = verb === 'canary' ? others : ['1', ...others];
  if (rest.length > 0)
    throw new UsageError(`Expected nothing after ${verb} but received ${JSON.stringify(rest.join(' '))}`);
  for (const name of ['image', 'env', 'wait'] as const) {
    if (values[name] !== undefined && !makers.includes(verb)) {
      throw new UsageError(`Expected --${name} for deploy or release but received it for ${verb}`);
    }
  }
  const address = values.address;
  if (address !== undefined && !/^http:\/\/[^/?#\s]+\/?$/.test(address)) {
    throw wrong('an http address', '--address', address);
  }
  if (values.image !== undefined && !/^[^\s@-][^\s]*$/.test(values.image))
    throw wrong('an image', '--image', values.image);
  if (values.state !== undefined && !values['dry-run']) {
    throw new UsageError('Expected --dry-run beside --state but received --state alone');
  }
  return {
    verb,
    subject: {
      service: name('--service', values.service ?? 'classify-primary'),
      namespace: name('--namespace', values.namespace ?? 'understudy'),
    },
    asked: {
      percent: whole('PERCENT', percent ?? '', 1, 99),
      change: { ...(values.image !== undefined && { image: values.image }), env: variables(values.env ?? []) },
      terms: {
        address: address?.replace(/\/$/, ''),
        seconds: whole('--seconds', values.seconds ?? '30', 2, 3600),
        waitSeconds: whole('--wait', values.wait ?? '180', 1, 3600),
      },
    },
    isDry: values['dry-run'] ?? false,
    stateFile: values.state,
    isJson: values.json ?? false,
  };
}

function wrong(what: string, name: string, received: string): UsageError {
  return new UsageError(`Expected ${what} for ${name} but received ${JSON.stringify(received)}`);
}

function name(option: string, text: string): string {
  if (/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw wrong('a name of lower-case letters, digits and -', option, text);
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw wrong(`a whole number from ${min} to ${max}`, option, text);
}

function variables(pairs: readonly string[]): Readonly<Record<string, string>> {
  const entries = pairs.map((pair) => {
    const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined || value === undefined) throw wrong('NAME=VALUE', '--env', pair);
    return [name, value] as const;
  });
  return Object.fromEntries(entries);
}

async function main(job: Job, signal: AbortSignal): Promise<void> {
  const { verb, subject, asked } = job;
  if (job.stateFile !== undefined) return rehearsal(job, readStateFile(job.stateFile));
  await checkKn(signal);
  if (job.isDry) return rehearsal(job, await look(subject, signal));
  switch (verb) {
    case 'deploy': {
      const state = await look(subject, signal);
      return print(`${await deployOrTakeBack(job, state, signal)} is the candidate, without traffic`);
    }
    case 'canary': {
      const state = await look(subject, signal);
      await route(subject, state, planCanary(state, asked.percent), signal);
      return print(`${candidateOf(state)} gets ${asked.percent} % of the traffic, ${currentOf(state)} the rest`);
    }
    case 'promote': {
      const state = await look(subject, signal);
      await route(subject, state, planPromotion(state), signal);
      return print(`${candidateOf(state)} serves; ${currentOf(state)} is previous`);
    }
    case 'rollback':
      return print(`${await rollback(subject)} has all the traffic`);
    case 'prune': {
      const state = await look(subject, signal);
      const line = deleteLine(state, prunable(state));
      if (line !== undefined) await change(line, signal);
      return print(line === undefined ? 'nothing to prune' : `deleted ${prunable(state).join(', ')}`);
    }
    case 'release': {
      const k6 = await ensureK6(say, undefined, signal);
      const candidate = await release(subject, asked.change, { ...asked.terms, k6 }, signal);
      return print(`${candidate} serves`);
    }
    default: {
      const state = await look(subject, signal);
      return print(job.isJson ? JSON.stringify(state, null, 2) : listOf(state).trimEnd());
    }
  }
}

async function deployOrTakeBack({ subject, asked }: Job, state: State, signal: AbortSignal): Promise<string> {
  try {
    return await deploy(subject, state, asked.change, asked.terms.waitSeconds, signal);
  } catch (fault) {
    if (!(fault instanceof StateError)) await takeBack(subject, beforeOf(state), undefined);
    throw fault;
  }
}

function rehearsal({ verb, asked }: Job, state: State): void {
  const lines = rehearse(verb, state, asked);
  print(lines.length === 0 ? '# nothing to do' : lines.join('\n'));
}

function readStateFile(path: string): State {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as State;
  } catch (cause) {
    throw new UsageError(`Expected what "list --json" prints for --state but received ${(cause as Error).message}`);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

// Whoever read it may be gone, with the terminal: what is half done is taken back all the same.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const stopping = new AbortController();
let interruptedAt: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interruptedAt === undefined) {
      interruptedAt = Date.now();
      say(`${signal}: ends when nothing is half done; another Ctrl-C leaves everything as it is now`);
      stopping.abort(new Error(`interrupted by ${signal}`));
    } else if (signal === 'SIGINT' && Date.now() - interruptedAt > sameSignalMs) {
      process.exit(130);
    }
  });
}

const forPerson = [UsageError, StateError, KnError, CandidateError, ReleaseError, ToolError];
try {
  await main(readJob(process.argv.slice(2)), stopping.signal);
} catch (fault) {
  const { message, stack } = fault as Error;
  const isForPerson = interruptedAt !== undefined || forPerson.some((kind) => fault instanceof kind);
  process.stderr.write(`${isForPerson ? message : stack}\n`);
  process.exitCode = fault instanceof UsageError ? 2 : 1;
}
