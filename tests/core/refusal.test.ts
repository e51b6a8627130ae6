import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { changeCard } from '../support/models.ts';
import { ask, cleanAfterEach, linesOf, through } from '../support/served.ts';

const serve = fileURLToPath(new URL('../../functions/serve.js', import.meta.url));
const { later, modelsDir, startPrimary } = cleanAfterEach();

const sha256Of = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const digest = '[0-9a-f]{64}';
const names = ['cat', 'dog', 'owl'];

/** Cards of the file as it is now. */
function signAnew(folder: string): void {
  changeCard(folder, (card) => ({ ...card, sha256: sha256Of(join(folder, 'model.onnx')) }));
}

function writeLabels(folder: string): void {
  writeFileSync(join(folder, 'labels.json'), JSON.stringify(names.map((label) => ({ class: `n-${label}`, label }))));
}

function closeFor(path: string): void {
  chmodSync(path, 0);
  later(() => chmodSync(path, 0o755));
}

interface Bad {
  readonly what: string;
  readonly kind?: 'moody' | 'strange' | 'future';
  readonly spoil: (folder: string) => void;
  readonly sentence: RegExp;
}

const badFolders: readonly Bad[] = [
  {
    what: 'weights cut short',
    spoil: (folder) => truncateSync(join(folder, 'model.onnx'), 500),
    sentence: new RegExp(
      `model\\.onnx: Expected SHA-256 ${digest} for its bytes but received ${digest} \\(500 bytes\\)$`,
    ),
  },
  {
    what: 'weights cut short and a hash that says so',
    spoil(folder) {
      truncateSync(join(folder, 'model.onnx'), 500);
      signAnew(folder);
    },
    sentence: /model\.onnx: Expected a graph that ONNX Runtime [\d.]+ loads but received: .*Protobuf parsing failed/,
  },
  {
    what: 'another hash',
    spoil: (folder) => changeCard(folder, (card) => ({ ...card, sha256: '0'.repeat(64) })),
    sentence: new RegExp(`model\\.onnx: Expected SHA-256 0{64} for its bytes but received ${digest} \\(\\d+ bytes\\)$`),
  },
  {
    what: 'no weights',
    spoil: (folder) => rmSync(join(folder, 'model.onnx')),
    sentence: /model\.onnx: Expected SHA-256 .* but received no file$/,
  },
  {
    what: 'another architecture than its labels and its golden case are for',
    spoil(folder) {
      changeCard(folder, (card) => ({ ...card, golden: { logits: [1, 2, 3], tolerance: 0.001 } }));
      writeLabels(folder);
    },
    sentence: /model\.onnx: Expected 3 logits for the golden case but received 2$/,
  },
  {
    what: 'an architecture that takes another input',
    spoil: (folder) => changeCard(folder, (card) => ({ ...card, input: { ...card.input, crop: 3 } })),
    sentence: /model\.onnx: Expected an answer for the golden case but received: .*dimensions/,
  },
  {
    what: 'labels of the wrong length',
    spoil: writeLabels,
    sentence: /labels\.json: Expected 2 labels \(one a logit of model\.onnx\) but received 3$/,
  },
  {
    what: 'logits that are no numbers',
    kind: 'strange',
    // So that the blue of the golden case's first pixel, 78, becomes 0.
    spoil: (folder) => changeCard(folder, (card) => ({ ...card, input: { ...card.input, mean: [0, 0, 78 / 255] } })),
    sentence: /model\.onnx: Expected an answer for the golden case but received: Expected numbers .* received NaN$/,
  },
  {
    what: 'other logits than the golden case demands',
    spoil: (folder) => changeCard(folder, (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } })),
    sentence: /model\.onnx: Expected 3 for logit 1 of the golden case but received 2$/,
  },
  {
    what: 'a typo in its card',
    spoil: (folder) =>
      changeCard(folder, ({ tolerance, ...card }) => ({ ...card, golden: { ...card.golden, tolerence: 1 } })),
    sentence:
      /model\.json: Expected one of logits, tolerance for a field of the card but received "golden\.tolerence"$/,
  },
  {
    what: 'a card that is no JSON',
    spoil: (folder) => writeFileSync(join(folder, 'model.json'), '{"name": "wide-resnet",'),
    sentence: /model\.json: Expected JSON but received a fault: .+$/,
  },
  {
    what: 'an operator set that is too new',
    kind: 'future',
    spoil: () => {},
    sentence: /model\.onnx: Expected a graph that ONNX Runtime [\d.]+ loads but received: .*[Oo]pset 99/,
  },
  {
    what: 'no permission for the folder',
    spoil: (folder) => closeFor(folder),
    sentence: /model\.json: Expected a file that can be read but received EACCES: no permission to read it$/,
  },
  {
    what: 'no permission for the weights',
    spoil: (folder) => closeFor(join(folder, 'model.onnx')),
    sentence: /model\.onnx: Expected SHA-256 .* but received EACCES: no permission to read it$/,
  },
];

describe.each(badFolders)('a model folder with $what', ({ kind = 'moody', spoil, sentence }) => {
  it('leaves the primary degraded with the other model, and the log says why', async () => {
    const dir = modelsDir({ 'wide-resnet': kind, mobilenet: 'moody' });
    spoil(join(dir, 'wide-resnet'));

    const fn = await startPrimary(dir);
    const [refused] = await linesOf(fn, 'model refused', 1);
    await fn.ready('degraded');
    const readiness = await fetch(`${fn.url}/readyz`);

    expect(refused).toMatchObject({ severity: 'error', model: 'wide-resnet' });
    expect(String(refused?.cause).split('\n').at(0)).toMatch(sentence);
    expect(readiness.status).toBe(200);
    expect(await readiness.json()).toEqual({ status: 'degraded', missing: ['wide-resnet'] });
    expect(await ask(fn)).toMatchObject({ model: 'mobilenet', degraded: true, reason: 'error' });
  });

  it('ends a function that has no other model with 1 and the same sentence', async () => {
    const dir = modelsDir({ mobilenet: kind });
    spoil(join(dir, 'mobilenet'));
    const [program = '', ...args] = [...through, process.execPath, serve];
    const env = { PATH: process.env.PATH, FUNCTION_TARGET: 'fallback', PORT: '0', MODELS_DIR: dir, DRAIN_MS: '5000' };

    const end = await new Promise<{ code: unknown; errors: string }>((resolve) => {
      execFile(program, args, { env, timeout: 30_000 }, (fault, _stdout, errors) => {
        resolve({ code: fault?.code, errors });
      });
    });

    expect(end.code).toBe(1);
    expect(end.errors.split('\n').at(0)).toMatch(sentence);
  });
});

describe('a model whose logits are no numbers in a run', () => {
  it('is stood in for in the same request', async () => {
    const fn = await startPrimary(modelsDir({ 'wide-resnet': 'strange', mobilenet: 'moody' }));
    await fn.ready();

    expect(await ask(fn)).toMatchObject({ model: 'mobilenet', degraded: true, reason: 'error' });
    const [line] = await linesOf(fn, 'request', 1);
    expect(line?.misses).toMatchObject([
      { model: 'wide-resnet', status: 'error', cause: 'Error: Expected numbers for the logits but received NaN' },
    ]);
  });
});
