import { once } from 'node:events';
import type { Server } from 'node:net';

/** The address of a server that begins to listen, on a free port of this machine. */
export async function listen(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}
