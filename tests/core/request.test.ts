import { describe, expect, it } from '@jest/globals';
import { readParameters, readRequestId, readRoute, readStampAge } from '../../functions/core/http/request.ts';
import { classify } from '../../functions/tasks/classify/task.ts';

const nowMs = 1_700_000_000_000;
const ask = (headers = {}) => readParameters(headers, 5000, undefined);
const topOf = (query: string) => classify.parse(new URLSearchParams(query), {}).top;

describe('readRoute', () => {
  it.each([
    ['POST', '/classify', { name: 'task' }],
    ['PUT', '/classify', { name: 'task' }],
    ['GET', '/livez', { name: 'livez' }],
    ['HEAD', '/readyz', { name: 'readyz' }],
    ['GET', '/v2', { name: 'server' }],
    ['GET', '/v2/health/live', { name: 'live' }],
    ['GET', '/v2/models/wide-resnet', { name: 'model', model: 'wide-resnet' }],
    ['GET', '/v2/models/mobilenet/ready', { name: 'modelReady', model: 'mobilenet' }],
  ])('finds %s %s', (method, path, route) => {
    expect(readRoute(method, path, '/classify')).toEqual(route);
  });

  it.each(['/home', '/Classify', '/classify/', '/constructor', '/v2/models/', '/v2/models/a/b'])(
    'rejects %s with ROUTE_NOT_FOUND',
    (path) => {
      expect(() => readRoute('GET', path, '/classify')).toThrow(expect.objectContaining({ code: 'ROUTE_NOT_FOUND' }));
    },
  );

  it.each([
    ['GET', '/classify', 'POST, PUT'],
    ['DELETE', '/classify', 'POST, PUT'],
    ['POST', '/readyz', 'GET, HEAD'],
  ])('rejects %s %s with METHOD_NOT_ALLOWED and Allow: %s', (method, path, allow) => {
    expect(() => readRoute(method, path, '/classify')).toThrow(
      expect.objectContaining({ code: 'METHOD_NOT_ALLOWED', headers: { allow } }),
    );
  });
});

describe('readParameters', () => {
  it('has the defaults of the contract', () => {
    expect(topOf('')).toBe(5);
    expect(ask()).toEqual({ patienceMs: 5000, isTicking: false, namesDeadline: false, strict: false });
  });

  it.each([
    ['top=1', 1],
    ['top=20', 20],
  ])('takes ?%s', (query, top) => {
    expect(topOf(query)).toBe(top);
  });

  it.each([['top=0'], ['top=21'], ['top='], ['top=five'], ['top=1.5'], ['top=-1'], ['top=3&top=4']])(
    'rejects ?%s with PARAMETER_INVALID',
    (query) => {
      expect(() => topOf(query)).toThrow(expect.objectContaining({ code: 'PARAMETER_INVALID' }));
    },
  );

  it.each([
    ['1', 1],
    ['30000', 30_000],
  ])('takes X-Deadline-Ms: %s', (text, patienceMs) => {
    expect(ask({ 'x-deadline-ms': text })).toMatchObject({ patienceMs, isTicking: true, namesDeadline: true });
  });

  it.each(['0', '30001', 'soon', ''])('rejects X-Deadline-Ms: "%s" with PARAMETER_INVALID', (text) => {
    expect(() => ask({ 'x-deadline-ms': text })).toThrow(
      `Expected a whole number from 1 to 30000 for X-Deadline-Ms but received "${text}"`,
    );
  });

  it('takes from the patience what was spent of it', () => {
    const asked = readParameters({ 'x-deadline-ms': '1000' }, 5000, 1200);

    expect(asked).toMatchObject({ patienceMs: -200, isTicking: true, namesDeadline: true });
  });

  it('has patience that nobody named run as soon as the ingress has stamped it', () => {
    const asked = readParameters({}, 5000, 0);

    expect(asked).toMatchObject({ patienceMs: 5000, isTicking: true, namesDeadline: false });
  });

  it.each([
    ['handling=strict', true],
    ['respond-async, Handling = "STRICT"; foo=bar', true],
    ['handling=lenient', false],
    ['handling=lenient, handling=strict', false],
    ['xhandling=strict', false],
    ['handling=stricter', false],
    ['', false],
    ['x="a, handling=strict"', false],
    ['x="a, handling=strict", handling=strict', true],
    ['x="a\\", handling=strict', false],
    ['x="a\\\\", handling=strict', true],
    ['x="a, handling=strict', false],
    ['handling="str\\ict"', true],
    ['handling="strict', false],
    ['handling="lenient, handling=strict"', false],
    ['x; handling=strict', false],
    ['handling; a="b,c", handling=strict', false],
    [',, handling\t=\tstrict ,', true],
    ['handling=strict; a=";, handling=lenient"', true],
  ])('reads Prefer: %s as strict %s', (prefer, strict) => {
    expect(ask({ prefer }).strict).toBe(strict);
  });
});

describe('readStampAge', () => {
  it.each([
    ['t=1699999999.000', 1000],
    ['t=1700000000.000', 0],
    ['t=1700000000.250', -250],
    ['t=1699999960.000', 40_000],
    ['t=1699999959.999', undefined],
    ['t=1700000040.000', -40_000],
    ['t=1700000040.001', undefined],
    ['1699999999.000', undefined],
    ['t=yesterday', undefined],
    [undefined, undefined],
  ])('gives X-Request-Start: %s an age of %s ms', (stamp, ageMs) => {
    const age = readStampAge(stamp === undefined ? {} : { 'x-request-start': stamp }, nowMs);

    expect(age === undefined ? undefined : Math.round(age)).toBe(ageMs);
  });
});

describe('readRequestId', () => {
  it.each(['a', 'A-b_c.9', 'x'.repeat(128)])('takes over %s', (id) => {
    expect(readRequestId({ 'x-request-id': id })).toBe(id);
  });

  it.each(['', 'x'.repeat(129), 'a b', 'a"b', 'ä'])('makes an id instead of "%s"', (id) => {
    expect(readRequestId({ 'x-request-id': id })).toMatch(/^[0-9a-f-]{36}$/);
  });
});
