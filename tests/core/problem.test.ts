import { describe, expect, it } from '@jest/globals';
import { asProblem, Problem, toProblemJson } from '../../functions/core/problem.ts';

describe('Problem', () => {
  it('takes its status from the table', () => {
    expect(new Problem('UPLOAD_UNSUPPORTED', 'detail').status).toBe(415);
  });

  it('keeps the cause out of the answer', () => {
    const problem = new Problem('INTERNAL', 'constant', { cause: new Error('secret') });

    expect(JSON.stringify(toProblemJson(problem, 'id-1'))).not.toContain('secret');
    expect(problem.cause).toBeInstanceOf(Error);
  });
});

describe('asProblem', () => {
  it('returns a Problem as it is', () => {
    const problem = new Problem('BUSY', 'detail');

    expect(asProblem(problem)).toBe(problem);
  });

  it.each([[new TypeError('x is undefined')], ['a string'], [undefined]])('makes INTERNAL of %p', (fault) => {
    const problem = asProblem(fault);

    expect(problem.code).toBe('INTERNAL');
    expect(problem.message).toBe('The request could not be handled');
    expect(problem.cause).toBe(fault);
  });
});

describe('toProblemJson', () => {
  it('has the members of RFC 9457 and the code', () => {
    expect(toProblemJson(new Problem('UPLOAD_EMPTY', 'Expected a file'), 'id-1')).toEqual({
      type: '/problems#upload-empty',
      title: 'Upload empty',
      status: 400,
      detail: 'Expected a file',
      instance: 'id-1',
      code: 'UPLOAD_EMPTY',
    });
  });
});
