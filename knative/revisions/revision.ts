import { onInterrupt, readCommand, refuse } from '../../ingress/command.ts';
import { ensureK6, ToolError } from '../../load/tool.ts';
import { checkKn, KnError, look, type Subject } from './kn.ts';
import { beforeOf, CandidateError, deploy, rollback, route, say, takeBack } from './operate.ts';
import { type Change, planCanary, planPromotion } from './plan.ts';
import { ReleaseError, release, type Terms } from './release.ts';
import { candidateOf, currentOf, StateError } from './state.ts';

const help = `Usage: npm run revision -- VERB [options]

  deploy             makes a revision without traffic, tagged candidate
  canary PERCENT     gives the candidate 1 to 99 % of the traffic
  promote            gives it all; the revision that served is tagged previous and keeps its pods
  rollback           takes the last step back: drops the candidate, or returns to previous
  release            deploy, smoke test, 10 %, comparison, 50 %, comparison, 100 %; takes itself back when a step falls short

  --image IMAGE      for deploy and release; without --image and --env they take the newest revision as it is
  --env NAME=VALUE   for deploy and release, repeatable
  --wait SECONDS     for deploy and release: time for a candidate to become ready (default 180)
  --address URL      for release: the gateway of cluster-local Services (default: a port that kubectl forwards)
  --seconds S        for release: length of a comparison (default 30); the smoke test takes half of it
  --service NAME     (default classify-primary)
  --namespace NAME   (default understudy)
`;

interface Job {
  readonly verb: string;
  readonly subject: Subject;
  readonly percent: number;
  readonly change: Change;
  readonly terms: Omit<Terms, 'k6'>;
}

const verbs = ['deploy', 'canary', 'promote', 'rollback', 'release'];
const makers = ['deploy', 'release'];

function readJob(args: readonly string[]): Job {
  const text = { type: 'string' } as const;
  const options = {
    ...{ image: text, env: { ...text, multiple: true as const }, wait: text },
    ...{ address: text, seconds: text, service: text, namespace: text },
  };
  const { values, positionals } = readCommand(help, { args: [...args], options, allowPositionals: true });
  const [verb = '', ...others] = positionals;
  if (!verbs.includes(verb)) {
    refuse(`Expected one of ${verbs.join(', ')} but received ${JSON.stringify(verb)}\n\n${help.trimEnd()}`);
  }
  const [percent, ...rest] = verb === 'canary' ? others : ['1', ...others];
  if (rest.length > 0) refuse(`Expected nothing after ${verb} but received ${JSON.stringify(rest.join(' '))}`);
  for (const name of ['image', 'env', 'wait'] as const) {
    if (values[name] !== undefined && !makers.includes(verb)) {
      refuse(`Expected --${name} for deploy or release but received it for ${verb}`);
    }
  }
  const { address, image } = values;
  if (address !== undefined) matched('an http address', '--address', address, /^http:\/\/[^/?#\s]+\/?$/);
  if (image !== undefined) matched('an image', '--image', image, /^[^\s@-][^\s]*$/);
  return {
    verb,
    subject: {
      service: name('--service', values.service ?? 'classify-primary'),
      namespace: name('--namespace', values.namespace ?? 'understudy'),
    },
    percent: whole('PERCENT', percent ?? '', 1, 99),
    change: { ...(image !== undefined && { image }), env: variables(values.env ?? []) },
    terms: {
      address: address?.replace(/\/$/, ''),
      seconds: whole('--seconds', values.seconds ?? '30', 2, 3600),
      waitSeconds: whole('--wait', values.wait ?? '180', 1, 3600),
    },
  };
}

function matched(what: string, option: string, text: string, pattern: RegExp): string {
  return pattern.test(text) ? text : refuse(`Expected ${what} for ${option} but received ${JSON.stringify(text)}`);
}

function name(option: string, text: string): string {
  return matched('a name of lower-case letters, digits and -', option, text, /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/);
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  return refuse(`Expected a whole number from ${min} to ${max} for ${option} but received ${JSON.stringify(text)}`);
}

function variables(pairs: readonly string[]): Readonly<Record<string, string>> {
  const checked = pairs.map((pair) => matched('NAME=VALUE', '--env', pair, /^[A-Za-z_]\w*=/));
  return Object.fromEntries(
    checked.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

/** Performs the job and returns what to report. */
async function perform({ verb, subject, percent, change, terms }: Job, signal: AbortSignal): Promise<string> {
  await checkKn(signal);
  if (verb === 'rollback') return `${await rollback(subject)} has all the traffic`;
  if (verb === 'release') {
    const k6 = await ensureK6(say, undefined, signal);
    return `${await release(subject, change, { ...terms, k6 }, signal)} serves`;
  }
  const state = await look(subject, signal);
  if (verb === 'deploy') {
    const candidate = await deploy(subject, state, change, terms.waitSeconds, signal).catch(async (fault) => {
      if (!(fault instanceof StateError)) await takeBack(subject, beforeOf(state), undefined);
      throw fault;
    });
    return `${candidate} is the candidate, without traffic`;
  }
  await route(subject, state, verb === 'canary' ? planCanary(state, percent) : planPromotion(state), signal);
  if (verb === 'promote') return `${candidateOf(state)} serves; ${currentOf(state)} is previous`;
  return `${candidateOf(state)} gets ${percent} % of the traffic, ${currentOf(state)} the rest`;
}

// The reader may be gone with its terminal: a take-back continues without it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const job = readJob(process.argv.slice(2));
const stopping = new AbortController();
onInterrupt((signal) => {
  say(`${signal}: takes back what is half done and ends; a second signal leaves everything as it is`);
  stopping.abort(new Error(`interrupted by ${signal}`));
});

const expected = [StateError, KnError, CandidateError, ReleaseError, ToolError];
try {
  process.stdout.write(`${await perform(job, stopping.signal)}\n`);
} catch (fault) {
  const { message, stack } = fault as Error;
  const isExpected = stopping.signal.aborted || expected.some((kind) => fault instanceof kind);
  process.stderr.write(`${isExpected ? message : stack}\n`);
  process.exitCode = 1;
}
