import { type Change, ingressVariables } from './support/overlay.ts';

/** The overlay in which candidates are released. */
export const changes: readonly Change[] = [
  // One address sends for all clients.
  ingressVariables({ RATE: '1000', BURST: '1000', CONNECTIONS: '200' }),
  {
    kind: 'Service',
    name: 'classify-primary',
    patch: [
      // Only after this does Knative give up a crashing revision and report why; models load within two seconds.
      { op: 'add', path: '/spec/template/metadata/annotations/serving.knative.dev~1progress-deadline', value: '20s' },
      // Three revisions have a tag, and older ones drain for half a minute.
      { op: 'replace', path: '/spec/template/spec/containers/0/resources/requests/cpu', value: '20m' },
    ],
  },
];

/** A variable that makes a candidate of the current image. */
export interface Candidate {
  readonly name: string;
  readonly env: string;
  /** What a release reports when it takes the candidate back; absent for a good one. */
  readonly fault?: RegExp;
}

/** Delays each answer by a tenth of a second. */
const slow = `
  import { Server } from 'node:http';
  const emit = Server.prototype.emit;
  Server.prototype.emit = function (name, request, ...rest) {
    if (name !== 'request' || request.url !== '/classify') return emit.call(this, name, request, ...rest);
    return setTimeout(() => emit.call(this, name, request, ...rest), 100) !== undefined;
  };`;

/** Shifts the Wide ResNet's labels by one class. */
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

/** Makes Node run a module before the function. */
export function preload(source: string): string {
  return `NODE_OPTIONS=--import=data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
}

/** The current revision with another log level, alternating by round. */
export function goodCandidate(round: number): Candidate {
  return { name: 'good', env: `LOG_LEVEL=${round % 2 === 0 ? 'warn' : 'error'}` };
}

export const wrongCandidate: Candidate = {
  name: 'wrong-answer',
  env: preload(wrong),
  fault: /comparison: .*top1_agrees was \d/,
};

/** A release must take each of them back. */
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
