/** A variable that makes a candidate of the very image that serves. */
export interface Candidate {
  readonly name: string;
  readonly env: string;
  /** What a release says when it takes the candidate back; absent for a good one. */
  readonly fault?: RegExp;
}

/** Answers each upload a tenth of a second later than it could. */
const slow = `
  import { Server } from 'node:http';
  const emit = Server.prototype.emit;
  Server.prototype.emit = function (name, request, ...rest) {
    if (name !== 'request' || request.url !== '/classify') return emit.call(this, name, request, ...rest);
    return setTimeout(() => emit.call(this, name, request, ...rest), 100) !== undefined;
  };`;

/** Finds the label of another class in the Wide ResNet's list. */
const wrong = `
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  const read = fs.readFileSync;
  fs.readFileSync = (path, ...rest) => {
    const content = read(path, ...rest);
    if (!String(path).endsWith('wide-resnet/labels.json')) return content;
    const [first, ...others] = JSON.parse(content);
    return JSON.stringify([...others, first]);
  };
  syncBuiltinESMExports();`;

/** Has Node run a module before the function. */
export function preload(source: string): string {
  return `NODE_OPTIONS=--import=data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
}

/** Logs less, and is otherwise what serves; `round` makes each one another. */
export function goodCandidate(round: number): Candidate {
  return { name: 'good', env: `LOG_LEVEL=${round % 2 === 0 ? 'warn' : 'error'}` };
}

export const wrongCandidate: Candidate = {
  name: 'wrong-answer',
  env: preload(wrong),
  fault: /comparison: .*top1_agrees was \d/,
};

/** Each has to be taken back. */
export const badCandidates: readonly Candidate[] = [
  { name: 'slow', env: preload(slow), fault: /comparison: .*p95_ratio was \d/ },
  {
    name: 'crashing',
    env: 'MODELS_DIR=/nowhere',
    fault: /Expected \S+ to become ready but received ExitCode1: .*Expected a file/,
  },
  wrongCandidate,
  { name: 'degraded', env: 'PRIMARY_BUDGET_MS=1', fault: /smoke test: .*degraded\{scenario:smoke\} was \d/ },
];
