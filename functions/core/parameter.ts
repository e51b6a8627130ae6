import { Problem } from './problem.ts';

/** The one value of a query's parameter, undefined without any. @throws Problem PARAMETER_INVALID for several */
export function readOne(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length <= 1) return values[0];
  throw new Problem('PARAMETER_INVALID', `Expected one value for ${name} but received ${values.length}`);
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
  const received = JSON.stringify(String(text).slice(0, 40));
  throw new Problem(
    'PARAMETER_INVALID',
    `Expected a whole number from ${min} to ${max} for ${name} but received ${received}`,
  );
}
