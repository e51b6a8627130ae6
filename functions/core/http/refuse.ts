import type { IncomingMessage, ServerResponse } from 'node:http';
import { asProblem } from '../problem.ts';
import { encodeProblem } from './door.ts';
import type { Exchange } from './exchange.ts';
import { type Sender, send } from './send.ts';

/**
 * Notes a fault at once and answers it, unless an answer has begun or its client has gone.
 * @param further headers beside those of the problem
 * @param waitMs before the answer leaves
 */
export function refuse(
  sender: Sender,
  request: IncomingMessage & { readonly exchange?: Exchange },
  response: ServerResponse,
  fault: unknown,
  further: Readonly<Record<string, string>> = {},
  waitMs = 0,
): void {
  const problem = asProblem(fault);
  const { exchange } = request;
  if (exchange) exchange.problem = problem;
  const answer = () => {
    if (response.headersSent || response.destroyed) return;
    const requestId = exchange?.requestId ?? '';
    send(sender, response, problem.status, 'application/problem+json', encodeProblem(problem, requestId, exchange), {
      ...problem.headers,
      'x-request-id': requestId,
      ...further,
    });
  };
  if (waitMs > 0) setTimeout(answer, waitMs);
  else answer();
}
