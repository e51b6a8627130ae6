import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { cleanAfterEach } from '../support/served.ts';

const { startReady } = cleanAfterEach();

describe('memory', () => {
  it.each([
    ['image/jpeg', 8],
    ['application/json', 4], // a photo in base64 is held twice: as text, and decoded
  ])('is kept for the largest bodies of %s that arrive at once, for %d a worker', async (type, count) => {
    const fn = await startReady('fallback', { WORKERS: '1' });
    const head = `POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: 10485760\r\n\r\n`;
    const sockets = Array.from({ length: count }, () => connect(fn.port, '127.0.0.1'));
    for (const socket of sockets) socket.write(head);
    const refusal = async () => {
      const socket = connect(fn.port, '127.0.0.1');
      socket.write(head);
      const answer = await Promise.race([once(socket, 'data'), sleep(300)]);
      socket.destroy();
      return String(answer);
    };
    let answer = await refusal();
    for (let i = 0; i < 20 && answer === 'undefined'; i += 1) answer = await refusal(); // until all heads have arrived

    expect(answer).toMatch(/^HTTP\/1.1 503 [\s\S]*"code":"BUSY"/);
    sockets.pop()?.destroy();
    for (let i = 0; i < 20 && answer !== 'undefined'; i += 1) answer = await refusal();
    expect(answer).toBe('undefined'); // there is room again: the function waits for the body
    for (const socket of sockets) socket.destroy();
  });
});
