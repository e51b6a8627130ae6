import { Problem } from '../../core/problem.ts';
import { imageProblem } from '../image/problems.ts';

export function unsupported(expected: string, received: string): Problem {
  return imageProblem('IMAGE_UNSUPPORTED', `Expected ${expected} for the upload but received ${received}`);
}

export function unreadable(received = 'one that cannot be decoded', cause?: unknown): Problem {
  const detail = `Expected a complete and valid GeoTIFF for the upload but received ${received}`;
  return imageProblem('IMAGE_UNREADABLE', detail, { cause });
}

/** What a client has to say because the file does not. */
export function unknown(name: string, expected: string, received: string): Problem {
  return new Problem('PARAMETER_INVALID', `Expected ${expected} for ${name} but received ${received}`);
}
