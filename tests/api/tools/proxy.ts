import { createServer, type IncomingHttpHeaders, request } from 'node:http';
import { listen } from '../../support/listen.ts';

/** What came from the function, to be altered. */
export interface Passing {
  status: number;
  readonly headers: IncomingHttpHeaders;
  body: string;
}

/** A function that is wrong in one way. */
export interface Fault {
  /** Where the request goes in place of its own path and query. */
  readonly redirect?: (url: URL) => void;
  readonly alter?: (passing: Passing) => void;
}

export interface Proxy {
  readonly url: string;
  close(): void;
}

/** Stands in front of a function, and makes its answers wrong. */
export async function startProxy(target: string, { redirect, alter }: Fault): Promise<Proxy> {
  const server = createServer(async (received, response) => {
    const url = new URL(received.url ?? '/', target);
    redirect?.(url);
    const chunks = await received.toArray();
    const asked = request(
      url,
      { method: received.method, headers: received.headers, agent: false },
      async (answered) => {
        const bytes = Buffer.concat(await answered.toArray());
        const headers = Object.fromEntries(Object.entries(answered.headers).filter(([name]) => name !== 'connection'));
        const passing = { status: answered.statusCode ?? 0, headers, body: bytes.toString() };
        try {
          alter?.(passing);
        } catch {
          response.destroy(); // else whoever has asked would wait for ever
          return;
        }
        const body = passing.body === bytes.toString() ? bytes : Buffer.from(passing.body);
        if (received.method !== 'HEAD') headers['content-length'] = String(body.length);
        response.writeHead(passing.status, headers).end(body);
      },
    );
    asked.on('error', () => response.destroy());
    asked.end(Buffer.concat(chunks));
  });
  return {
    url: await listen(server),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
