import type { RequestListener } from 'node:http';
import { http as registerHttp } from '@google-cloud/functions-framework';
import { getTestServer } from '@google-cloud/functions-framework/testing';

/** Registers an HTTP function under the name that `--target` and FUNCTION_TARGET use. */
export function registerFunction(name: string, listener: RequestListener): void {
  registerHttp(name, (request, response) => listener(request, response));
}

/**
 * The framework's own handling of requests for a registered function, without its server, signal handlers and process
 * exits. It leaves a body alone that was read before.
 */
export function frameworkListener(name: string): RequestListener {
  const server = getTestServer(name);
  return (request, response) => server.emit('request', request, response);
}
