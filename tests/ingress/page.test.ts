import { execFileSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { headersOf } from '../../ingress/page/ask.ts';
import { writeCalls } from '../../ingress/page/code.ts';
import { tellBytes } from '../../ingress/page/shrink.ts';
import { readServerTiming, splitTime, tellMs } from '../../ingress/page/timing.ts';
import { advise, tellAnswer } from '../../ingress/page/words.ts';

const plain = { path: '/classify', isStrict: false, deadlineMs: undefined, key: '' };
const strict = { path: '/infer?format=rle', isStrict: true, deadlineMs: 750, key: '' };

describe('the waterfall', () => {
  it.each<[string, readonly [string, number][]]>([
    [
      'upload;dur=1.5, decode;dur=20, queue;dur=0, model;dur=30.25',
      [
        ['Upload', 1.5],
        ['Decoding', 20],
        ['Queue', 0],
        ['Model', 30.25],
      ],
    ],
    ['cache;desc="hit;dur"; dur=2 ,miss', [['cache', 2]]],
    ['model;dur=fast', []],
    ['', []],
  ])('reads Server-Timing %j', (header, expected) => {
    expect(readServerTiming(header)).toEqual(expected.map(([name, ms]) => ({ name, ms })));
  });

  it('names the rest, which is never negative', () => {
    expect(splitTime('model;dur=30', 100, false).at(-1)).toEqual({ name: 'Network and edge', ms: 70 });
    expect(splitTime('model;dur=30', 20, false).at(-1)).toEqual({ name: 'Network and edge', ms: 0 });
    expect(splitTime('', 8000, true)).toEqual([{ name: 'Network, edge and primary', ms: 8000 }]);
  });

  it('tells times and sizes', () => {
    expect([0.34, 9.96, 10.4, 1234.5].map(tellMs)).toEqual(['0.3 ms', '10 ms', '10 ms', '1,235 ms']);
    expect([275, 10_692, 12_345_678].map(tellBytes)).toEqual(['275 bytes', '10.4 kB', '11.8 MB']);
  });
});

describe('the call as code', () => {
  it('has the settings as they stand', () => {
    expect(headersOf(plain)).toEqual({});
    expect(headersOf({ ...plain, key: 'a.b' })).toEqual({ 'X-API-Key': 'a.b' });
    expect(headersOf(strict)).toEqual({ Prefer: 'handling=strict', 'X-Deadline-Ms': '750' });
    for (const text of Object.values(writeCalls(strict, 'http://a', 'b.tif'))) {
      expect(text).toContain('http://a/infer?format=rle');
      for (const [name, value] of Object.entries(headersOf(strict))) {
        expect(text).toMatch(new RegExp(`${name}"?: "?${value}`));
      }
    }
  });

  it('is one line of curl without settings', () => {
    expect(writeCalls(plain, 'http://localhost:8080', 'goldfish.jpg').curl).toBe(
      'curl -F image=@goldfish.jpg http://localhost:8080/classify',
    );
  });

  it.each(['my photo.jpg', "it's; rm -rf $HOME `x`.jpg", 'a"b\\c,d.jpg', 'é.jpg', '-x.jpg'])(
    'gets %j through a shell and curl',
    (name) => {
      const { curl } = writeCalls(strict, 'http://127.0.0.1', name);

      const [, form = '', ...others] = execFileSync('sh', ['-c', `printf '%s\\0' ${curl.replace(/^curl /, '')}`], {
        encoding: 'utf8',
      }).split('\0');
      expect(others.slice(0, -1)).toEqual([
        '-H',
        'Prefer: handling=strict',
        '-H',
        'X-Deadline-Ms: 750',
        'http://127.0.0.1/infer?format=rle',
      ]);
      const path = form.replace(/^image=@/, '');
      expect(path.startsWith('"') ? path.slice(1, -1).replace(/\\(.)/g, '$1') : path).toBe(name);
    },
  );

  it.each(["my 'photo'.jpg", 'a"b\\c.jpg', 'é.jpg'])('names %j in Python', (name) => {
    const line = writeCalls(plain, 'http://a', name)
      .Python.split('\n')
      .find((text) => text.startsWith('upload ='));

    expect(JSON.parse(String(/Path\((.*)\)\.read/.exec(String(line))?.[1]))).toBe(name);
  });
});

describe('the words', () => {
  const answer = { model: 'mobilenet', version: '1', tier: 'primary', degraded: true, reason: 'warming' } as const;
  const problem = { code: 'BUSY', status: 503, title: 'Busy', detail: 'Full', requestId: 'r', retryAfter: 2 };

  it('tell who answered and why', () => {
    expect(tellAnswer({ ...answer, degraded: false, reason: null })).toBe('mobilenet, the lead model, answered.');
    expect(tellAnswer(answer)).toBe('mobilenet answered in place of the lead model: the lead model is still loading.');
    expect(tellAnswer({ ...answer, reason: 'later' })).toBe('mobilenet answered in place of the lead model: of later.');
  });

  it('tell what to do', () => {
    expect(advise(problem)).toMatch(/nothing is wrong with your photo\. Try again in 2 s\.$/);
    expect(advise({ ...problem, code: 'NEW', retryAfter: undefined })).toBe('Ask again, or choose another file.');
  });
});
