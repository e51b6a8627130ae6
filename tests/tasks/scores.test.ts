import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { RunningFunction } from '../support/function.ts';
import { changeCard } from '../support/models.ts';
import { post } from '../support/posted.ts';
import { cleanAfterAll, expectFault, plain } from '../support/served.ts';

const { start, modelsDir } = cleanAfterAll();
const black = new Uint8Array(await plain('black'));

/** Logits of 1 and 2 for the test model's cat and dog: 0.269 and 0.731. */
const dogScore = 1 / (1 + Math.exp(-1));

/** A folder of models in which the test model has what a card may add. */
function dirOf(folder: 'wide-resnet' | 'mobilenet', added: object = {}) {
  const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
  changeCard(join(dir, folder), (card) => ({ ...card, ...added }));
  writeFileSync(join(dir, folder, 'pets.json'), '[{"class": "n9", "label": "pet", "narrower": ["n0", "n1"]}]');
  writeFileSync(join(dir, folder, 'de.json'), '{"n1": "Hund", "n9": "Haustier"}');
  return dir;
}

async function started(target: 'primary' | 'fallback', env = {}, also?: 'degraded'): Promise<RunningFunction> {
  const fn = await start(target, { WORKERS: '1', ...env });
  await fn.ready(also);
  return fn;
}

const askBlack = (fn: RunningFunction, query: string, headers = {}) => post(fn.url, { query, headers, body: black });

describe('a model with all that a card may add', () => {
  let fn: RunningFunction;
  const json = async (query: string, headers = {}) => (await askBlack(fn, query, headers)).json();

  beforeAll(async () => {
    const added = { ancestors: 'pets.json', languages: { de: 'de.json' }, features: { name: 'logits' } };
    const dir = dirOf('wide-resnet', added);
    fn = await started('primary', { MODELS_DIR: dir });
  });

  it.each([
    ['below', dogScore - 1e-6, ['dog']],
    ['at', dogScore, ['dog']],
    ['above', dogScore + 1e-6, []],
    ['the least', 0, ['dog', 'cat']],
    ['the most', 1, []],
  ])('answers a min_score %s what it answers', async (_circumstance, minScore, expected) => {
    const [first] = (await json('')).predictions;
    const exact = minScore === dogScore ? first.score : minScore;

    const { predictions, degraded } = await json(`?min_score=${exact}`);

    expect(predictions.map(({ label }: { label: string }) => label)).toEqual(expected);
    expect(degraded).toBe(false);
  });

  it('names what its classes have in common where no class is sure', async () => {
    expect(await json('?broader=1&min_score=0.8')).toMatchObject({
      predictions: [],
      broader: { class: 'n9', label: 'pet', score: expect.closeTo(1, 9) },
    });
    expect(await json('?broader=1')).toMatchObject({ broader: null });
    expect(await json('?broader=0')).not.toHaveProperty('broader');
    expect(await json('')).not.toHaveProperty('broader');
  });

  it('gives its features when asked', async () => {
    const { features, predictions } = await json('?features=1');

    expect(features).toEqual([1, 2]);
    expect(predictions).toHaveLength(2);
    expect(await json('')).not.toHaveProperty('features');
  });

  it('answers in the language that is asked for, in English where a label is missing', async () => {
    const response = await askBlack(fn, '?broader=1&min_score=0.1', { 'accept-language': 'fr, de-CH;q=0.9, en;q=0.8' });

    expect(response.headers.get('content-language')).toBe('de');
    expect(response.headers.get('vary')).toBe('Accept-Language');
    const { predictions } = (await response.json()) as { predictions: { label: string }[] };
    expect(predictions.map(({ label }) => label)).toEqual(['Hund', 'cat']);
    expect(await json('?broader=1&min_score=0.8', { 'accept-language': 'de' })).toMatchObject({
      broader: { class: 'n9', label: 'Haustier' },
    });
  });

  it.each([
    [{}],
    [{ 'accept-language': 'fr' }],
    [{ 'accept-language': 'de;q=0' }],
    [{ 'accept-language': 'x,'.repeat(2048) }],
  ])('answers in English otherwise', async (headers) => {
    const response = await askBlack(fn, '', headers);

    expect(response.headers.get('content-language')).toBe('en');
    expect(response.headers.get('vary')).toBe('Accept-Language');
    expect(await response.json()).toMatchObject({ predictions: [{ label: 'dog' }, { label: 'cat' }] });
  });

  it.each([
    'min_score=2',
    'min_score=',
    'broader=yes',
    'features=',
    'features=1&features=1',
    'min_score=0&min_score=1',
  ])('refuses ?%s before the upload', async (query) => {
    await expectFault(await askBlack(fn, `?${query}`), 'PARAMETER_INVALID', 400);
  });
});

describe('a lead model without', () => {
  it.each([
    ['features', 'an embedding'],
    ['broader', 'ancestors of its classes'],
  ])('says so for %s', async (name, what) => {
    const fn = await started('primary', {
      MODELS_DIR: dirOf('wide-resnet'),
      WORKERS: '1',
    });

    const response = await askBlack(fn, `?${name}=1`);

    expect(await response.clone().json()).toMatchObject({
      detail: `Expected a lead model with ${what} for ${name} but received one without`,
    });
    await expectFault(response, 'PARAMETER_INVALID', 400);
    expect((await askBlack(fn, '')).headers.get('vary')).toBeNull();
  });
});

describe('another model in its place', () => {
  it('answers without a broader class that it cannot name, and never with features', async () => {
    const fn = await started('fallback', { MODELS_DIR: dirOf('mobilenet') });

    const answer = await (await askBlack(fn, '?broader=1&min_score=0.8')).json();

    expect(answer).toMatchObject({ degraded: true, reason: 'failover', predictions: [] });
    expect(answer).not.toHaveProperty('broader');
    await expectFault(await askBlack(fn, '?features=1'), 'PRIMARY_REQUIRED', 503);
  });

  it('answers for a lead model that raises, without a broader class that it cannot name', async () => {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' });
    changeCard(join(dir, 'wide-resnet'), (card) => ({ ...card, ancestors: 'pets.json' }));
    writeFileSync(join(dir, 'wide-resnet', 'pets.json'), '[{"class": "n9", "label": "pet", "narrower": ["n0", "n1"]}]');
    changeCard(join(dir, 'mobilenet'), (card) => ({ ...card, ancestors: undefined }));
    const fn = await started('primary', { MODELS_DIR: dir });

    const response = await post(fn.url, { query: '?broader=1', body: new Uint8Array(await plain('red')) });

    expect(response.status).toBe(200);
    const answer = await response.json();
    expect(answer).toMatchObject({ model: 'mobilenet', degraded: true, reason: 'error' });
    expect(answer).not.toHaveProperty('broader');
  });

  it('is refused for features in the primary as well', async () => {
    const dir = modelsDir({ 'wide-resnet': 'portable', mobilenet: 'moody' });
    changeCard(join(dir, 'wide-resnet'), (card) => ({ ...card, sha256: '0'.repeat(64) }));
    const fn = await started('primary', { MODELS_DIR: dir }, 'degraded');

    const response = await askBlack(fn, '?features=1');

    expect(response.headers.get('x-reason')).toBe('strict');
    expect(response.headers.get('preference-applied')).toBeNull();
    await expectFault(response, 'PRIMARY_REQUIRED', 503);
    expect((await askBlack(fn, '')).status).toBe(200);
  });
});

describe('the shipped pair', () => {
  let fn: RunningFunction;
  beforeAll(async () => {
    fn = await started('primary');
  });

  it('gives 256 features of the lead model, the same each time, and without them the same predictions', async () => {
    const headers = { prefer: 'handling=strict' };
    const ask = async (query: string) => (await post(fn.url, { query, headers })).json();
    const [one, other, without] = [await ask('?features=1'), await ask('?features=1'), await ask('')];

    expect(one).toMatchObject({ model: 'wide-resnet', degraded: false });
    expect(one.features).toHaveLength(256);
    expect(new Set(one.features).size).toBeGreaterThan(10);
    expect(one.features).toEqual(other.features);
    expect(one.predictions).toEqual(without.predictions);
  });

  it('takes features and broader with a strict preference', async () => {
    const response = await post(fn.url, { query: '?features=1&broader=1', headers: { prefer: 'handling=strict' } });

    expect(response.headers.get('preference-applied')).toBe('handling=strict');
    expect(await response.json()).toHaveProperty('broader');
  });

  it('speaks German', async () => {
    const response = await post(fn.url, { headers: { 'accept-language': 'de' } });
    const { predictions } = (await response.json()) as { predictions: { label: string }[] };

    expect(response.headers.get('content-language')).toBe('de');
    expect(predictions[0]?.label).toBe('Goldfisch');
  });
});
