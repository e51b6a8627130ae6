import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { ClassifyAsk } from '../../functions/tasks/classify/ask.ts';
import { doors } from '../../functions/tasks/classify/doors.ts';
import { inputsEnvelope, isJson } from '../../functions/tasks/doors/inputs.ts';
import { parseJson, readBase64, readWhole } from '../../functions/tasks/doors/json.ts';

const parse = (text: string) => parseJson('the body', Buffer.from(text));
const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (fault) {
    return (fault as { code?: string }).code ?? fault;
  }
};

describe('parseJson', () => {
  it.each([
    '{}',
    'null',
    '[1,2.5e3,-0]',
    '{"a":"","b":"\\"quoted\\"","c":["\\\\","\\u00e9"],"d":{"e":true}}',
    ' \n{"a" : "ä€😀"}\t',
    `{"a":"${'x'.repeat(1024)}","b":"${'y'.repeat(1025)}"}`,
    `{"a":"${'x'.repeat(3000)}","b":["${'y'.repeat(3000)}","${'z'.repeat(3000)}"]}`,
    `{"a":"${'x\\/'.repeat(3000)}\\\\","b":"${'\\n'.repeat(3000)}"}`,
    JSON.stringify({ inputs: randomBytes(3_000_000).toString('base64'), parameters: { top_k: 5 } }),
  ])('gives what JSON.parse gives', (text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['nothing', ''],
    ['half of an object', '{"a":'],
    ['an open string', `{"a":"${'x'.repeat(5000)}`],
    ['an open string that ends with a backslash', `{"a":"${'x'.repeat(5000)}\\"`],
    ['words', 'hello'],
    ['two values', `"${'x'.repeat(5000)}" "${'x'.repeat(5000)}"`],
    ['a long string with a broken escape', `{"a":"${'x'.repeat(5000)}\\q"}`],
    ['a comma too many', '{"a":1,}'],
    ['a long key without a value', `{"${'x'.repeat(5000)}"}`],
  ])('refuses %s', (_what, text) => {
    expect(codeOf(() => parse(text))).toBe('UPLOAD_MALFORMED');
  });

  it('takes no text of the body for the place of a long string, which 64 kB could have copied 6,000 times', () => {
    const long = `\\/${'A'.repeat(10_000)}`;
    const text = `{"inputs":"${long}","x":[${Array(6000).fill('"\\u00000"').join()}]}`;

    expect(parse(text)).toEqual(JSON.parse(text));
  });

  it('refuses bytes that are no UTF-8', () => {
    expect(codeOf(() => parseJson('the body', Buffer.from([0x22, 0xff, 0x22])))).toBe('UPLOAD_MALFORMED');
  });

  it('parses 65,536 bytes beside long strings, and no more', () => {
    const around = (bytes: number) => `["${'x'.repeat(5000)}",${' '.repeat(bytes - '["\\u00000",]'.length)}1]`;
    const most = 65_536 - 1 + '\\u00000'.length; // the string's place does not count, the 1 does

    expect(parse(around(most))).toEqual(['x'.repeat(5000), 1]);
    expect(codeOf(() => parse(around(most + 1)))).toBe('UPLOAD_MALFORMED');
  });

  it.each([
    ['empty arrays', '[],'],
    ['empty strings', '"",'],
    ['short strings', '"abcdefgh",'],
    ['nested arrays', '['],
    ['escaped quotes', '\\"'],
    ['backslashes', '\\\\'],
  ])('refuses 9 MB of %s before they cost anything', (_what, piece) => {
    const body = Buffer.concat([Buffer.from('["'), Buffer.from(piece.repeat(9_000_000 / piece.length))]);

    expect(codeOf(() => parseJson('the body', body))).toBe('UPLOAD_MALFORMED');
  });
});

describe('readBase64', () => {
  const bytes = Buffer.from([0xff, 0xd8, 0xff, 0xfb, 0xef, 0xbe, 0x00, 0x01]);
  const read = (text: unknown) => readBase64('inputs', text);

  it.each([
    ['base64', '/9j/++++AAE='],
    ['base64 without padding', '/9j/++++AAE'],
    ['its URL-safe form', '_9j_----AAE'],
    ['lines', '/9j/\n++++\r\nAAE=\n'],
    ['a data URL', 'data:image/jpeg;base64,/9j/++++AAE='],
    ['a data URL of any type', 'DATA:;charset=x;base64,/9j/++++AAE='],
  ])('reads %s', (_what, text) => {
    const expected = Buffer.from('/9j/++++AAE=', 'base64');

    expect(read(text)).toEqual(expected);
  });

  it('gives all bytes of every length', () => {
    for (let length = 1; length <= bytes.length; length += 1) {
      const part = bytes.subarray(0, length);
      expect(read(part.toString('base64'))).toEqual(part);
      expect(read(part.toString('base64url'))).toEqual(part);
    }
  });

  it.each<[string, string, unknown]>([
    ['UPLOAD_EMPTY', 'nothing', undefined],
    ['UPLOAD_EMPTY', 'null', null],
    ['UPLOAD_MALFORMED', 'a number', 5],
    ['UPLOAD_MALFORMED', 'an array', ['/9j/']],
    ['UPLOAD_MALFORMED', 'other characters', '/9j/*+++'],
    ['UPLOAD_MALFORMED', 'padding in the middle', '/9j=/+++'],
    ['UPLOAD_MALFORMED', 'a character too many', '/9j/+'],
    ['UPLOAD_MALFORMED', 'a data URL without base64', 'data:image/svg+xml,%3Csvg/%3E'],
    ['PARAMETER_INVALID', 'a URL', 'https://example.org/photo.jpg'],
    ['PARAMETER_INVALID', 'a URL in capitals', 'HTTP://169.254.169.254/latest/meta-data'],
    ['PARAMETER_INVALID', 'a file', 'file:///etc/passwd'],
  ])('answers %s to %s', (code, _what, value) => {
    expect(codeOf(() => read(value))).toBe(code);
  });
});

describe('the envelope of inputs', () => {
  const { open } = inputsEnvelope<{ top: number }>({ top_k: { name: 'top', read: Number } });
  const read = (value: unknown) =>
    codeOf(() => open(Buffer.from(JSON.stringify(value)), { ask: { top: 5 }, headers: {} }));
  const bytes = Buffer.from([1, 2, 3]);

  it.each<[unknown, number]>([
    [{ inputs: 'AQID' }, 5],
    [{ inputs: 'AQID', parameters: {} }, 5],
    [{ inputs: 'AQID', parameters: null, options: { wait_for_model: true } }, 5],
    [{ inputs: 'AQID', parameters: { top_k: 3 } }, 3],
    [{ inputs: 'AQID', parameters: { top_k: null, function_to_apply: null } }, 5],
  ])('opens %j', (value, top) => {
    expect(read(value)).toEqual({ bytes, ask: { top }, query: top === 5 ? {} : { top: String(top) } });
  });

  it.each<[string, unknown]>([
    ['UPLOAD_EMPTY', {}],
    ['UPLOAD_MALFORMED', []],
    ['UPLOAD_MALFORMED', 'AQID'],
    ['UPLOAD_MALFORMED', { inputs: 'AQID', parameters: 5 }],
    ['PARAMETER_INVALID', { inputs: 'AQID', top_k: 3 }],
    ['PARAMETER_INVALID', { inputs: 'AQID', parameters: { function_to_apply: 'sigmoid' } }],
    ['PARAMETER_INVALID', { inputs: 'AQID', parameters: { toString: 1 } }],
  ])('answers %s to %j', (code, value) => {
    expect(read(value)).toBe(code);
  });

  it('is for JSON alone', () => {
    const is = (type: string) => isJson({ 'content-type': type });

    expect([is('application/json'), is('Application/JSON; charset=utf-8')]).toEqual([true, true]);
    expect([is('application/jsonl'), is('image/jpeg'), is(''), isJson({})]).toEqual([false, false, false, false]);
  });
});

describe('readWhole', () => {
  it.each<[unknown, number]>([
    [1, 1],
    [20, 20],
    ['20', 20],
  ])('reads %j', (value, whole) => {
    expect(readWhole('top_k', value, 20)).toBe(whole);
  });

  // The last two have no text: a TypeError and a RangeError would be answered with 500, which opens the breaker.
  it.each([
    ...[0, 21, 1.5, Number.NaN, '', ' 1', true, null, undefined, [5], {}],
    { toString: 1, valueOf: 1 },
    JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`),
  ])('answers PARAMETER_INVALID to others', (value) => {
    expect(codeOf(() => readWhole('top_k', value, 20))).toBe('PARAMETER_INVALID');
  });
});

describe('what a client of a door names wrongly', () => {
  const shy = { toString: 1, valueOf: 1 };
  const bytes = Buffer.from('AQID', 'base64');
  const tensor = { name: 'image', shape: [1], datatype: 'BYTES', data: [bytes.toString('base64')] };

  it.each([
    ['/huggingface', { inputs: 'AQID', parameters: { top_k: shy } }],
    [
      '/v2/models/classify/infer',
      { inputs: [tensor], outputs: [{ name: 'score', parameters: { classification: shy } }] },
    ],
  ])('is no fault of ours at %s', (path, value) => {
    const headers = { 'content-type': 'application/json' };
    const envelope = doors[path]?.envelopeFor?.(headers);
    const ask = { top: 5 } as ClassifyAsk;

    expect(codeOf(() => envelope?.open(Buffer.from(JSON.stringify(value)), { ask, headers }))).toBe(
      'PARAMETER_INVALID',
    );
  });
});
