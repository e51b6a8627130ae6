import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import type { RunningFunction } from '../support/function.ts';
import { photo, post, raw } from '../support/posted.ts';
import { cleanAfterAll } from '../support/served.ts';

const { startReady } = cleanAfterAll();

describe.each(['primary', 'fallback'] as const)('uploads to the %s function', (tier) => {
  let fn: RunningFunction;

  beforeAll(async () => {
    fn = await startReady(tier);
  });

  it('answers UPLOAD_TOO_LARGE before the body when the length is declared, also instead of 100 Continue', async () => {
    const head = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 10485761\r\n';

    const answer = await raw(fn.port, `${head}expect: 100-continue\r\n\r\n`);

    expect(answer).toMatch(/^HTTP\/1.1 413 /);
  });

  it('answers UPLOAD_TOO_LARGE to a chunked body as soon as it is above the limit', async () => {
    const head = 'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ntransfer-encoding: chunked\r\n\r\n';
    const chunk = Buffer.concat([Buffer.from('a00001\r\n'), Buffer.alloc(0xa0_0001), Buffer.from('\r\n')]);

    const answer = await raw(fn.port, head, chunk);

    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(answer).toContain('UPLOAD_TOO_LARGE');
  });

  it('answers UPLOAD_TIMEOUT to an upload that takes longer than 15 s', async () => {
    const upload = httpRequest(`${fn.url}/classify`, {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', 'content-length': photo.length },
    });
    upload.on('error', () => {}); // the connection is closed while the upload goes on
    const startedMs = performance.now();
    upload.write(photo.subarray(0, 1000));

    const [answer] = await once(upload, 'response');
    const waitedMs = performance.now() - startedMs;
    const problem = JSON.parse(Buffer.concat(await answer.toArray()).toString());
    upload.destroy();

    expect(answer.statusCode).toBe(408);
    expect(problem).toMatchObject({
      code: 'UPLOAD_TIMEOUT',
      detail: 'Expected the whole upload within 15 s but received 1000 bytes',
    });
    expect(waitedMs).toBeGreaterThan(14_900);
  }, 20_000);

  it('finishes what is in flight after SIGTERM, says that it is not ready, and exits with 0', async () => {
    const draining = await startReady(tier);
    const silent = connect(draining.port, '127.0.0.1');
    silent.on('error', () => {});
    const agent = new Agent({ keepAlive: true });
    const upload = httpRequest(`${draining.url}/classify`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'image/jpeg', 'content-length': photo.length },
    });
    upload.write(photo.subarray(0, 1000));
    await sleep(100);

    const ended = draining.stop();
    await sleep(100);
    const ready = await fetch(`${draining.url}/readyz`);
    upload.end(photo.subarray(1000));
    const [answer] = await once(upload, 'response');
    answer.resume();

    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ status: 'draining' });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers.connection).toBe('close');
    expect(await ended).toBe(0);
    silent.destroy();
    agent.destroy();
  });
});

describe('a function that is asked for more than it can decode', () => {
  it('answers in time, and none of its answers blames the image', async () => {
    const fn = await startReady('fallback', { WORKERS: '1' });
    const large = await sharp({ create: { width: 4000, height: 4000, channels: 3, background: 'gray' } })
      .avif({ effort: 0 })
      .toBuffer();
    const headers = { 'x-deadline-ms': '30000' };
    const crowd = Array.from({ length: 6 }, () => post(fn.url, { body: new Uint8Array(large), headers }));
    await sleep(300);

    const startedMs = performance.now();
    const hurried = await post(fn.url, { headers: { 'x-deadline-ms': '300' } });
    const waitedMs = performance.now() - startedMs;

    expect(hurried.status).toBe(504);
    expect(hurried.headers.get('x-reason')).toBe('deadline');
    expect(waitedMs).toBeLessThan(3000);
    expect([...new Set((await Promise.all(crowd)).map(({ status }) => status))]).toEqual([200]);
  }, 30_000);
});

describe('the patience of a client', () => {
  let fn: RunningFunction;
  beforeAll(async () => {
    fn = await startReady('fallback', { DEADLINE_MS: '1000', PRIMARY_BUDGET_MS: '900' });
  });

  /** Sends a photo, its last half `pauseMs` later. */
  async function dribble(pauseMs: number, headers: Record<string, string>): Promise<Response> {
    const halves = [photo.subarray(0, photo.length / 2), photo.subarray(photo.length / 2)];
    const body = new ReadableStream({
      async pull(controller) {
        const half = halves.shift();
        if (half === undefined) return controller.close();
        if (halves.length === 0) await sleep(pauseMs);
        controller.enqueue(half);
      },
    });
    const sent = {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg', ...headers },
      body,
      duplex: 'half' as const,
    };
    return fetch(`${fn.url}/classify`, sent);
  }

  it('ends when it has named it, also while it uploads', async () => {
    const startedMs = performance.now();

    const response = await dribble(3000, { 'x-deadline-ms': '1000' });
    const waitedMs = performance.now() - startedMs;

    expect(waitedMs).toBeGreaterThan(990);
    expect(waitedMs).toBeLessThan(2000);
    expect(response.status).toBe(504);
    expect(response.headers.get('x-reason')).toBe('deadline');
    expect((await response.json()).code).toBe('DEADLINE_EXCEEDED');
  });

  it('is what the upload has left of it', async () => {
    const startedMs = performance.now();

    const response = await dribble(1000, {
      'x-deadline-ms': '1010',
      'x-request-start': `t=${(Date.now() / 1000).toFixed(3)}`,
    });

    expect(response.status).toBe(504);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  it('begins with the whole upload where nobody has named it', async () => {
    expect((await dribble(1500, {})).status).toBe(200);
  });

  it('does not suffer from an ingress whose clock is behind a little, and /metrics tells by how much', async () => {
    const skewed = await startReady('fallback');
    const gauge = async () =>
      /^understudy_stamp_age_min_seconds (.*)$/m.exec(await (await fetch(`${skewed.url}/metrics`)).text())?.[1];
    const before = await gauge();
    const statuses: number[] = [];
    for (let i = 0; i < 22; i += 1) {
      const stamp = `t=${((Date.now() - 490) / 1000).toFixed(3)}`;
      statuses.push((await post(skewed.url, { headers: { 'x-deadline-ms': '450', 'x-request-start': stamp } })).status);
    }

    expect(before).toBeUndefined();
    expect(statuses.slice(0, 5)).toEqual(Array(5).fill(504));
    expect(statuses.at(-1)).toBe(200);
    expect(Number(await gauge())).toBeGreaterThanOrEqual(0.48);
    expect(Number(await gauge())).toBeLessThan(0.5);
  });
});

describe('a function that holds as many bytes as it may', () => {
  const uploadBytes = 100_000; // MAX_UPLOAD_BYTES: one worker holds eight of them

  /** Begins uploads of these sizes and does not finish them; gives back what ends them. */
  async function hold(fn: RunningFunction, sizes: readonly number[]): Promise<() => void> {
    const agent = new Agent({ keepAlive: true });
    const held = sizes.map((size) => {
      const headers = { 'content-type': 'image/jpeg', 'content-length': size };
      const sent = httpRequest(`${fn.url}/classify`, { method: 'POST', agent, headers });
      sent.on('error', () => {});
      sent.flushHeaders();
      return sent;
    });
    await sleep(200);
    return () => {
      for (const sent of held) sent.destroy();
    };
  }

  const seven: readonly number[] = new Array(7).fill(uploadBytes);
  const whole = new Uint8Array(Buffer.concat([photo, Buffer.alloc(uploadBytes)]).subarray(0, uploadBytes));

  it.each([
    ['below', [...seven.slice(1), uploadBytes - 1], 200, /^$/],
    ['at', seven, 200, /^$/],
    ['above', [...seven, 1], 503, /^[123]$/],
  ])('%s its limit, answers the next upload or says BUSY', async (_where, sizes, status, retryAfter) => {
    const fn = await startReady('fallback', { WORKERS: '1', MAX_UPLOAD_BYTES: String(uploadBytes) });
    const release = await hold(fn, sizes);

    const answer = await post(fn.url, { body: whole });
    const ready = await fetch(`${fn.url}/readyz`);
    release();
    await sleep(200);
    const after = await post(fn.url, { body: whole });

    expect(answer.status).toBe(status);
    expect(answer.headers.get('retry-after') ?? '').toMatch(retryAfter);
    expect(ready.status).toBe(200);
    expect(after.status).toBe(200);
  });

  it('lets many refusals for want of room go one after the other, so that their places are not taken again at once', async () => {
    const fn = await startReady('fallback', { WORKERS: '1', MAX_UPLOAD_BYTES: String(uploadBytes) });
    const release = await hold(fn, [...seven, 1]);
    const headers = { 'content-type': 'image/jpeg', 'content-length': uploadBytes };
    const startedMs = performance.now();

    const refused = Array.from({ length: 41 }, async () => {
      const sent = httpRequest(`${fn.url}/classify`, { method: 'POST', headers }).on('error', () => {});
      sent.flushHeaders();
      const [answer] = await once(sent, 'response');
      sent.destroy();
      return { status: answer.statusCode, ms: performance.now() - startedMs };
    });
    const answers = await Promise.all(refused);
    release();

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    expect(Math.max(...answers.map(({ ms }) => ms))).toBeGreaterThan(199);
  });
});
