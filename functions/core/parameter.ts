import { Problem } from './problem.ts';

/** The one value of a query's parameter, undefined without any. @throws Problem PARAMETER_INVALID for several */
export function readOne(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length <= 1) return values[0];
  throw new Problem('PARAMETER_INVALID', `Expected one value for ${name} but received ${values.length}`);
}

/** 0 or 1 as false or true; false where nothing was given. @throws Problem PARAMETER_INVALID */
export function readFlag(name: string, text: string | undefined): boolean {
  if (text === undefined || text === '0' || text === '1') return text === '1';
  throw unfit('0 or 1', name, text);
}

/** A number from 0 to 1, undefined where nothing was given. @throws Problem PARAMETER_INVALID */
export function readShare(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const share = /^(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (share >= 0 && share <= 1) return share;
  throw unfit('a number from 0 to 1', name, text);
}

/** A whole number from `min` to `max`, or `fallback` where nothing was given. @default min 1 @throws Problem PARAMETER_INVALID */
export function readInteger(
  name: string,
  text: string | readonly string[] | undefined,
  { fallback, min = 1, max }: { readonly fallback: number; readonly min?: number; readonly max: number },
): number {
  if (text === undefined) return fallback;
  if (typeof text === 'string' && /^\d{1,9}$/.test(text) && Number(text) >= min && Number(text) <= max) {
    return Number(text);
  }
  throw unfit(`a whole number from ${min} to ${max}`, name, String(text));
}

function unfit(expected: string, name: string, received: string): Problem {
  const told = JSON.stringify(received.slice(0, 40));
  return new Problem('PARAMETER_INVALID', `Expected ${expected} for ${name} but received ${told}`);
}
