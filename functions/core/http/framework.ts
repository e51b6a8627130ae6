import { AsyncLocalStorage } from 'node:async_hooks';
import domain, { type Domain } from 'node:domain';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import {
  type CloudEventFunctionWithCallback,
  cloudEvent as registerCloudEvent,
  http as registerHttp,
} from '@google-cloud/functions-framework';

/** Registers an HTTP function under the name that `--target` and FUNCTION_TARGET use. */
export function registerFunction(name: string, listener: RequestListener): void {
  domain.create = () => bypass;
  registerHttp(name, listener);
}

/**
 * In place of the framework's domain for each request, which turns an exception into a page of its own, so that a broken process would
 * go on. From the first real one on, Node also calls hooks for every promise: 9 % of the event loop's work for an answer.
 */
const bypass = { on: () => bypass, run: (listen: () => void) => listen() } as unknown as Domain;

/** What becomes of an event. */
export interface EventListener {
  /** Settles when the event is done with: the framework then answers 204, which no platform takes for an event. */
  receive(event: unknown, exchange: EventExchange | undefined): Promise<void>;
  /** Answers that it is not. */
  refuse(exchange: EventExchange, fault: unknown): void;
}

/** The request that brought an event, where our own server took it. */
export interface EventExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

let underWay: AsyncLocalStorage<EventExchange> | undefined;

/** Registers a CloudEvent function; what an event looks like in a request is the framework's business. */
export function registerEventFunction(name: string, { receive, refuse }: EventListener): void {
  underWay = new AsyncLocalStorage();
  function handle(event: unknown, callback: (fault: unknown) => void): void {
    leaveDomain();
    const exchange = underWay?.getStore();
    receive(event, exchange).then(
      () => callback(null),
      (fault) => (exchange ? refuse(exchange, fault) : callback(fault)),
    );
  }
  registerCloudEvent(name, handle as CloudEventFunctionWithCallback);
}

/** A CloudEvent function's answer comes through the domain; what it does must not. */
function leaveDomain(): void {
  (process as { domain?: { exit(): void } }).domain?.exit();
}

/** The framework's application for a registered function: all that its own server does with a request but listen for it. */
export async function frameworkListener(name: string): Promise<RequestListener> {
  // Express and its parsers take 60 ms to load, in which the workers load the models.
  const { getTestServer } = await import('@google-cloud/functions-framework/testing');
  const server = getTestServer(name);
  const pass: RequestListener = (request, response) => server.emit('request', request, response);
  return (request, response) => {
    if (underWay) underWay.run({ request, response }, pass, request, response);
    else pass(request, response);
  };
}
