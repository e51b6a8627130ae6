import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../../ingress/port.ts';
import { type Answer, type Sent, send } from '../support/client.ts';
import { fixture } from '../support/fixtures.ts';
import type { RunningFunction } from '../support/function.ts';
import { changeCard } from '../support/models.ts';
import { imagePart, multipart } from '../support/multipart.ts';
import { type RunningNginx, startNginx } from '../support/nginx.ts';
import * as served from '../support/served.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');
const { problems, plain } = served;
const produced = new Set<string>();
const { later, modelsDir, start: startTier } = served.cleanAfterAll();

async function startEdge(...options: Parameters<typeof startNginx>): Promise<RunningNginx> {
  const nginx = await startNginx(...options);
  later(nginx.stop);
  return nginx;
}

function expectProblem(answer: Answer, code: keyof typeof problems): void {
  served.expectProblem(answer, code);
  produced.add(code);
}

describe('the service behind nginx', () => {
  let primary: RunningFunction;
  let fallback: RunningFunction;
  let edge: RunningNginx;

  beforeAll(async () => {
    [primary, fallback] = await Promise.all([
      startTier('primary', { WORKERS: '1' }),
      startTier('fallback', { WORKERS: '1' }),
    ]);
    edge = await startEdge({ primary: primary.port, fallback: fallback.port });
    await Promise.all([primary.ready(), fallback.ready()]);
  });

  it('answers with the Wide ResNet of the primary', async () => {
    const answer = await send(edge.origin, multipart(imagePart(photo)));

    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({ model: 'wide-resnet', tier: 'primary', degraded: false });
  });

  it.each<[keyof typeof problems, () => Sent | Promise<Sent>]>([
    ['ROUTE_NOT_FOUND', () => ({ path: '/metrics', method: 'GET' })],
    ['METHOD_NOT_ALLOWED', () => ({ method: 'PATCH' })],
    ['PARAMETER_INVALID', () => ({ path: '/classify?top=21', body: photo })],
    ['PARAMETER_INVALID', () => ({ headers: { 'x-deadline-ms': 'soon' }, body: photo })],
    ['UPLOAD_UNSUPPORTED', () => ({ headers: { 'content-type': 'application/xml' }, body: photo })],
    ['UPLOAD_MALFORMED', () => ({ headers: { 'content-type': 'application/json' }, body: photo })],
    ['UPLOAD_UNSUPPORTED', () => ({ headers: { 'content-encoding': 'gzip' }, body: photo })],
    ['UPLOAD_MALFORMED', () => ({ headers: { 'content-type': 'multipart/form-data' }, body: photo })],
    ['UPLOAD_EMPTY', () => ({})],
    ['UPLOAD_EMPTY', () => multipart({ name: 'note', content: 'no file' })],
    ['UPLOAD_AMBIGUOUS', () => multipart(imagePart(photo), imagePart(photo))],
    ['UPLOAD_TOO_LARGE', () => ({ body: Buffer.alloc(10_485_761) })],
    ['UPLOAD_TOO_LARGE', () => ({ body: Buffer.alloc(16_000_000) })],
    ['IMAGE_UNSUPPORTED', () => ({ body: readFileSync('tests/images/test_image_4.jpg') })],
    ['IMAGE_UNREADABLE', () => ({ body: photo.subarray(0, 2000) })],
    ['IMAGE_TOO_MANY_PIXELS', async () => ({ body: await fixture('bomb') })],
    ['DEADLINE_EXCEEDED', () => ({ headers: { 'x-deadline-ms': '1' }, body: photo })],
  ])('answers %s', async (code, sent) => {
    expectProblem(await send(edge.origin, await sent()), code);
  });

  it('never shows a mistake of the client to the fallback', async () => {
    const id = 'no-image';
    const mistaken = { headers: { 'x-request-id': id }, body: Buffer.from('no image') };

    await send(edge.origin, mistaken);
    await edge.accessLine(id);
    await sleep(100); // either function gathers its lines for 10 ms

    expect(primary.lines.filter(({ requestId }) => requestId === id)).toHaveLength(1);
    expect(fallback.lines.filter(({ requestId }) => requestId === id)).toEqual([]);
  });

  it('answers RATE_LIMITED to a client that asks too often', async () => {
    const variables = { RATE: '1', BURST: '1', CONNECTIONS: '10', UNLIMITED: '' };
    const strictEdge = await startEdge({ primary: primary.port, fallback: fallback.port }, { variables });

    const answers = await Promise.all(Array.from({ length: 5 }, () => send(strictEdge.origin, { body: photo })));

    const limited = answers.filter(({ status }) => status !== 200);
    expect(limited.length).toBeGreaterThanOrEqual(3);
    for (const answer of limited) expectProblem(answer, 'RATE_LIMITED');
  });

  it('spills over to the fallback when the primary is full, and answers BUSY when both are', async () => {
    const fill = ({ port }: RunningFunction): Socket[] =>
      Array.from({ length: 64 }, () => {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => {});
        socket.write(
          'POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: 100\r\n\r\npart',
        );
        return socket;
      });
    const until = async (status: number, { url }: RunningFunction) => {
      while ((await send(url, { body: photo })).status !== status) await sleep(20);
    };
    const primaryUploads = fill(primary);
    await until(503, primary);
    const spilled = await send(edge.origin, { body: photo });
    const fallbackUploads = fill(fallback);
    await until(503, fallback);

    const refused = await send(edge.origin, { body: photo });
    for (const socket of [...primaryUploads, ...fallbackUploads]) socket.destroy();
    await until(200, primary);
    const again = await send(edge.origin, { body: photo });

    expect(JSON.parse(spilled.text)).toMatchObject({ tier: 'fallback', reason: 'failover' });
    expectProblem(refused, 'BUSY');
    expect(JSON.parse(again.text)).toMatchObject({ tier: 'primary', degraded: false });
  });

  it('answers UNAVAILABLE when nobody is there', async () => {
    const nowhere = await startEdge({ primary: await freePort(), fallback: await freePort() });

    expectProblem(await send(nowhere.origin, { body: photo }), 'UNAVAILABLE');
  });

  it('answers PRIMARY_REQUIRED to a strict request that only MobileNet could answer', async () => {
    const strict = { headers: { prefer: 'handling=strict' }, body: photo };
    const edgeOfFallback = await startEdge({ primary: fallback.port, fallback: fallback.port });
    const nowhere = await startEdge({ primary: await freePort(), fallback: fallback.port });

    expectProblem(await send(edgeOfFallback.origin, strict), 'PRIMARY_REQUIRED');
    expectProblem(await send(nowhere.origin, strict), 'PRIMARY_REQUIRED');
    expect((await send(edge.origin, strict)).headers['preference-applied']).toBe('handling=strict');
  });

  it('answers KEY_REQUIRED where it is for those alone who have a key', async () => {
    const file = join(modelsDir({}), 'keys');
    writeFileSync(
      file,
      `acme ${createHash('md5')
        .update(`acme.${'s'.repeat(22)}`)
        .digest('base64url')}\n`,
    );
    const variables = { API_KEYS_FILE: file };
    const closed = await startEdge({ primary: primary.port, fallback: fallback.port }, { variables });

    expectProblem(await send(closed.origin, { body: photo }), 'KEY_REQUIRED');
    const headers = { 'x-api-key': `acme.${'s'.repeat(22)}` };
    expect((await send(closed.origin, { headers, body: photo })).status).toBe(200);
  });

  it('answers STARTING while no model is loaded', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    // So much green that its golden case takes minutes.
    changeCard(join(dir, 'mobilenet'), (card) => ({ ...card, input: { ...card.input, mean: [0, -30, 0] } }));
    const modelless = await startTier('fallback', { MODELS_DIR: dir });
    const edgeOfNone = await startEdge({ primary: modelless.port, fallback: modelless.port });

    const answer = await send(edgeOfNone.origin, { body: photo });
    modelless.process.kill('SIGKILL'); // or it would keep a core busy

    expectProblem(answer, 'STARTING');
  });

  it('answers INTERNAL when every model raises, and keeps the cause for the log', async () => {
    const raising = await startTier('fallback', { MODELS_DIR: modelsDir({ mobilenet: 'moody' }) });
    const edgeOfRaising = await startEdge({ primary: raising.port, fallback: raising.port });
    await raising.ready();

    const answer = await send(edgeOfRaising.origin, { body: await plain('red') });

    expectProblem(answer, 'INTERNAL');
    expect(answer.text).not.toContain('Gather');
    expect(raising.lines.find(({ status }) => status === 500)?.error).toContain('Gather');
  });

  it('has produced every code of the contract but UPLOAD_TIMEOUT, for which nginx hangs up', () => {
    const missing = Object.keys(problems).filter((code) => !produced.has(code));

    expect(missing).toEqual(['UPLOAD_TIMEOUT']);
  });
});
