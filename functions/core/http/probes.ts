import type { ServerResponse } from 'node:http';
import type { Service } from '../chain/service.ts';
import type { Metrics } from '../observe/metrics.ts';
import { Problem } from '../problem.ts';
import type { Task } from '../task.ts';
import { readDocument } from './document.ts';
import type { Route } from './request.ts';
import { type Sender, send } from './send.ts';

interface State {
  readonly status: number;
  readonly body: object;
}

interface Described {
  /** Of the function. */
  readonly name: string;
  readonly service: Service;
  readonly task: Task;
}

/** Answers the probes, the metadata routes, the metrics and the API's document. @throws Problem ROUTE_NOT_FOUND */
export async function answerProbe(
  state: Described & Sender & { readonly metrics: Metrics },
  response: ServerResponse,
  route: Route,
  requestId: string,
): Promise<void> {
  const headers = { 'x-request-id': requestId, 'cache-control': 'no-store' };
  if (route.name === 'metrics') {
    const { contentType, text } = await state.metrics.expose();
    send(state, response, 200, contentType, text, headers);
    return;
  }
  if (route.name === 'document') {
    send(state, response, 200, 'application/json', readDocument(), headers);
    return;
  }
  const { status, body } = describeState(route, state);
  const reason = status === 503 && { 'x-reason': 'starting' };
  send(state, response, status, 'application/json', JSON.stringify(body), { ...headers, ...reason });
}

/**
 * What the probes and the metadata routes answer; the `/v2` shapes are those of the Open Inference Protocol.
 * @throws Problem ROUTE_NOT_FOUND for a model that this function does not have
 */
function describeState(route: Route, { name, service, task }: Described): State {
  const isDraining = service.isDraining();
  const isReady = service.canAnswer() && !isDraining && !service.isHeldBack();
  const status = isReady ? 200 : 503;
  switch (route.name) {
    case 'home':
      return { status, body: { ...describeReadiness(service), ...(isReady && describeAnswering(service)) } };
    case 'readyz':
      return { status, body: describeReadiness(service) };
    case 'live':
      return { status: 200, body: { live: true } };
    case 'ready':
      return { status, body: { ready: isReady } };
    case 'server':
      return { status: 200, body: { name: `understudy-${name}`, version: '1', extensions: extensionsOf(task) } };
    case 'model':
    case 'modelReady':
      if (task.inference && route.model === task.name) {
        if (route.name === 'modelReady') return { status, body: { name: task.name, ready: isReady } };
        return { status: 200, body: { name: task.name, platform: 'understudy', ...task.inference } };
      }
      return describeModel(route.model, route.name === 'modelReady', service, task);
    default:
      return { status: 200, body: { status: 'alive' } };
  }
}

/** Of the Open Inference Protocol. */
function extensionsOf({ inference }: Task): readonly string[] {
  return inference ? ['binary_tensor_data', 'classification'] : [];
}

function describeReadiness(service: Service): object {
  if (service.isDraining()) return { status: 'draining' };
  if (!service.canAnswer() || service.isHeldBack()) return { status: 'starting' };
  const missing = service.missing();
  return missing.length === 0 ? { status: 'ready' } : { status: 'degraded', missing };
}

/** The first model that can answer. */
function describeAnswering({ chain }: Service): object {
  const { name, version } = chain.models.find(({ pool }) => pool.isReady())?.spec ?? {};
  return { model: name, version };
}

function describeModel(name: string, asksReadiness: boolean, service: Service, task: Task): State {
  const model = service.chain.models.find(({ spec }) => spec.name === name);
  if (!model) throw new Problem('ROUTE_NOT_FOUND', 'Expected a model of this function for path but received another');
  const { spec, pool } = model;
  if (asksReadiness) {
    const ready = pool.isReady() && !service.isDraining();
    return { status: ready ? 200 : 503, body: { name, ready } };
  }
  return { status: 200, body: { name, versions: [spec.version], platform: 'onnx', ...task.describe(spec) } };
}
