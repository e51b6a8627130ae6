import { readFileSync } from 'node:fs';
import { describe, expect, it, jest } from '@jest/globals';
import { judge } from '../../load/k6/answer.ts';
import { findK6 } from '../../load/tool.ts';
import { send } from '../support/client.ts';
import { imagePart, multipart } from '../support/multipart.ts';
import { useCluster } from './support/cluster.ts';
import { run } from './support/command.ts';
import { runInside, startClient } from './support/inside.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

const photo = readFileSync('tests/images/test_image_1.jpg');

describe('the development overlay', () => {
  const cluster = useCluster('apply');

  it('answers POST /classify through nginx with the Wide ResNet', async () => {
    const { status, headers, text } = await send(cluster.door.origin, {
      headers: { 'content-type': 'image/jpeg' },
      body: photo,
    });

    expect(judge({ status, headers: named(headers), body: text })).toMatchObject({
      model: 'wide-resnet',
      tier: 'primary',
      reason: '',
    });
  });

  it('answers a form of 9 MB, as on one machine', async () => {
    const large = Buffer.concat([photo, Buffer.alloc(9_000_000)]);
    const { status, text } = await send(cluster.door.origin, multipart(imagePart(large)));

    expect([status, JSON.parse(text).tier]).toEqual([200, 'primary']);
  });

  it("returns a client's mistake unchanged through every part of the platform", async () => {
    const { status, headers, text } = await send(cluster.door.origin, { body: Buffer.from('no image') });

    expect(JSON.parse(text).code).toBe('IMAGE_UNSUPPORTED');
    expect([status, headers['x-tier']]).toEqual([422, 'primary']);
  });

  it('lets only a pod of the namespace reach a function past nginx', async () => {
    await startClient(cluster.namespace);

    const answers = await runInside(cluster.namespace, askGateways, cluster.namespace);

    expect(answers).toEqual({ inside: 200, outside: 404 });
  });

  it('passes the smoke of k6', async () => {
    const k6 = await findK6();
    if (k6 === undefined) throw new Error('Expected k6 in PATH or at K6 but received none');

    const env = { TARGET: cluster.door.origin, SHAPE: 'smoke', SUMMARY: '/dev/null' };
    const { code, stdout, stderr } = await run(k6, ['run', '--quiet', 'load/k6/classify.ts'], { env });

    expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
  }, 90_000);
});

/** Asks the primary by its name at the gateway for the cluster and at the public one. */
async function askGateways(namespace: string): Promise<{ readonly inside: number; readonly outside: number }> {
  const { get } = await import('node:http');
  const ask = (gateway: string) =>
    new Promise<number>((resolve, reject) => {
      const host = `${gateway}.kourier-system.svc.cluster.local`;
      const headers = { host: `classify-primary.${namespace}.svc.cluster.local` };
      get({ host, path: '/readyz', headers }, (response) => resolve(response.resume().statusCode ?? 0)).once(
        'error',
        reject,
      );
    });
  return { inside: await ask('kourier-internal'), outside: await ask('kourier') };
}

/** Header names as `judge` knows them, `X-Model`. */
function named(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const capitals = (name: string) => name.replace(/(^|-)\w/g, (letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [capitals(name), String(value)]));
}
