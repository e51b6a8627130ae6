import type { Sent } from './client.ts';

/** The headers by which a browser lets a page read an answer. */
const corsNames = [
  'access-control-allow-origin',
  'timing-allow-origin',
  'access-control-expose-headers',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-max-age',
  'access-control-allow-credentials',
];
export const corsOf = (headers: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => corsNames.includes(name)));

export const page = 'https://page.example';
/** What a page of this origin may read. */
export const readable = (origin: string) => ({
  'access-control-allow-origin': origin,
  'timing-allow-origin': origin,
  'access-control-expose-headers':
    'X-Model, X-Model-Version, X-Tier, X-Degraded, X-Cloud-Fraction, X-Shadow-Fraction, X-Valid-Fraction, X-Request-Id, Server-Timing, Allow, ETag, Retry-After, Preference-Applied, Location, Inference-Header-Content-Length',
});
/** What a browser asks before such a page may send a header of the contract. */
export const preflight = (origin: string, path = '/classify'): Sent => ({
  method: 'OPTIONS',
  path,
  body: Buffer.alloc(0),
  headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-deadline-ms' },
});
