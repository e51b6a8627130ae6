import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { isS3Address } from '../../functions/core/jobs/address.ts';
import { openBucket } from '../../functions/core/jobs/bucket.ts';
import { describeStore } from '../support/store-contract.ts';
import { describeWith, versitygw } from './tools/cache.ts';
import { createS3, type S3 } from './tools/s3.ts';

jest.setTimeout(90_000);

async function startS3(): Promise<S3 & { close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 's3-test-'));
  const s3 = await createS3(folder);
  await s3.start();
  Object.assign(process.env, s3.env); // as the SDK reads it
  return {
    ...s3,
    async close() {
      await s3.kill();
      rmSync(folder, { recursive: true });
    },
  };
}

async function open(prefix: string) {
  const { bucket, close } = await startS3();
  return { open: () => openBucket(`s3://${bucket}${prefix}`), close };
}

const describeS3 = describeWith(versitygw);
const encode = (text: string) => new TextEncoder().encode(text);

describeStore('a bucket', () => open(''), describeS3);
describeStore('a prefix of a bucket', () => open('/some/where/'), describeS3);

describeS3('an S3 store', () => {
  let s3: Awaited<ReturnType<typeof startS3>>;

  beforeEach(async () => {
    s3 = await startS3();
  });

  afterEach(() => s3.close());

  it('keeps two prefixes of a bucket apart', async () => {
    const [one, other] = ['a', 'b'].map((prefix) => openBucket(`s3://${s3.bucket}/${prefix}`));

    await one?.put('key', encode('one'));

    expect(await other?.get('key')).toBeUndefined();
    expect(one?.uri('key')).toBe(`s3://${s3.bucket}/a/key`);
  });

  it('lists more keys than a page holds', async () => {
    const store = openBucket(`s3://${s3.bucket}`);
    const keys = Array.from({ length: 1005 }, (_, i) => `many/${String(i).padStart(4, '0')}`);
    for (let i = 0; i < keys.length; i += 15) {
      await Promise.all(keys.slice(i, i + 15).map((key) => store.put(key, encode(key))));
    }

    const listed: string[] = [];
    for await (const key of store.list('many/')) listed.push(key);

    expect(listed).toEqual(keys);
  });

  it('rejects what it is asked while the server is away, and works once that is back', async () => {
    const store = openBucket(`s3://${s3.bucket}`);
    await store.put('key', encode('value'));
    await s3.kill();

    const calls = [store.get('key'), store.put('key', encode('other'), 'absent'), store.delete('key'), first(store)];
    for (const call of calls) await expect(call).rejects.toThrow(/./);
    await s3.start();

    expect(Buffer.from((await store.get('key'))?.bytes ?? '').toString()).toBe('value');
  });

  it('rejects a bucket that is not there, and takes it for no absent value', async () => {
    const store = openBucket('s3://other-bucket');

    const calls = [store.put('key', encode('v')), store.put('key', encode('v'), { etag: '"1"' }), first(store)];
    for (const call of calls) await expect(call).rejects.toThrow(/bucket/);
    await expect(store.get('key')).rejects.toThrow(/bucket/);
  });

  it('does not wait for ever for a server that is silent', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    process.env.AWS_ENDPOINT_URL_S3 = originOf(silent);
    const startedMs = performance.now();

    await expect(openBucket(`s3://${s3.bucket}`).get('key')).rejects.toThrow(/./);

    expect(performance.now() - startedMs).toBeLessThan(30_000); // ten seconds, on a machine that is busy
    silent.close();
  });

  it.each(['absent', 'etag'] as const)('knows its own value where the answer to a put was lost: %s', async (kind) => {
    const direct = openBucket(`s3://${s3.bucket}`);
    const before = kind === 'etag' ? ((await direct.put('key', encode('before'))) as string) : '';
    const losing = await loseFirstAnswer(s3.env.AWS_ENDPOINT_URL_S3 as string);
    process.env.AWS_ENDPOINT_URL_S3 = originOf(losing.server);

    const etag = await openBucket(`s3://${s3.bucket}`).put(
      'key',
      encode('mine'),
      kind === 'etag' ? { etag: before } : 'absent',
    );

    expect(losing.lost()).toBe(1);
    expect(etag).toBe((await direct.get('key'))?.etag);
    losing.server.close();
  });
});

it.each([
  ['s3://jobs', true],
  ['s3://jobs/', true],
  ['s3://jobs/of/photos', true],
  ['s3://jobs.of-photos/a/', true],
  ['s3://j', false],
  ['s3://Jobs', false],
  ['s3://jobs/../others', false],
  ['s3://jobs//a', true],
  ['s3:jobs', false],
  ['/var/jobs', false],
])('takes %s for an address: %s', (text, is) => {
  expect(isS3Address(text)).toBe(is);
});

async function first(store: ReturnType<typeof openBucket>): Promise<void> {
  for await (const _ of store.list('some/')) return;
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A proxy that hangs up in place of the first answer: the server has done what it was asked, and the client does not know. */
async function loseFirstAnswer(origin: string) {
  let lost = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(origin).port), '127.0.0.1');
    client.pipe(upstream);
    upstream.on('data', (bytes) => {
      const isInterim = bytes.toString('latin1', 0, 12) === 'HTTP/1.1 100';
      if (lost === 0 && !isInterim) {
        lost += 1;
        client.destroy();
        upstream.destroy();
      } else client.write(bytes);
    });
    for (const socket of [client, upstream]) socket.on('error', () => {});
    client.on('close', () => upstream.end());
    upstream.on('close', () => client.end());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, lost: () => lost };
}
