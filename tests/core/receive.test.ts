import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { receiveBody } from '../../functions/core/http/receive.ts';

const bodyOf = () => new PassThrough() as unknown as IncomingMessage & PassThrough;

describe('receiveBody', () => {
  it.each([
    ['below', 9],
    ['at', 10],
  ])('returns a body %s the limit, whole', async (_where, bytes) => {
    const body = bodyOf();
    const received = receiveBody(body, 10);

    body.write(Buffer.alloc(bytes - 1, 'a'));
    body.end('b');

    expect((await received).toString()).toBe(`${'a'.repeat(bytes - 1)}b`);
  });

  it('rejects a body above the limit with UPLOAD_TOO_LARGE before it has ended', async () => {
    const body = bodyOf();
    const received = receiveBody(body, 10);

    body.write(Buffer.alloc(11));

    await expect(received).rejects.toMatchObject({ code: 'UPLOAD_TOO_LARGE' });
  });

  it('returns nothing for an empty body', async () => {
    const body = bodyOf();
    const received = receiveBody(body, 10);

    body.end();

    expect(await received).toHaveLength(0);
  });

  it('rejects a body that stalls with UPLOAD_TIMEOUT', async () => {
    const body = bodyOf();
    const received = receiveBody(body, 10, { timeoutMs: 50 });

    body.write('a');

    await expect(received).rejects.toMatchObject({
      code: 'UPLOAD_TIMEOUT',
      message: 'Expected the whole upload within 0.05 s but received 1 bytes',
    });
  });

  it.each([
    ['before', 50, 10_000],
    ['after', 10_000, 50],
  ])('rejects a body that stalls when the patience ends %s the time-out', async (_when, patienceMs, timeoutMs) => {
    const body = bodyOf();
    const received = receiveBody(body, 10, { deadlineMs: performance.now() + patienceMs, timeoutMs });

    body.write('a');

    await expect(received).rejects.toMatchObject(
      patienceMs < timeoutMs
        ? { code: 'DEADLINE_EXCEEDED', message: 'Expected the whole upload within the deadline but received 1 bytes' }
        : { code: 'UPLOAD_TIMEOUT' },
    );
  });

  it('rejects a body that stalls at once when the patience has ended', async () => {
    const received = receiveBody(bodyOf(), 10, { deadlineMs: performance.now() - 1000 });

    await expect(received).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('rejects a body cut short with UPLOAD_MALFORMED', async () => {
    const body = bodyOf();
    const received = receiveBody(body, 10);

    body.write('a');
    body.destroy();

    await expect(received).rejects.toMatchObject({ code: 'UPLOAD_MALFORMED' });
  });
});
