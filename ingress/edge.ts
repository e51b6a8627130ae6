import { fileURLToPath } from 'node:url';
import { freePort, freeUdpPort } from './port.ts';
import type { Program } from './supervise.ts';

/** The program that counts the lines of nginx' log, and the address at which it takes them. */
export interface Edge {
  readonly program: Program;
  readonly logServer: string;
  readonly metricsUrl: string;
}

/** The compiled program. */
export const edgeScript = fileURLToPath(new URL('../functions/edge/serve.js', import.meta.url));

/** Undefined where neither metrics of the edge (a port) nor traces (a collector in the environment) are asked for. */
export async function chooseEdge(metricsPort: number | undefined, env: NodeJS.ProcessEnv): Promise<Edge | undefined> {
  const isTraced = Boolean(env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
  if (metricsPort === undefined && !isTraced) return undefined;
  const port = metricsPort ?? (await freePort());
  const logServer = `127.0.0.1:${await freeUdpPort()}`;
  const listen = { LOG_LISTEN: logServer, METRICS_LISTEN: `127.0.0.1:${port}` };
  return {
    program: { name: 'edge', command: [process.execPath, edgeScript], env: { ...env, ...listen } },
    logServer,
    metricsUrl: `http://127.0.0.1:${port}/metrics`,
  };
}
