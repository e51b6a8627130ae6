import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * The operator port of `npm start`: the page's buttons that break the primary function. It is no route of the product and listens on
 * loopback. Any website that its user opens could send requests to it, hence: only POST, only from the page's own origin, only to the
 * address by which the page knows it (a name that resolves to loopback later has another), and with a header for which a browser asks
 * the port first.
 */
export interface Operator {
  /** Where it listens, as the page has to name it. */
  readonly origin: string;
  /** Ends the fault that lasts, and all connections. */
  close(): void;
}

/** What breaks: a process that its supervisor starts again. */
export interface Breakable {
  /** Nothing comes of it between two runs. */
  signal(signal: NodeJS.Signals): void;
}

/** Longer than the 8 s after which nginx leaves a silent primary, and than a client's usual patience. */
const freezeMs = 9_000;
const slowMs = 20_000;
/** Of each period, how long a slow process runs: a tenth of its speed. */
const slice = { periodMs: 100, runsMs: 10 };

/** The header that no form and no simple request has. */
export const operatorHeader = 'understudy-operator';

/** Opens the port, on one that is free. `pagePort` is that of the page, `find` gets the process of the primary. */
export async function openOperator(pagePort: number, find: () => Breakable | undefined): Promise<Operator> {
  const faults = breakProcess(find);
  const server = createServer({ requestTimeout: 5_000 }, (request, response) => {
    request.resume();
    answer(request, response, addressOf(server), pagePort, faults.begin);
  });
  server.maxConnections = 16; // a page has six
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return {
    origin: `http://${addressOf(server)}`,
    close() {
      faults.end();
      server.close();
      server.closeAllConnections();
    },
  };
}

function addressOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `${address}:${port}`;
}

const faultNames = ['kill', 'freeze', 'slow'] as const;
type FaultName = (typeof faultNames)[number];

/** One fault at a time; each ends by itself, and a new one ends the one before. */
function breakProcess(find: () => Breakable | undefined) {
  let timers: NodeJS.Timeout[] = [];
  const end = (): void => {
    if (timers.length === 0) return; // whoever else has stopped it goes on
    for (const timer of timers) clearTimeout(timer);
    timers = [];
    find()?.signal('SIGCONT');
  };
  const begin = (fault: FaultName): string => {
    end();
    if (fault === 'kill') {
      find()?.signal('SIGKILL');
      return 'The primary function is killed. It starts again at once and needs a second or two to load its models.';
    }
    find()?.signal('SIGSTOP');
    const lastsMs = fault === 'freeze' ? freezeMs : slowMs;
    timers.push(setTimeout(end, lastsMs));
    if (fault === 'freeze') return `The primary function is frozen for ${lastsMs / 1000} s.`;
    timers.push(
      setInterval(() => {
        find()?.signal('SIGCONT');
        timers[2] = setTimeout(() => find()?.signal('SIGSTOP'), slice.runsMs);
      }, slice.periodMs),
    );
    return `The primary function runs at a tenth of its speed for ${lastsMs / 1000} s.`;
  };
  return { begin, end };
}

type Refusal = readonly [status: number, message: string];

/** Why a request is none of the page's; undefined where it is one. */
function refusalOf(
  { method, headers }: IncomingMessage,
  address: string,
  pages: readonly string[],
): Refusal | undefined {
  if (headers.host !== address) return [403, `Expected ${address} for Host but received another`];
  if (!pages.includes(headers.origin ?? '')) {
    return [403, `Expected ${pages.join(' or ')} for Origin but received another`];
  }
  if (method === 'OPTIONS') return undefined; // a browser asks before it sends the header
  if (method !== 'POST') return [405, 'Expected POST for method but received another'];
  if (headers[operatorHeader] === 'page') return undefined;
  return [403, `Expected page for ${operatorHeader} but received another`];
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
  pagePort: number,
  begin: (fault: FaultName) => string,
): void {
  const say = (status: number, message: string): void => {
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    response.end(JSON.stringify({ message }));
  };
  const refusal = refusalOf(request, address, [`http://localhost:${pagePort}`, `http://127.0.0.1:${pagePort}`]);
  if (refusal !== undefined) {
    say(...refusal);
    return;
  }
  response.setHeader('access-control-allow-origin', request.headers.origin as string);
  response.setHeader('vary', 'origin');
  if (request.method === 'OPTIONS') {
    response.setHeader('access-control-allow-methods', 'POST');
    response.setHeader('access-control-allow-headers', operatorHeader);
    response.writeHead(204).end();
    return;
  }
  const fault = faultNames.find((name) => request.url === `/${name}`);
  if (fault === undefined) say(404, 'Expected /kill, /freeze or /slow for path but received another');
  else say(200, begin(fault));
}
