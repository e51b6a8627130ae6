import { readdirSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { megabyte, useIngress } from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

const ingress = useIngress();

describe('a mask for a client that reads slowly', () => {
  it('waits in the function, not in a file', async () => {
    await ingress.start();
    const bytes = 32 * megabyte; // more than the buffers of two sockets
    ingress.clouds.behave(answer(200, { 'content-type': 'image/tiff' }, 'm'.repeat(bytes)));
    const socket = connect(ingress.nginx.port, '127.0.0.1');
    const head = ['POST /infer HTTP/1.1', 'Host: a', 'X-Request-Id: slow', 'Connection: close', 'Content-Length: 0'];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    socket.pause();
    await sleep(1000);
    const files = openFiles().filter((path) => /understudy-test-\w+\/proxy\//.test(path));

    let received = 0;
    for await (const chunk of socket) received += chunk.length;

    expect(received).toBeGreaterThan(bytes);
    expect(files).toEqual([]);
  });
});

/** Paths of the files that processes have open. */
function openFiles(): string[] {
  const ignore = <T>(read: () => T, otherwise: T) => {
    try {
      return read();
    } catch {
      return otherwise; // closed or ended meanwhile, or another user's
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) =>
    ignore(() => readdirSync(`/proc/${pid}/fd`), []).map((fd) =>
      ignore(() => readlinkSync(`/proc/${pid}/fd/${fd}`), ''),
    ),
  );
}
