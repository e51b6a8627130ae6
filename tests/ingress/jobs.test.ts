import { readFileSync } from 'node:fs';
import { describe, expect, it, jest } from '@jest/globals';
import { send } from '../support/client.ts';
import { get, order, untilEnded } from '../support/jobs.ts';
import { useStack } from '../support/stack.ts';

jest.setTimeout(120_000);

const photo = readFileSync('tests/images/test_image_1.jpg');
const stack = useStack();

describe('jobs behind nginx', () => {
  it('are taken by any function, told by any other, and outlive all of them', async () => {
    const running = await stack.start({ FUNCTIONS: 'classify,digits,clouds' });
    await running.says(/ready, ends with Ctrl-C/);
    const front = { url: `http://127.0.0.1:${running.port}` };
    const patch = readFileSync('tests/images/patch.tif');

    const photoJob = await order(front, { body: photo, headers: { 'x-deadline-ms': '86400000' } });
    const maskJob = await order(front, { path: '/infer', body: patch, headers: { accept: 'image/png' } });
    expect([photoJob.status, maskJob.status]).toEqual([202, 202]);

    // Several times, so that each function is asked.
    for (let i = 0; i < 4; i += 1) {
      const job = await untilEnded(front, photoJob.headers.location);
      expect(job).toMatchObject({ state: 'succeeded', result: { model: 'wide-resnet', degraded: false } });
      expect(Date.parse(String(job.deadlineAt)) - Date.parse(String(job.createdAt))).toBe(86_400_000);
    }
    const mask = await untilEnded(front, maskJob.headers.location);
    expect(mask).toMatchObject({ task: 'clouds', state: 'succeeded', resultUrl: `${maskJob.headers.location}/result` });
    const png = await fetch(`${front.url}${mask.resultUrl}`);
    const now = await fetch(`${front.url}/infer`, { method: 'POST', headers: { accept: 'image/png' }, body: patch });
    expect(Buffer.from(await png.arrayBuffer()).equals(Buffer.from(await now.arrayBuffer()))).toBe(true);
    expect(png.headers.get('x-cloud-fraction')).toBe(now.headers.get('x-cloud-fraction'));

    const put = await send(front.url, { method: 'PUT', path: String(photoJob.headers.location) });
    expect([put.status, put.headers.allow]).toEqual([405, 'GET, HEAD, DELETE']);
    expect(JSON.parse((await get(front, `/jobs/${'a'.repeat(26)}`)).text).code).toBe('JOB_NOT_FOUND');
  });

  it('are accepted by the fallback while the primary is down, and run once that is back', async () => {
    const running = await stack.start();
    await running.says(/ready, ends with Ctrl-C/);
    const front = { url: `http://127.0.0.1:${running.port}` };
    const [primary] = running.programs('FUNCTION_TARGET=primary') as [number];
    process.kill(primary, 'SIGKILL');
    const { status, headers, text } = await order(front, { body: photo });

    expect(status).toBe(202);
    const { createdAt, deadlineAt } = JSON.parse(text);
    expect(Date.parse(deadlineAt) - Date.parse(createdAt)).toBe(3_600_000);
    expect(await untilEnded(front, headers.location)).toMatchObject({
      state: 'succeeded',
      result: { degraded: false },
    });
  });
});
