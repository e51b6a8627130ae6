import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { ConfigError } from '../core/config.ts';
import { createTraces } from '../core/observe/traces.ts';
import { openReading } from '../core/reading.ts';
import { readTraceConfig } from '../core/telemetry.ts';
import { createEdgeMetrics } from './metrics.ts';
import { spansOfVisit } from './spans.ts';
import { readVisit } from './visit.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Bytes of messages that wait to be read: some thousand lines, which the system halves or doubles as it likes. */
const receiveBytes = 4 * 1024 * 1024;
/** Half of what `npm start` grants it to end. */
const maxFlushMs = 1000;

/** HOST:PORT, an IPv6 host in brackets. */
function readAddress(text: string): Address | undefined {
  const [, host, port] = /^(\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/i.exec(text) ?? [];
  return host === undefined || Number(port) > 65_535
    ? undefined
    : { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** @throws ConfigError that names every faulty variable */
function readSettings(env: NodeJS.ProcessEnv) {
  const { expect, faults } = openReading(env);
  const address = (name: string, fallback: string): Address => {
    const found = readAddress(env[name] || fallback);
    expect(found !== undefined, 'HOST:PORT', name, env[name]);
    return found ?? { host: '', port: 0 };
  };
  const settings = {
    log: address('LOG_LISTEN', '127.0.0.1:5140'),
    metrics: address('METRICS_LISTEN', '127.0.0.1:9113'),
    traces: readTraceConfig(env, expect),
  };
  if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  return settings;
}

const say = (text: string): boolean => process.stderr.write(`edge: ${text}\n`);

async function run(): Promise<void> {
  const { log, metrics: listen, traces: collector } = readSettings(process.env);
  const metrics = createEdgeMetrics();
  let isFailing = false;
  const traces =
    collector &&
    createTraces({
      ...collector,
      resource: { 'service.name': 'understudy-ingress', ...collector.resource },
      onEnd(outcome, count, fault) {
        metrics.countSpans(outcome, count);
        if (outcome === 'dropped' && !isFailing) say(`spans dropped: ${fault ?? 'too many'}`);
        isFailing = outcome === 'dropped';
      },
    });
  const socket = createSocket({ type: log.host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: receiveBytes });
  socket.on('message', (message) => {
    const visit = readVisit(message.toString());
    metrics.count(visit);
    if (visit?.isSampled) traces?.add(spansOfVisit(visit));
  });
  socket.bind(log.port, log.host);
  await once(socket, 'listening');
  const server = createServer(async ({ method, url }, response) => {
    if (url !== '/metrics') return response.writeHead(404).end();
    if (method !== 'GET' && method !== 'HEAD') return response.writeHead(405, { allow: 'GET, HEAD' }).end();
    const { contentType, text } = await metrics.expose();
    return response.writeHead(200, { 'content-type': contentType }).end(text);
  });
  server.listen(listen.port, listen.host);
  await once(server, 'listening');
  const end = async () => {
    socket.close();
    server.close();
    server.closeAllConnections();
    await traces?.close(maxFlushMs);
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

run().catch((fault: Error) => {
  say(fault.message);
  process.exit(1);
});
