import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import { sendRaw } from '../support/client.ts';
import { expectProblem, photo, useIngress, withoutBreaker } from '../support/ingress.ts';

jest.setTimeout(30_000);

const ingress = useIngress();
const functions = () => [ingress.primary, ingress.fallback, ingress.clouds, ingress.digits];
const received = () => functions().flatMap((one) => one.received.map(({ url }) => url));

beforeAll(() => ingress.start({ shorten: withoutBreaker }));

/** As it is: the client would take some of these paths for others. */
async function ask(method: string, path: string) {
  const text = await sendRaw(ingress.nginx.port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.replace(/:.*/, '').toLowerCase(), line.replace(/.*?: /, '')]),
  );
  return { status: Number(first.split(' ')[1]), headers, text: body };
}

describe('a path that nginx and a function could read in two ways', () => {
  it.each([
    ['POST', '/classify%0A'],
    ['PUT', '/huggingface%0a'],
    ['POST', '/v2/models/classify/infer%0A'],
    ['GET', '/v2%0A'],
    ['GET', '/v2/health/ready%0A'],
    ['GET', '/jobs'],
    ['GET', '/jobs/'],
    ['GET', '/jobs/a/'],
    ['GET', '/jobs/a%0A'],
    ['GET', '/jobs/a/result%0A'],
    ['GET', '/jobs/..\\metrics'],
    ['GET', '/jobs/a\\..\\..\\metrics'],
  ])('%s %s is none of ours, and no function is asked', async (method, path) => {
    expectProblem(await ask(method, path), 'ROUTE_NOT_FOUND');
    expect(received()).toEqual([]);
  });

  it.each(['/jobs/a\\..\\..\\/../metrics', '/x/../jobs/%6detrics', '//jobs/metrics'])(
    '%s is asked for as nginx reads it',
    async (path) => {
      expect((await ask('GET', `${path}?a=b`)).status).toBe(200);
      expect(received()).toEqual(['/jobs/metrics?a=b']);
    },
  );

  it.each(['/jobs/1', '/jobs/23/result'])('%s is a job, not a deadline', async (path) => {
    for (let i = 0; i < 4; i += 1) await ask('GET', path);

    expect(received()).toEqual(Array(4).fill(path));
  });
});

describe('a request to read', () => {
  it.each(['/v2', '/v2/models/classify', '/jobs/a', '/jobs/a/result'])(
    'has no body at %s: it would count for no limit of the memory',
    async (path) => {
      for (const sent of [{ body: photo }, { body: photo, chunked: true }]) {
        const answered = await ingress.post({ method: 'GET', path, inside: true, ...sent });
        expectProblem(answered, 'UPLOAD_TOO_LARGE');
        expect(JSON.parse(answered.text).detail).toContain('at most 0 bytes');
      }
      expect(received()).toEqual([]);
    },
  );
});
