import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Operator, openOperator } from '../../ingress/operator.ts';
import { send } from '../support/client.ts';
import { isRunning, readProc, until } from '../support/stack.ts';

jest.setTimeout(30_000);

let child: ChildProcess;
let operator: Operator;
const own = { origin: 'http://localhost:8080', 'understudy-operator': 'page' };

/** A letter of /proc: T is stopped. */
const state = () => /\) (\w)/.exec(readProc(child.pid, 'stat'))?.[1];
const untilStopped = (isStopped: boolean) =>
  until(
    () => (state() === 'T') === isStopped,
    15_000,
    () => `Expected ${isStopped ? 'a stopped' : 'a running'} process but received state ${state()}`,
  );
const post = (path: string, headers: Record<string, string> = own, method = 'POST') =>
  send(operator.origin, { inside: true, path, method, headers });

beforeAll(async () => {
  operator = await openOperator(8080, () => ({ signal: (name) => child.kill(name) }));
});
beforeEach(async () => {
  child?.kill('SIGKILL');
  child = spawn('sleep', ['600'], { stdio: 'ignore' });
  await once(child, 'spawn');
});
afterAll(() => {
  operator.close();
  child.kill('SIGKILL');
});

describe('the operator port', () => {
  it('listens on loopback', () => {
    expect(operator.origin).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it.each<[string, number, string, Record<string, string>, string]>([
    ['another website', 403, '/kill', { ...own, origin: 'https://example.org' }, 'POST'],
    ['a page of another port', 403, '/kill', { ...own, origin: 'http://localhost:8081' }, 'POST'],
    ['a page of the same name with TLS', 403, '/kill', { ...own, origin: 'https://localhost:8080' }, 'POST'],
    ['a sandboxed frame', 403, '/kill', { ...own, origin: 'null' }, 'POST'],
    ['no page at all', 403, '/kill', { 'understudy-operator': 'page' }, 'POST'],
    ['a form, which cannot send the header', 403, '/kill', { origin: own.origin }, 'POST'],
    ['a name that resolves to loopback', 403, '/kill', { ...own, host: 'rebound.example.org' }, 'POST'],
    ['a name of loopback', 403, '/kill', { ...own, host: 'localhost' }, 'POST'],
    ['a link', 405, '/kill', own, 'GET'],
    ['another path', 404, '/', own, 'POST'],
    ['more than the path', 404, '/kill?now', own, 'POST'],
  ])('refuses %s', async (_who, status, path, headers, method) => {
    const answered = await post(path, headers, method);

    expect(answered.status).toBe(status);
    expect(JSON.parse(answered.text).message).toMatch(/^Expected .+ for .+ but received another$/);
    expect([isRunning(child.pid), state() === 'T']).toEqual([true, false]);
  });

  it.each(['https://example.org', 'http://localhost:8081', 'null'])('lets no page of %s ask', async (origin) => {
    const preflight = await post('/kill', { origin, 'access-control-request-method': 'POST' }, 'OPTIONS');

    expect(preflight.status).toBe(403);
    expect(Object.keys(preflight.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it.each(['http://localhost:8080', 'http://127.0.0.1:8080'])('lets the page of %s ask', async (origin) => {
    const preflight = await post('/kill', { origin, 'access-control-request-method': 'POST' }, 'OPTIONS');

    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'understudy-operator',
      vary: 'origin',
    });
    expect(state()).not.toBe('T');
  });
});

describe('a fault', () => {
  it('kills', async () => {
    const exited = once(child, 'exit');

    expect((await post('/kill')).status).toBe(200);
    expect(await exited).toEqual([null, 'SIGKILL']);
  });

  it('freezes, and ends by itself within 10 s', async () => {
    const began = Date.now();
    expect(JSON.parse((await post('/freeze')).text)).toEqual({ message: 'The primary function is frozen for 9 s.' });
    await untilStopped(true);

    await untilStopped(false);
    expect(Date.now() - began).toBeGreaterThan(8_000); // nginx waits as long for a silent primary
  });

  it('slows: stopped most of the time, not always', async () => {
    await post('/slow');

    for (let i = 0; i < 3; i += 1) {
      await untilStopped(true);
      await untilStopped(false);
    }
  });

  it('ends when another begins, and with the port', async () => {
    await post('/freeze');
    await untilStopped(true);
    const exited = once(child, 'exit');
    await post('/kill');
    await exited;

    child = spawn('sleep', ['600'], { stdio: 'ignore' });
    await post('/freeze');
    await untilStopped(true);
    operator.close();
    await untilStopped(false);
    await expect(post('/kill')).rejects.toThrow();
  });
});
