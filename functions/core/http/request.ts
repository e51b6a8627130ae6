import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { readInteger } from '../parameter.ts';
import { Problem } from '../problem.ts';
import type { Door } from '../task.ts';
import { readPreference } from './prefer.ts';

export type Route =
  | { readonly name: 'task'; readonly door?: Door }
  | { readonly name: 'home' | 'document' | 'livez' | 'readyz' | 'metrics' | 'server' | 'live' | 'ready' }
  | { readonly name: 'model' | 'modelReady'; readonly model: string }
  | { readonly name: 'job' | 'jobResult'; readonly id: string };

/** What a client may ask of any task. */
export interface RequestParameters {
  /** Milliseconds left of the client's patience when the request arrived here; may be 0 or less. */
  readonly patienceMs: number;
  /** Whether that runs from then on; patience that was neither named nor stamped begins when the upload is complete. */
  readonly isTicking: boolean;
  /** Whether the client named its patience, so that running out of it says nothing about this function. */
  readonly namesDeadline: boolean;
  /** Whether only the primary model will do. */
  readonly strict: boolean;
}

const probes: Readonly<Record<string, Route['name']>> = {
  '/': 'home',
  '/openapi.json': 'document',
  '/livez': 'livez',
  '/readyz': 'readyz',
  '/metrics': 'metrics',
  '/v2': 'server',
  '/v2/health/live': 'live',
  '/v2/health/ready': 'ready',
};

/**
 * The route of a method and a path without its query.
 * @param taskPath where the function's task is POSTed or PUT to
 * @param doors its other paths
 * @throws Problem ROUTE_NOT_FOUND | METHOD_NOT_ALLOWED
 */
export function readRoute(
  method: string,
  path: string,
  taskPath: string,
  doors: Readonly<Record<string, Door>> = {},
): Route {
  const route = findWayIn(path, taskPath, doors) ?? findProbe(path);
  if (!route) throw new Problem('ROUTE_NOT_FOUND', 'Expected a known route for path but received another');
  // PUT is what `curl -T photo.jpg` sends.
  const allowed = route.name === 'task' ? ['POST', 'PUT'] : ['GET', 'HEAD'];
  judgeMethod(method, allowed);
  return route;
}

/** @throws Problem METHOD_NOT_ALLOWED */
export function judgeMethod(method: string, allowed: readonly string[]): void {
  if (allowed.includes(method)) return;
  const allow = allowed.join(', ');
  throw new Problem('METHOD_NOT_ALLOWED', `Expected ${allow} for method but received another`, { headers: { allow } });
}

function findWayIn(path: string, taskPath: string, doors: Readonly<Record<string, Door>>): Route | undefined {
  if (path === taskPath) return { name: 'task' };
  const door = Object.hasOwn(doors, path) ? doors[path] : undefined;
  return door && { name: 'task', door };
}

function findProbe(path: string): Route | undefined {
  const name = Object.hasOwn(probes, path) ? probes[path] : undefined;
  if (name) return { name } as Route;
  const [, model, ready] = /^\/v2\/models\/([A-Za-z0-9._-]+)(\/ready)?$/.exec(path) ?? [];
  return model === undefined ? undefined : { name: ready ? 'modelReady' : 'model', model };
}

/** A target is a path or, to a proxy, a whole URL, of which the path counts (RFC 9112 3.2); `*` is neither. */
export function readUrl({ url = '' }: { readonly url?: string | undefined }): URL {
  const whole = url.startsWith('/') ? `http://localhost${url}` : url;
  return new URL(/^https?:/i.test(whole) && URL.canParse(whole) ? whole : 'http://localhost/unreadable');
}

/**
 * Reads `X-Deadline-Ms` and `Prefer`.
 * @param deadlineMs patience of a client that names none
 * @param spentMs what was spent of the patience before, undefined where nothing says so
 * @param longestMs the most that a client may name
 * @throws Problem PARAMETER_INVALID
 */
export function readParameters(
  headers: IncomingHttpHeaders,
  deadlineMs: number,
  spentMs: number | undefined,
  longestMs = 30_000,
): RequestParameters {
  const named = headers['x-deadline-ms'];
  return {
    patienceMs: readInteger('X-Deadline-Ms', named, { fallback: deadlineMs, max: longestMs }) - (spentMs ?? 0),
    isTicking: spentMs !== undefined || named !== undefined,
    namesDeadline: named !== undefined,
    strict: readPreference(headers.prefer, 'handling')?.toLowerCase() === 'strict',
  };
}

/** The client's request id where it is 1 to 128 of `A-Za-z0-9._-`, else a new one. */
export function readRequestId(headers: IncomingHttpHeaders): string {
  const id = headers['x-request-id'];
  return typeof id === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(id) ? id : randomUUID();
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
