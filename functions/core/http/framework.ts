import type { RequestListener } from 'node:http';
import { http as registerHttp } from '@google-cloud/functions-framework';

/** Registers an HTTP function under the name that `--target` and FUNCTION_TARGET use. */
export function registerFunction(name: string, listener: RequestListener): void {
  registerHttp(name, (request, response) => listener(request, response));
}
