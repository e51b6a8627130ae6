import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { listen } from '../../functions/core/http/server.ts';
import { sendRaw } from '../support/client.ts';
import type { RunningFunction } from '../support/function.ts';
import { cleanAfterAll } from '../support/served.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');

const { startReady } = cleanAfterAll();
let fn: RunningFunction;
beforeAll(async () => {
  fn = await startReady('fallback', { WORKERS: '1' });
}, 30_000);

const head = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`;
const post = (target = '/classify', version = '1.1', ...more: string[]) =>
  head(`POST ${target} HTTP/${version}`, 'host: x', `content-length: ${photo.length}`, ...more);

/** Sends these bytes and then the end of the connection; gives back all that came, and its status codes. */
async function sendAndEnd(...pieces: (string | Buffer)[]): Promise<{ text: string; statuses: number[] }> {
  const socket = connect({ port: fn.port, host: '127.0.0.1', allowHalfOpen: true });
  let text = '';
  socket.on('error', () => undefined).setEncoding('latin1');
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.end(Buffer.concat(pieces.map((piece) => Buffer.from(piece as string))));
  await once(socket, 'end');
  socket.destroy();
  return { text, statuses: statusesOf(text) };
}

const statusesOf = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status));

describe('a function', () => {
  it.each([
    ['an absolute target', 'http://x/classify?top=3', 200],
    ['an absolute target of another name, port and case', 'HTTPS://Example.org:8443/classify', 200],
    ['an absolute target without a path', 'http://x', 405],
    ['an absolute target with another path', 'http://x/other', 404],
    ['a target of two slashes', '//x/classify', 404],
    ['a target that is no URL', 'http://[/classify', 404],
    ['a target of another scheme', 'ftp://x/classify', 404],
    ['an asterisk', '*', 404],
  ])('answers %s (RFC 9112 3.2)', async (_what, target, status) => {
    const { text, statuses } = await sendAndEnd(post(target), photo);

    expect(statuses).toEqual([status]);
    if (target.endsWith('top=3')) expect(text.match(/"index"/g)).toHaveLength(3);
  });

  it.each([
    ['HTTP/1.1 without Host', head('GET /readyz HTTP/1.1', 'connection: close'), 400, 'UPLOAD_MALFORMED'],
    ['two Hosts', head('GET /readyz HTTP/1.1', 'Host: x', 'host: y'), 400, 'UPLOAD_MALFORMED'],
    [
      'an upload without Host',
      [head('POST /classify HTTP/1.1', `content-length: 3`), 'abc'].join(''),
      400,
      'UPLOAD_MALFORMED',
    ],
    ['an expectation', head('GET /readyz HTTP/1.1', 'Host: x', 'Expect: foo'), 400, 'PARAMETER_INVALID'],
    [
      'headers beyond 64 kB',
      head('GET /readyz HTTP/1.1', 'Host: x', `a: ${'a'.repeat(70_000)}`),
      400,
      'PARAMETER_INVALID',
    ],
    ['a part of a request', 'GET /readyz HTTP/1.1\r\nhos', 400, 'UPLOAD_MALFORMED'],
    ['a part of an upload', [post(), 'part'].join(''), 400, 'UPLOAD_MALFORMED'],
  ])('answers %s with a problem document', async (_what, bytes, status, code) => {
    const { text, statuses } = await sendAndEnd(bytes);

    expect(statuses).toEqual([status]);
    expect(text).toMatch(/\r\ncontent-type: application\/problem\+json\r\n/i);
    expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n')))).toMatchObject({
      code,
      detail: expect.stringMatching(/^Expected .+ received/),
      instance: /\r\nx-request-id: (\S+)\r\n/i.exec(text)?.[1],
    });
  });

  it.each([
    ['HTTP/1.0 without Host', head('GET /readyz HTTP/1.0')],
    ['HTTP/1.0 with an expectation', head('GET /readyz HTTP/1.0', 'expect: foo')],
    ['headers of 60 kB', head('GET /readyz HTTP/1.1', 'host: x', ...Array(7).fill(`a: ${'a'.repeat(8500)}`))],
  ])('answers %s', async (_what, bytes) => {
    expect((await sendAndEnd(bytes)).statuses).toEqual([200]);
  });

  it.each(['1.0', '1.1'])(
    'answers a client of HTTP/%s that has closed its side after the whole upload',
    async (version) => {
      const { text } = await sendAndEnd(post('/classify', version), photo);

      expect(text).toContain('"predictions":[');
    },
  );

  it('answers all of what came before something that is no HTTP, and then that', async () => {
    const text = await sendRaw(fn.port, Buffer.concat([Buffer.from(post()), photo, Buffer.from('garbage\r\n\r\n')]));

    expect(statusesOf(text)).toEqual([200, 400]);
    expect(text).toContain('"code":"UPLOAD_MALFORMED"');
  });

  it('answers all of what came before an upload that is no HTTP, and then that', async () => {
    const chunked = head('POST /classify HTTP/1.1', 'host: x', 'transfer-encoding: chunked');
    const text = await sendRaw(
      fn.port,
      Buffer.concat([Buffer.from(post()), photo, Buffer.from(`${chunked}no size\r\n`)]),
    );

    expect(statusesOf(text)).toEqual([200, 400]);
    expect(text).toContain('"code":"UPLOAD_MALFORMED"');
  });

  it('drops the request of a client that has gone', async () => {
    const large = await sharp({ create: { width: 6000, height: 6000, channels: 3, background: 'gray' } })
      .avif({ effort: 0 })
      .toBuffer();
    const ask = (id: string) => {
      const socket = connect(fn.port, '127.0.0.1').on('error', () => undefined);
      socket.write(
        head(
          'POST /classify HTTP/1.1',
          'host: x',
          `content-length: ${large.length}`,
          `x-request-id: ${id}`,
          'x-deadline-ms: 30000',
        ),
      );
      socket.write(large);
      return socket;
    };
    const crowd = Array.from({ length: 2 }, (_, i) => ask(`crowd-${i}`));
    await sleep(100);
    const gone = ask('gone');
    await sleep(100);
    gone.destroy();
    const lineOf = (id: string) => fn.lines.find(({ requestId }) => requestId === id);
    for (let i = 0; i < 500 && !lineOf('gone'); i += 1) await sleep(10);

    expect(lineOf('gone')).toMatchObject({ status: 499 });
    expect(lineOf('crowd-1')).toBeUndefined();
    for (const socket of crowd) socket.destroy();
  }, 30_000);

  it('answers clients that send nothing, or a part of their headers, after 10 s', async () => {
    const startedMs = performance.now();
    const texts = await Promise.all(
      ['', 'GET /readyz HTTP/1.1\r\nhost'].map((bytes) => sendRaw(fn.port, bytes, 20_000)),
    );

    expect(texts.map(statusesOf)).toEqual([[408], [408]]);
    expect(performance.now() - startedMs).toBeLessThan(14_000);
  }, 30_000);
});

describe('listen', () => {
  it('logs what goes wrong with the server later', async () => {
    const server = createServer();
    const logged: unknown[] = [];
    await listen(server, 0, (severity, message) => logged.push([severity, message]));

    server.emit('error', new Error('accept'));
    server.emit('error', new Error('accept'));

    expect(logged).toEqual(Array(2).fill(['error', 'server failed']));
    expect((server.address() as AddressInfo).port).toBeGreaterThan(0);
    server.close();
  });
});
