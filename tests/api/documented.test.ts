import { describe, expect, it } from '@jest/globals';
import { problems, problemType } from '../../functions/core/problem.ts';
import { type Asked, expectDocumented } from '../support/documented.ts';

const headers = {
  'content-type': 'application/json',
  'x-request-id': 'r-1',
  'x-model': 'wide-resnet',
  'x-tier': 'primary',
  'server-timing': 'upload;dur=1.0, decode;dur=2.0, queue;dur=0.0, model;dur=9.5',
};
const body = {
  model: 'wide-resnet',
  version: '1',
  tier: 'primary',
  degraded: false,
  reason: null,
  predictions: [{ index: 0, class: 'n01443537', label: 'goldfish', score: 0.9 }],
};
const right = { method: 'POST', path: '/classify?top=1', status: 200, headers, body };

const problem = { ...problems.BUSY, type: problemType('BUSY'), code: 'BUSY', detail: 'Expected …', instance: 'r-1' };
const busy = {
  ...right,
  status: 503,
  headers: { 'content-type': 'application/problem+json; charset=utf-8', 'x-request-id': 'r-1', 'retry-after': '2' },
  body: problem,
};

type Change = Partial<Omit<Asked, 'body'>> & { readonly body?: object };

function expectChanged(change: Change, from: Required<Change> = right) {
  const { body, ...asked } = { ...from, ...change };
  return expect(() => expectDocumented({ ...asked, body: JSON.stringify(body) }));
}

describe('expectDocumented', () => {
  it('takes an answer of the document', () => {
    expectChanged({}).not.toThrow();
    expectChanged({ method: 'GET', path: '/nowhere', ...notFound }).not.toThrow();
    expectChanged({ path: '/livez', ...notAllowed }).not.toThrow();
    expectChanged({}, busy).not.toThrow();
    expectChanged({ method: 'PUT' }).not.toThrow();
  });

  it.each<[string, Change, string]>([
    ['a status', { status: 206 }, 'no 206 of this path and method'],
    ['a path', { path: '/classified' }, 'no 200 of this path'],
    ['a method', { method: 'DELETE' }, 'no 200 of this path'],
    ['a type', { headers: { ...headers, 'content-type': 'text/html' } }, 'no content of type text/html'],
    ['a header', { headers: { ...headers, 'x-secret': '1' } }, 'no header x-secret'],
    ["a header's value", { headers: { ...headers, 'x-tier': 'third' } }, 'x-tier must be equal to one of'],
    ['a field', { body: { ...body, secret: 1 } }, 'unevaluated properties'],
    [
      'a field of a prediction',
      { body: { ...body, predictions: [{ ...body.predictions[0], odds: 1 }] } },
      'unevaluated properties',
    ],
    ['a value', { body: { ...body, reason: 'mood' } }, 'body/reason must be equal to one of'],
    ['21 predictions', { body: { ...body, predictions: Array(21).fill(body.predictions[0]) } }, 'more than 20'],
  ])('refuses %s that the document does not have', (_what, change, fault) => {
    expectChanged(change).toThrow(fault);
  });

  it.each<[string, Change, string]>([
    ['a header', { headers: { ...headers, 'x-tier': undefined } }, 'x-tier is missing'],
    ['a field', { body: { ...body, tier: undefined } }, "must have required property 'tier'"],
  ])('refuses an answer without %s that is required', (_what, change, fault) => {
    expectChanged(change).toThrow(fault);
  });

  it.each<[string, Change, string]>([
    ['no code', { body: { ...problem, code: undefined } }, "must have required property 'code'"],
    ['the code of another status', { body: { ...problem, code: 'UPLOAD_EMPTY' } }, 'body/code must be equal to one of'],
    ['the type of another code', { body: { ...problem, type: '/problems#starting' } }, 'type is not that of BUSY'],
    ['another title', { body: { ...problem, title: 'Tired' } }, 'title is not that of BUSY'],
    ['no Retry-After', { headers: { ...busy.headers, 'retry-after': undefined } }, 'retry-after is missing'],
    ['a Retry-After of words', { headers: { ...busy.headers, 'retry-after': 'soon' } }, 'retry-after must be integer'],
  ])('refuses a problem with %s', (_what, change, fault) => {
    expectChanged(change, busy).toThrow(fault);
  });

  it('refuses a 405 without Allow', () => {
    const { allow: _, ...others } = notAllowed.headers;

    expectChanged({ path: '/livez', ...notAllowed, headers: others }).toThrow('allow is missing');
  });

  it('takes a batch of answers and problems, and refuses an element that is neither', () => {
    expectChanged({ body: [body, problem] }).not.toThrow();
    expectChanged({ body: [body, { ...problem, secret: 1 }] }).toThrow('must match exactly one schema');
  });

  it.each(['/classify', '/infer'])('takes a preflight of %s without a body', (path) => {
    const asked = { method: 'OPTIONS', path, ...preflight };

    expect(() => expectDocumented({ ...asked, body: '' })).not.toThrow();
    expect(() => expectDocumented({ ...asked, body: 'text' })).toThrow('no body');
  });

  it('leaves out what a test has made up', () => {
    expectChanged({ status: 206, headers: { 'x-invented': '1' } }).not.toThrow();
  });
});

const problemHeaders = { 'content-type': 'application/problem+json', 'x-request-id': 'r-1' };
const preflight = {
  status: 204,
  headers: {
    'x-request-id': 'r-1',
    'access-control-allow-origin': 'https://page.example',
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': 'Prefer',
    'access-control-max-age': '600',
  },
};
const notFound = problemOf('ROUTE_NOT_FOUND', problemHeaders);
const notAllowed = problemOf('METHOD_NOT_ALLOWED', { ...problemHeaders, allow: 'GET, HEAD' });

function problemOf<H extends Asked['headers']>(code: keyof typeof problems, headers: H) {
  const body = { ...problem, ...problems[code], type: problemType(code), code };
  return { status: problems[code].status, headers, body };
}
