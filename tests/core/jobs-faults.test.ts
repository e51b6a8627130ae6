import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { encodeRecord, recordKey } from '../../functions/core/jobs/job.ts';
import type { Stored } from '../../functions/core/jobs/store.ts';
import {
  get,
  idOf,
  keysOf,
  order,
  readRecord,
  untilEnded,
  untilRecord,
  untilRecordEnded,
  untilRunning,
} from '../support/jobs.ts';
import { plain } from '../support/served.ts';
import { kill, useSpool } from '../support/spooled.ts';

jest.setTimeout(120_000);

const spool = useSpool();
const { start, startReady, modelsDir } = spool;
const moody = () => modelsDir({ 'wide-resnet': 'moody', mobilenet: 'real' });

describe('a job outlives', () => {
  it('kill -9 of the function amid its run: the next one runs it again, and ends it once', async () => {
    const env = { MODELS_DIR: moody() };
    const first = await startReady('primary', env);
    const slow = await order(first, { body: await plain('lime') });
    const next = await order(first, { body: await plain('black') });
    await untilRunning(spool.store, idOf(slow.headers.location));
    await kill(first);

    const second = await startReady('primary', env);
    const job = await untilEnded(second, slow.headers.location);
    expect(job).toMatchObject({ state: 'succeeded', attempts: 2, result: { model: 'wide-resnet', degraded: false } });
    expect(await untilEnded(second, next.headers.location)).toMatchObject({ state: 'succeeded', attempts: 1 });
    expect(await keysOf(spool.store, 'results/')).toHaveLength(2);
    await untilRecord(spool.store, String(job.id), () => true);
    for (; (await keysOf(spool.store, 'waiting/')).length > 0; );
  });

  it('a second primary on the folder, which leaves alone what the first one runs', async () => {
    const env = { MODELS_DIR: moody() };
    const [first] = [await startReady('primary', env), await startReady('primary', env)];
    const { headers } = await order(first, { body: await plain('lime') });
    expect(await untilEnded(first, headers.location)).toMatchObject({ state: 'succeeded', attempts: 1 });
  });

  it('a drain: it is put back, as if it had not run', async () => {
    const env = { MODELS_DIR: moody() };
    const first = await startReady('primary', env);
    const { headers } = await order(first, { body: await plain('lime') });
    await untilRunning(spool.store, idOf(headers.location));
    expect(await first.stop()).toBe(0);
    expect(await readRecord(spool.store, idOf(headers.location))).toMatchObject({ state: 'waiting', attempts: 0 });
    expect(await untilEnded(await startReady('primary', env), headers.location)).toMatchObject({ attempts: 1 });
  });

  it('a restart with a backlog', async () => {
    const fallback = await startReady('fallback');
    const locations = [];
    for (let i = 0; i < 12; i += 1) {
      const sent = { body: await plain('navy'), headers: { 'idempotency-key': String(i) } };
      locations.push((await order(fallback, sent)).headers.location);
    }
    await kill(fallback);
    const primary = await startReady('primary');
    for (const location of locations) expect(await untilEnded(primary, location)).toMatchObject({ state: 'succeeded' });
  });

  it('an upload that kills the process: it fails after four attempts, is dead, and others go on', async () => {
    const env = { MODELS_DIR: moody() };
    let fn = await startReady('primary', env);
    const { headers } = await order(fn, { body: await plain('lime') });
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      await untilRunning(spool.store, idOf(headers.location), attempt);
      await kill(fn);
      if (attempt < 4) fn = await start('primary', { JOBS_STORE: spool.folder, WORKERS: '1', ...env });
    }
    const last = await startReady('primary', env);
    const other = await order(last, { body: await plain('black') });
    expect(await untilEnded(last, headers.location)).toMatchObject({
      state: 'failed',
      attempts: 4,
      problem: { code: 'INTERNAL', status: 500 },
    });
    expect(await untilEnded(last, other.headers.location)).toMatchObject({ state: 'succeeded' });
    expect(await keysOf(spool.store, 'dead/')).toEqual([`dead/classify/${idOf(headers.location)}`]);
    expect(await (await fetch(`${last.url}/metrics`)).text()).toMatch(/^understudy_jobs_dead{task="classify"} 1$/m);
  });
});

describe('a job ends', () => {
  it('with the standby model, after the lead model has raised for it three times', async () => {
    const primary = await startReady('primary', { MODELS_DIR: moody() });
    const { headers } = await order(primary, { body: await plain('red') });
    expect(await untilEnded(primary, headers.location)).toMatchObject({
      state: 'succeeded',
      attempts: 4,
      result: { model: 'mobilenet', degraded: true, reason: 'error' },
    });
    // The model was not taken from those who wait.
    expect(await (await fetch(`${primary.url}/readyz`)).json()).toEqual({ status: 'ready' });
  });

  it('with the standby model though the pause after a run that failed would be longer than its patience', async () => {
    const primary = await startReady('primary', { MODELS_DIR: moody() });
    const { headers } = await order(primary, { body: await plain('red'), headers: { 'x-deadline-ms': '5000' } });
    expect(await untilEnded(primary, headers.location)).toMatchObject({
      state: 'succeeded',
      attempts: 3,
      result: { model: 'mobilenet', degraded: true },
    });
  });

  it('with the standby model when a tenth of its patience is left and there is no lead model', async () => {
    const dir = modelsDir({ mobilenet: 'real' });
    mkdirSync(join(dir, 'wide-resnet'));
    writeFileSync(join(dir, 'wide-resnet', 'model.json'), '{}');
    const primary = await start('primary', { MODELS_DIR: dir, JOBS_STORE: spool.folder, WORKERS: '1' });
    await primary.ready('degraded');
    const patient = await order(primary, { body: await plain('navy') });
    const hasty = await order(primary, {
      body: await plain('navy'),
      headers: { 'idempotency-key': 'a', 'x-deadline-ms': '10000' },
    });
    const strict = await order(primary, {
      body: await plain('navy'),
      headers: { prefer: 'respond-async, handling=strict', 'x-deadline-ms': '3000' },
    });

    expect(await untilEnded(primary, hasty.headers.location)).toMatchObject({
      state: 'succeeded',
      result: { model: 'mobilenet', degraded: true, reason: 'timeout' },
    });
    expect(await untilEnded(primary, strict.headers.location)).toMatchObject({ state: 'expired' });
    const late = await get(primary, `${strict.headers.location}/result`);
    expect([late.status, JSON.parse(late.text).code]).toEqual([504, 'DEADLINE_EXCEEDED']);
    expect(JSON.parse((await get(primary, String(patient.headers.location))).text)).toMatchObject({
      state: 'waiting',
      attempts: 0,
    });
  });

  it('with one result, though a run was killed once it had written its own', async () => {
    const id = await spool.accept({ body: await plain('navy') });
    const { etag } = (await spool.store.get(recordKey(id))) as Stored;
    const killed = { ...(await readRecord(spool.store, id)), state: 'running', attempts: 1 } as const;
    await spool.store.put(recordKey(id), encodeRecord(killed), { etag });
    await spool.store.put(`results/${id}/1-0`, Buffer.from('{}'));
    const job = await untilEnded(await startReady('primary'), `/jobs/${id}`);
    expect(job).toMatchObject({ state: 'succeeded', attempts: 2 });
    for (; (await keysOf(spool.store, 'waiting/')).length > 0; );
    expect(await keysOf(spool.store, 'results/')).toHaveLength(1);
  });

  it.each(['deleted', 'changed'])('when its upload was %s before its turn, without another try', async (what) => {
    const id = await spool.accept({ body: await plain('navy') });
    const { photo } = await readRecord(spool.store, id);
    if (what === 'deleted') await spool.store.delete(photo.key);
    else await spool.store.put(photo.key, await plain('red'));
    const primary = await startReady('primary');
    expect(await untilEnded(primary, `/jobs/${id}`)).toMatchObject({
      state: 'failed',
      attempts: 0,
      problem: { code: 'UPLOAD_LOST', status: 500, instance: expect.any(String) },
    });
    expect(await keysOf(spool.store, 'dead/')).toEqual([]);
  });

  it('when its deadline has passed, whoever looks first', async () => {
    const fallback = await startReady('fallback');
    const { headers } = await order(fallback, { body: await plain('navy'), headers: { 'x-deadline-ms': '1' } });
    expect(JSON.parse((await get(fallback, String(headers.location))).text).state).toBe('expired');
  });

  it('once only, though it was delivered again', async () => {
    const primary = await startReady('primary');
    const { headers } = await order(primary, { body: await plain('navy') });
    const ended = await untilRecordEnded(spool.store, idOf(headers.location));
    await spool.store.put(`waiting/classify/${'0'.repeat(13)}-${ended.id}`, Buffer.from(''));
    for (; (await keysOf(spool.store, 'waiting/')).length > 0; );
    expect(await readRecord(spool.store, ended.id)).toEqual(ended);
  });
});
