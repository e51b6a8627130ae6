import type { ServerResponse } from 'node:http';
import type { Service } from '../chain/service.ts';
import type { Config } from '../config.ts';

/** What every answer tells of its function. */
export interface Sender {
  readonly service: Pick<Service, 'isDraining'>;
  readonly config: Pick<Config, 'revision'>;
}

/** Sends a whole answer. */
export function send(
  { service, config }: Sender,
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>>,
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    ...(service.isDraining() && { connection: 'close' }),
    ...(config.revision && { 'x-revision': config.revision }),
    ...headers,
  });
  response.end(body);
}
