import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { problemType } from '../../functions/core/problem.ts';
import { type RunningFunction, watch } from '../support/function.ts';

const script = fileURLToPath(new URL('./echo/serve.js', import.meta.url));
const folder = 'tests/tasks/echo';

describe('a task that the core does not know', () => {
  let fn: RunningFunction;

  beforeAll(async () => {
    const env = { PATH: process.env.PATH, MODELS_DIR: `${folder}/models`, WORKERS: '1', LOG_LEVEL: 'debug' };
    fn = await watch(spawn(process.execPath, [script], { env, stdio: ['ignore', 'pipe', 'pipe'] }));
    await fn.ready();
  });

  afterAll(() => {
    fn.process.kill('SIGKILL');
  });

  async function ask(body: BodyInit, { query = '', headers = {} } = {}) {
    const type = typeof body === 'string' || body instanceof Buffer ? { 'content-type': 'text/plain' } : undefined;
    const response = await fetch(`${fn.url}/echo${query}`, { method: 'POST', body, headers: { ...type, ...headers } });
    return { status: response.status, headers: response.headers, json: await response.json() };
  }

  it('is one folder of under 120 lines', () => {
    const files = readdirSync(folder).filter((name) => /\.(ts|py)$/.test(name));
    const lines = files.map((name) => readFileSync(`${folder}/${name}`, 'utf8').trimEnd().split('\n').length);

    expect(lines.reduce((sum, count) => sum + count)).toBeLessThan(120);
  });

  it('is answered by its lead model, raw and by a form', async () => {
    const form = new FormData();
    form.append('text', new Blob(['hi'], { type: 'text/plain' }), 'hi.txt');
    const expected = { model: 'loud', version: '1', tier: 'primary', degraded: false, reason: null };

    const raw = await ask('hi', { query: '?times=3' });

    expect(raw).toMatchObject({ status: 200, json: { ...expected, echo: 'hihihi' } });
    expect(raw.headers.get('server-timing')).toMatch(/^upload;dur=.*, decode;.*, queue;.*, model;/);
    expect(await ask(form)).toMatchObject({ status: 200, json: { ...expected, echo: 'hi' } });
  });

  it('says at / which model can answer', async () => {
    expect(await (await fetch(`${fn.url}/`)).json()).toEqual({ status: 'ready', model: 'loud', version: '1' });
    expect(await (await fetch(`${fn.url}/v2`)).json()).toMatchObject({ name: 'understudy-echo' });
  });

  it('is answered by its standby model when the lead model raises', async () => {
    const { status, headers, json } = await ask(Buffer.of(0xe9));

    expect({ status, json }).toMatchObject({ status: 200, json: { model: 'quiet', degraded: true, reason: 'error' } });
    expect(headers.get('x-degraded')).toBe('error');
  });

  it('queues what comes at once', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(`n${i}`)));

    expect(answers.map(({ json }) => json.echo)).toEqual(answers.map((_, i) => `n${i}`));
  });

  it.each([
    ['PARAMETER_INVALID', 'hi', { query: '?times=4' }],
    ['UPLOAD_UNSUPPORTED', 'hi', { headers: { 'content-type': 'image/png' } }],
    ['UPLOAD_TOO_LARGE', 'x'.repeat(101), {}],
    ['UPLOAD_MALFORMED', 'x'.repeat(9), {}],
    ['DEADLINE_EXCEEDED', 'hi', { headers: { 'x-request-start': `t=${(Date.now() / 1000 - 20).toFixed(3)}` } }],
  ])('is refused with %s', async (code, body, sent) => {
    expect((await ask(body, sent)).json).toMatchObject({ code, type: problemType(code) });
  });

  it('brings problems of its own, also out of its worker, which are not the fault of a model', async () => {
    for (let i = 0; i < 4; i += 1) expect((await ask('?')).json).toMatchObject({ code: 'ECHO_QUESTION', status: 422 });

    expect((await ask('hi')).json.degraded).toBe(false);
  });

  it('is found by its path as it is meant', async () => {
    const target = { port: fn.port, path: '/favicon.ico/../echo', method: 'POST' };
    const sent = request({ ...target, headers: { 'content-type': 'text/plain' } }).end('hi');
    const [response] = await once(sent, 'response');

    expect(JSON.parse((await response.toArray()).join('')).echo).toBe('hi');
  });

  it('is strict when asked to be', async () => {
    const headers = { prefer: 'handling=strict' };

    expect((await ask('hi', { headers })).headers.get('preference-applied')).toBe('handling=strict');
    expect((await ask(Buffer.of(0xe9), { headers })).json.code).toBe('PRIMARY_REQUIRED');
  });

  it('has probes, metrics and a log line with its own facts', async () => {
    await ask('hi', { headers: { 'x-request-id': 'told' } });
    await sleep(50);
    const metrics = await (await fetch(`${fn.url}/metrics`)).text();
    const model = await (await fetch(`${fn.url}/v2/models/loud`)).json();

    expect(metrics).toMatch(/understudy_requests_total{status="200",code="",tier="primary",model="loud",reason=""} \d/);
    expect(model).toMatchObject({ name: 'loud', inputs: [{ name: 'text', datatype: 'FP32', shape: [1, 8] }] });
    expect(fn.lines.find(({ requestId }) => requestId === 'told')).toMatchObject({ route: 'echo', letters: 2 });
  });
});
