import type { RequestListener } from 'node:http';
import { http as registerHttp } from '@google-cloud/functions-framework';

/** Registers an HTTP function under the name that `--target` and FUNCTION_TARGET use. */
export function registerFunction(name: string, listener: RequestListener): void {
  registerHttp(name, (request, response) => {
    // The framework answers what is thrown in its domain with a page of its own, and a broken process would go on.
    (process as { domain?: { exit(): void } }).domain?.exit();
    listener(request, response);
  });
}

/** The framework's application for a registered function: all that its own server does with a request but listen for it. */
export async function frameworkListener(name: string): Promise<RequestListener> {
  // Express and its parsers take 60 ms to load, in which the workers load the models.
  const { getTestServer } = await import('@google-cloud/functions-framework/testing');
  const server = getTestServer(name);
  return (request, response) => server.emit('request', request, response);
}
