import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Problem } from '../problem.ts';
import { cutOutsideQuotes, readPair } from './header.ts';

export type Route =
  | { readonly name: 'classify' | 'livez' | 'readyz' | 'metrics' | 'server' | 'live' | 'ready' }
  | { readonly name: 'model' | 'modelReady'; readonly model: string };

/** What a client may ask of one classification. */
export interface RequestParameters {
  /** How many predictions, 1 to 20. */
  readonly top: number;
  /** Milliseconds left of the client's patience when the request arrived here; may be 0 or less. */
  readonly patienceMs: number;
  /** Whether that runs from then on; patience that nobody named or stamped begins when the upload is complete. */
  readonly isTicking: boolean;
  /** Whether the client named its patience, so that running out of it says nothing about this function. */
  readonly namesDeadline: boolean;
  /** Whether only the primary model will do. */
  readonly strict: boolean;
}

const routes: Readonly<Record<string, Route['name']>> = {
  '/classify': 'classify',
  '/livez': 'livez',
  '/readyz': 'readyz',
  '/metrics': 'metrics',
  '/v2': 'server',
  '/v2/health/live': 'live',
  '/v2/health/ready': 'ready',
};

/** The route of a method and a path without its query. @throws Problem ROUTE_NOT_FOUND | METHOD_NOT_ALLOWED */
export function readRoute(method: string, path: string): Route {
  const route = findRoute(path);
  if (!route) throw new Problem('ROUTE_NOT_FOUND', 'Expected a known route for path but received another');
  const allowed = route.name === 'classify' ? ['POST'] : ['GET', 'HEAD'];
  if (allowed.includes(method)) return route;
  const allow = allowed.join(', ');
  throw new Problem('METHOD_NOT_ALLOWED', `Expected ${allow} for method but received another`, { headers: { allow } });
}

function findRoute(path: string): Route | undefined {
  const name = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (name) return { name } as Route;
  const [, model, ready] = /^\/v2\/models\/([A-Za-z0-9._-]+)(\/ready)?$/.exec(path) ?? [];
  return model === undefined ? undefined : { name: ready ? 'modelReady' : 'model', model };
}

/**
 * Reads `?top`, `X-Deadline-Ms` and `Prefer`.
 * @param spentMs what was spent of the patience before, undefined where nobody says so
 * @throws Problem PARAMETER_INVALID
 */
export function readParameters(
  query: URLSearchParams,
  headers: IncomingHttpHeaders,
  deadlineMs: number,
  spentMs: number | undefined,
): RequestParameters {
  const patience = readInteger('X-Deadline-Ms', headers['x-deadline-ms'], deadlineMs, 30_000);
  const tops = query.getAll('top');
  if (tops.length > 1) {
    throw new Problem('PARAMETER_INVALID', `Expected one value for top but received ${tops.length}`);
  }
  return {
    top: readInteger('top', tops[0], 5, 20),
    patienceMs: patience - (spentMs ?? 0),
    isTicking: spentMs !== undefined || headers['x-deadline-ms'] !== undefined,
    namesDeadline: headers['x-deadline-ms'] !== undefined,
    strict: isStrict(headers.prefer),
  };
}

/** The client's request id where it is 1 to 128 of `A-Za-z0-9._-`, else a new one. */
export function readRequestId(headers: IncomingHttpHeaders): string {
  const id = headers['x-request-id'];
  return typeof id === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(id) ? id : randomUUID();
}

function readInteger(name: string, text: string | string[] | undefined, fallback: number, max: number): number {
  if (text === undefined) return fallback;
  if (typeof text === 'string' && /^\d{1,9}$/.test(text) && Number(text) >= 1 && Number(text) <= max) {
    return Number(text);
  }
  const received = JSON.stringify(String(text).slice(0, 40));
  throw new Problem(
    'PARAMETER_INVALID',
    `Expected a whole number from 1 to ${max} for ${name} but received ${received}`,
  );
}

/** The ingress waits 8 s for the primary, connects, and waits 30 s for the fallback: an older stamp is of another clock. */
const oldestStampMs = 40_000;

/**
 * Milliseconds since the ingress' stamp `t=SECONDS.MILLISECONDS`, by our clock; undefined without one, or when it is of another clock.
 * @param nowMs milliseconds since 1970
 */
export function readStampAge(headers: IncomingHttpHeaders, nowMs: number): number | undefined {
  const seconds = /^t=(\d{1,12}\.\d{3})$/.exec(String(headers['x-request-start']))?.[1];
  const ageMs = nowMs - Number(seconds) * 1000;
  return Math.abs(ageMs) <= oldestStampMs ? ageMs : undefined;
}

/** RFC 7240: preferences are separated by commas, the first of a name counts, parameters follow a semicolon. */
function isStrict(prefer: string | string[] | undefined): boolean {
  const preferences = cutOutsideQuotes(String(prefer ?? ''), ',').map((text) => cutOutsideQuotes(text, ';')[0] ?? '');
  const handling = preferences.map(readPair).find(([name]) => name === 'handling');
  return handling?.[1]?.toLowerCase() === 'strict';
}
