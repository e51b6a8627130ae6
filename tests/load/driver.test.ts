import { createServer, type RequestListener } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { type Outcome, startDriver } from '../chaos/driver.ts';
import { listen } from '../support/listen.ts';
import { answerBody, answerHeaders } from './run.ts';

const rightHeaders = { 'content-type': 'application/json', ...answerHeaders };

/** What the driver makes of a server that answers rightly but for the second request. */
async function drive(second: RequestListener, deadlineMs?: number): Promise<readonly Outcome[]> {
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      const requestId = String(request.headers['x-request-id']);
      response.setHeader('x-request-id', requestId);
      if (requestId === 'chaos-2') return second(request, response);
      response.writeHead(200, rightHeaders).end(JSON.stringify(answerBody));
    });
  });
  const driver = startDriver({
    origin: await listen(server),
    perSecond: 50,
    versions: new Map([['1', 10]]),
    patienceMs: 1500,
  });
  const fromMs = performance.now();
  driver.send(() => ({ name: 'a photo', bytes: Buffer.from('a photo'), ...(deadlineMs && { deadlineMs }) }));
  await sleep(300);
  const outcomes = await driver.outcomes(fromMs - 1000, performance.now());
  driver.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return outcomes;
}

const answerWith =
  (change: object, headers: object = {}): RequestListener =>
  (_, response) => {
    response.writeHead(200, { ...rightHeaders, ...headers }).end(JSON.stringify({ ...answerBody, ...change }));
  };

describe('startDriver', () => {
  it('finds no fault with a server that answers rightly', async () => {
    const outcomes = await drive(answerWith({}));

    expect(outcomes.length).toBeGreaterThan(5);
    expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'answer'));
  });

  it.each([undefined, 1000])('says what deadline a client has: %s', async (deadlineMs) => {
    const told: unknown[] = [];
    await drive((request, response) => {
      told.push(request.headers['x-deadline-ms']);
      answerWith({})(request, response);
    }, deadlineMs);

    expect(told).toEqual([deadlineMs?.toString()]);
  });

  const [best, next, ...others] = answerBody.predictions;
  it.each<[string, RequestListener, Outcome['kind'], string]>([
    ['drops an answer', (request) => request.socket.destroy(), 'cut', 'ECONNRESET'],
    ['never answers', () => {}, 'wrong', 'no answer in time'],
    [
      'cuts an answer',
      (request, response) => {
        response.writeHead(200, { ...rightHeaders, 'content-length': 1000 }).write('{');
        setTimeout(() => request.socket.destroy(), 50);
      },
      'cut',
      'ECONNRESET',
    ],
    ['answers unsorted', answerWith({ predictions: [next, best, ...others] }), 'wrong', 'not sorted'],
    ['names another version', answerWith({ version: '2' }), 'wrong', 'unknown version'],
    ["gives another request's answer", answerWith({}, { 'x-request-id': 'chaos-1' }), 'wrong', 'for chaos-1'],
    [
      'says something else of the same photo',
      answerWith({ predictions: [{ ...best, index: 7 }, next, ...others] }),
      'wrong',
      'before',
    ],
    ['answers a page', (_, response) => void response.writeHead(502).end('<html></html>'), 'wrong', 'status 502'],
    ['answers a problem of 500', (_, response) => void response.writeHead(500).end('{}'), 'wrong', 'status 500'],
    [
      'answers a 503 without Retry-After',
      (_, response) => {
        response.writeHead(503, { 'content-type': 'application/problem+json' }).end('{"status":503,"code":"BUSY"}');
      },
      'wrong',
      'no problem',
    ],
    [
      'answers a 503 problem',
      (_, response) => {
        const headers = { 'content-type': 'application/problem+json', 'retry-after': '1' };
        response.writeHead(503, headers).end('{"status":503,"code":"BUSY"}');
      },
      'problem',
      'BUSY',
    ],
  ])('notices a server that %s', async (_, second, kind, detail) => {
    const outcomes = await drive(second);

    expect(outcomes.filter((outcome) => outcome.kind !== 'answer')).toEqual([
      expect.objectContaining({ requestId: 'chaos-2', kind, detail: expect.stringContaining(detail) }),
    ]);
  });

  it('goes on sending while answers are awaited', async () => {
    const outcomes = await drive(() => {});

    const silent = outcomes.find(({ kind }) => kind === 'wrong') as Outcome;
    const during = outcomes.filter(({ dueMs, endedMs }) => dueMs > silent.dueMs && endedMs < silent.endedMs);
    expect(during.length).toBeGreaterThan(2);
  });
});
