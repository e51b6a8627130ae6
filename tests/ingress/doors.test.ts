import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { doors } from '../../functions/tasks/classify/doors.ts';
import {
  busy,
  expectProblem,
  type Fault,
  own,
  photo,
  plain,
  refused,
  sha256,
  useIngress,
  whileFaulty,
  withoutBreaker,
} from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

const ingress = useIngress();
const { post } = ingress;
const paths = Object.keys(doors);

beforeAll(() => ingress.start({ shorten: withoutBreaker }));

describe.each(paths)('%s', (path) => {
  const query = `${path}?top=3`;

  it.each<[string, Fault]>([
    ['500 INTERNAL', own('INTERNAL')],
    ['503 BUSY', busy],
    ['a refused connection', refused],
    ['silence', { kind: 'silent' }],
    ['404 of a gateway', plain(404)],
  ])('fails over on %s as /classify does', async (_what, fault) => {
    const headers = { 'inference-header-content-length': '100' };
    const answered = await whileFaulty(ingress.primary, fault, () => post({ path: query, headers }));

    expect([answered.status, answered.headers['x-tier']]).toEqual([200, 'fallback']);
    expect(ingress.fallback.received).toMatchObject([
      { method: 'POST', url: query, bytes: photo.length, sha256: sha256(photo), headers },
    ]);
  });

  it.each([
    ['400', undefined],
    ['600', '350'],
    ['800', '550'],
    ['1200', '750'],
    ['2000', '1300'],
    ['4000', '2300'],
    ['12000', '7500'],
  ])('shares a deadline of %s ms', async (deadline, share = deadline) => {
    await post({ path, method: 'PUT', headers: { 'x-deadline-ms': deadline } });

    const headers = { 'x-deadline-ms': share };
    expect(ingress.primary.received).toMatchObject([{ method: 'PUT', url: path, headers }]);
  });

  it('keeps the deadline of a job, and shares that of a client that would take one where none is made', async () => {
    const headers = { prefer: 'respond-async, wait=5', 'x-deadline-ms': '2000' };
    for (const query of ['', '?batch=0', '?batch=1']) await post({ path: `${path}${query}`, headers });

    const kept = path.startsWith('/v2') ? '1300' : '2000';
    const received = ingress.primary.received.map((one) => one.headers['x-deadline-ms']);
    expect(received).toEqual([kept, kept, '1300']);
  });

  it('asks the primary alone for a strict request', async () => {
    ingress.primary.behave(own('INTERNAL'));
    const answered = await post({ path, headers: { prefer: 'handling=strict', 'x-deadline-ms': '4000' } });

    expect(answered.status).toBe(500);
    expect(ingress.primary.received).toMatchObject([{ url: path }]);
    expect(ingress.fallback.received).toEqual([]);
  });

  it('passes a problem on, refuses other methods and encodings, and what is beside it', async () => {
    ingress.primary.behave(own('UPLOAD_EMPTY'));
    expect((await post({ path })).status).toBe(400);

    const refusal = await post({ path, method: 'GET', body: Buffer.alloc(0) });
    expectProblem(refusal, 'METHOD_NOT_ALLOWED');
    expect(refusal.headers.allow).toBe('POST, PUT');
    expectProblem(await post({ path, headers: { 'content-encoding': 'gzip' } }), 'UPLOAD_UNSUPPORTED');
    for (const other of [`${path}/`, `${path}/350`, `/x${path}`]) {
      expectProblem(await post({ path: other }), 'ROUTE_NOT_FOUND');
    }
    expect(ingress.primary.received).toHaveLength(1);
    expect(ingress.fallback.received).toEqual([]);
  });

  it('answers JSON when both tiers are down', async () => {
    ingress.primary.behave(plain(503));
    ingress.fallback.behave(plain(503));

    expectProblem(await post({ path }), 'UNAVAILABLE');
  });
});

describe('the Open Inference Protocol', () => {
  const get = (path: string) => post({ path, method: 'GET', body: Buffer.alloc(0) });

  it.each(['/v2', '/v2/health/live', '/v2/health/ready', '/v2/models/classify', '/v2/models/classify/ready'])(
    'is asked of the primary, else of the fallback, at %s',
    async (path) => {
      expect((await get(path)).headers['x-tier']).toBe('primary');
      ingress.primary.behave(own('STARTING', { 'x-reason': 'starting' }));
      expect((await get(path)).headers['x-tier']).toBe('fallback');
      await whileFaulty(ingress.primary, refused, async () => {
        expect((await get(path)).headers['x-tier']).toBe('fallback');
      });

      expect(ingress.fallback.received).toMatchObject(Array(2).fill({ method: 'GET', url: path }));
      const refusal = await post({ path });
      expectProblem(refusal, 'METHOD_NOT_ALLOWED');
      expect(refusal.headers.allow).toBe('GET, HEAD');
    },
  );

  it.each(['/v2/', '/v2/models/wide-resnet', '/v2/models/wide-resnet/infer', '/v2/health', '/predictions/other'])(
    'has no %s here',
    async (path) => {
      ingress.primary.behave(answer(200));

      expectProblem(await get(path), 'ROUTE_NOT_FOUND');
      expect(ingress.primary.received).toEqual([]);
    },
  );
});
