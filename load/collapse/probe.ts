import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

/** Task of the probing thread. */
export interface Probing {
  readonly url: string;
  readonly perSecond: number;
  readonly seconds: number;
}

/** Asks from a thread of the generator's, of its priority, so that the times hold no work of a busy client. */
async function probe({ url, perSecond, seconds }: Probing): Promise<readonly number[]> {
  const agent = new Agent({ keepAlive: true });
  const latencies: Promise<number>[] = [];
  for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; await sleep(1000 / perSecond)) {
    latencies.push(askOnce(url, agent));
  }
  return Promise.all(latencies).finally(() => agent.destroy());
}

async function askOnce(url: string, agent: Agent): Promise<number> {
  const startedMs = performance.now();
  const sent = httpRequest(url, { agent });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  await response.toArray();
  return performance.now() - startedMs;
}

parentPort?.postMessage(await probe(workerData as Probing));
