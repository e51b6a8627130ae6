import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type RunningFunction, startFunction } from './support/function.ts';

const photo = readFileSync('tests/images/test_image_1.jpg');

let fn: RunningFunction;
beforeAll(async () => {
  fn = await startFunction('fallback', { WORKERS: '1' });
  await fn.ready();
}, 30_000);
afterAll(async () => {
  fn.process.kill('SIGKILL');
  await once(fn.process, 'exit');
});

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
    ['an absolute target without a path', 'http://x', 404],
    ['an absolute target with another path', 'http://x/', 404],
    ['a target of two slashes', '//x/classify', 404],
    ['a target that is no URL', 'http://[/classify', 404],
    ['a target of another scheme', 'ftp://x/classify', 404],
    ['an asterisk', '*', 404],
  ])('answers %s (RFC 9112 3.2)', async (_what, target, status) => {
    const { text, statuses } = await sendAndEnd(post(target), photo);

    expect(statuses).toEqual([status]);
    if (target.endsWith('top=3')) expect(text.match(/"index"/g)).toHaveLength(3);
  });
});
