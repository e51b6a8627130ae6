import { describe, expect, it } from '@jest/globals';
import { judge, judgeDigit, judgeForeign, judgeMask } from '../../load/k6/answer.ts';
import { answerBody as body, answerHeaders as headers } from './run.ts';

describe('judge', () => {
  const received = (changes: object, otherHeaders = {}) => ({
    status: 200,
    headers: { ...headers, ...otherHeaders },
    body: JSON.stringify({ ...body, ...changes }),
  });

  it('reads who answered and what leads from a valid answer', () => {
    const own = { model: 'wide-resnet', version: '1', tier: 'primary', top: 'n0', indexes: [0, 1, 2, 3, 4] };

    expect(judge(received({}))).toEqual({ ...own, reason: '' });
    expect(judge(received({ degraded: true, reason: 'overload' }, { 'X-Degraded': 'overload' }))).toEqual({
      ...own,
      reason: 'overload',
    });
  });

  const predictions = body.predictions;
  it.each([
    ['no model named', { model: '' }, {}],
    ['no version named', { version: undefined }, {}],
    ['no tier named', { tier: 'third' }, {}],
    ['degraded without reason or reason without degraded', { degraded: true }, {}],
    ['degraded without reason or reason without degraded', { reason: 'overload' }, {}],
    ['unknown reason', { degraded: true, reason: 'mood' }, { 'X-Degraded': 'mood' }],
    ['tier and reason disagree', { tier: 'fallback' }, { 'X-Tier': 'fallback' }],
    ['tier and reason disagree', { degraded: true, reason: 'failover' }, { 'X-Degraded': 'failover' }],
    ['X-Model disagrees', {}, { 'X-Model': 'mobilenet' }],
    ['X-Tier disagrees', {}, { 'X-Tier': 'fallback' }],
    ['X-Degraded disagrees', {}, { 'X-Degraded': 'overload' }],
    ['X-Degraded disagrees', { degraded: true, reason: 'overload' }, {}],
    ['not 5 predictions', { predictions: predictions.slice(1) }, {}],
    ['not 5 predictions', { predictions: null }, {}],
    ['predictions not sorted', { predictions: predictions.toReversed() }, {}],
    ['prediction incomplete', { predictions: predictions.map(({ label, ...rest }) => rest) }, {}],
    ['prediction repeated', { predictions: predictions.map((one) => ({ ...one, index: 3 })) }, {}],
    ['score outside 0 to 1', { predictions: predictions.map((one) => ({ ...one, score: 1.5 })) }, {}],
    ['score outside 0 to 1', { predictions: predictions.map((one) => ({ ...one, score: null })) }, {}],
  ])('finds "%s" in a 200 with %j and headers %j', (fault, changes, otherHeaders) => {
    expect(judge(received(changes, otherHeaders))).toEqual({ fault });
  });

  it('takes anything but a 200 with JSON for a non-answer', () => {
    expect(judge({ status: 0, headers: {}, body: '' })).toEqual({ fault: 'no response' });
    expect(judge({ status: 503, headers: {}, body: '{"code":"BUSY"}' })).toEqual({ fault: 'status 503 BUSY' });
    expect(judge({ status: 400, headers: {}, body: 'bad' })).toEqual({ fault: 'status 400' });
    expect(judge({ status: 200, headers, body: '<html>' })).toEqual({ fault: 'body is no JSON' });
    expect(judge({ status: 200, headers, body: 'null' })).toEqual({ fault: 'no model named' });
  });
});

describe('judgeDigit', () => {
  const probabilities = [0, 0, 0, 0.2, 0, 0, 0, 0.8, 0, 0];

  it('takes the likeliest of ten digits', () => {
    expect(judgeDigit({ digit: 7, probabilities })).toEqual({ top: '7', indexes: [] });
  });

  it.each([
    ['not ten probabilities', { digit: 7, probabilities: probabilities.slice(1) }],
    ['not ten probabilities', { digit: 7, probabilities: [...probabilities.slice(1), '0'] }],
    ['not ten probabilities', { digit: 7 }],
    ['probabilities do not sum to 1', { digit: 7, probabilities: probabilities.map((one) => one / 2) }],
    ['digit is not the likeliest', { digit: 3, probabilities }],
    ['digit is not the likeliest', { probabilities }],
  ])('finds "%s" in %j', (fault, answer) => {
    expect(judgeDigit(answer)).toEqual({ fault });
  });
});

describe('judgeMask', () => {
  const mask = { values: [0, 1, 2, 255], counts: [1, 2, 2, 1] };
  const answer = { width: 3, height: 2, cloudFraction: 0.25, shadowFraction: 0.1, validFraction: 1, mask };

  it('takes a mask with its shares', () => {
    expect(judgeMask(answer)).toEqual({ top: '25 %', indexes: [] });
  });

  it.each([
    ['no shares of the classes', { cloudFraction: 1.5 }],
    ['no shares of the classes', { validFraction: undefined }],
    ['no mask in runs', { mask: undefined }],
    ['no mask in runs', { mask: [[0, 1, 2]] }],
    ['unknown class in the mask', { mask: { ...mask, values: [0, 1, 2, 3] } }],
    ['runs do not cover the mask', { height: 3 }],
  ])('finds "%s" with %j', (fault, changes) => {
    expect(judgeMask({ ...answer, ...changes })).toEqual({ fault });
  });
});

describe('judgeForeign', () => {
  const received = (content: object) => ({ status: 200, headers: {}, body: JSON.stringify(content) });

  it('needs only predictions', () => {
    const { model, predictions } = body;

    expect(judgeForeign(received({ model, predictions }))).toMatchObject({ model, top: 'n0', reason: '' });
    expect(judgeForeign(received({ model, predictions: predictions.slice(1) }))).toEqual({
      fault: 'not 5 predictions',
    });
    expect(judgeForeign({ status: 429, headers: {}, body: '' })).toEqual({ fault: 'status 429' });
    expect(judgeForeign({ status: 200, headers: {}, body: '<html>' })).toEqual({ fault: 'body is no JSON' });
  });
});
