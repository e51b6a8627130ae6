import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCommand } from '../ingress/command.ts';
import { startFunction } from './function.ts';
import { cpuSecondsOf, residentMib, statFields } from './proc.ts';
import { machine, median, print, table } from './report.ts';

readCommand(
  'Usage: node dist/load/traces.js\n\nWhat traces cost a fallback: start, memory, processor time of a request.',
  {},
);

/** With and without take turns, so that other load on the machine falls on both. */
const rounds = 7;
const requests = 400;
/** Longer than a batch is gathered: the last one counts too. */
const settleMs = 1500;

const photo = Uint8Array.from(readFileSync('tests/images/test_image_1.jpg'));

interface Figures {
  readonly startMs: number;
  readonly startCpuMs: number;
  readonly requestCpuMs: number;
  readonly mib: number;
}

async function measure(endpoint: string): Promise<Figures> {
  const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, WORKERS: '1' };
  const { origin, process, startedMs, untilReady, kill } = await startFunction('fallback', { variables });
  const pid = process.pid as number;
  const cpuMs = () => cpuSecondsOf(statFields(pid)) * 1000;
  const post = async (count: number) => {
    for (let i = 0; i < count; i += 1) {
      const headers = { 'content-type': 'image/jpeg' };
      const response = await fetch(`${origin}/classify`, { method: 'POST', headers, body: photo });
      await response.arrayBuffer();
    }
  };
  try {
    await untilReady();
    await post(1); // the exporter is loaded with the first span
    const startMs = performance.now() - startedMs;
    await sleep(settleMs);
    const startCpuMs = cpuMs();
    await post(requests);
    await sleep(settleMs);
    return { startMs, startCpuMs, requestCpuMs: (cpuMs() - startCpuMs) / requests, mib: residentMib(pid) };
  } finally {
    await kill();
  }
}

let spans = 0;
const collector = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  spans += JSON.parse(Buffer.concat(chunks).toString()).resourceSpans[0].scopeSpans[0].spans.length;
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
});
await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
const found: Record<string, Figures[]> = { without: [], with: [] };
for (let round = 0; round < rounds; round += 1) {
  found.without?.push(await measure(''));
  found.with?.push(await measure(endpoint));
}
collector.close();
collector.closeAllConnections();
print(machine());
const columns = ['startMs', 'startCpuMs', 'requestCpuMs', 'mib'] as const;
const rows = Object.entries(found).map(([name, figures]) => [
  name,
  ...columns.map((column) => median(figures.map((one) => one[column])).toFixed(column === 'requestCpuMs' ? 2 : 0)),
]);
print(table(['traces', 'first answer, ms', 'CPU of a start, ms', 'CPU of a request, ms', 'MiB'], rows));
print(`${spans} spans arrived of ${rounds} runs of ${requests + 1} requests.\n`);
