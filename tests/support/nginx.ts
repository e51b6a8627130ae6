import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FunctionName } from '../../functions/launch.ts';
import { ensureNginx } from '../../ingress/install.ts';
import { freePort } from '../../ingress/port.ts';
import { type IngressVariables, localVariables, renderIngress, siteName } from '../../ingress/render.ts';
import { buildSite } from '../../ingress/site.ts';

export interface RunningNginx {
  readonly port: number;
  readonly origin: string;
  /** The access line of a request, parsed; nginx writes it after the answer. @throws Error unless there is exactly one within 2 s */
  accessLine(requestId: string): Promise<Record<string, string | number>>;
  /** Its stderr so far. */
  errors(): string;
  stop(): Promise<void>;
}

export interface NginxOptions {
  /** In place of those of the local stack, whose limits per client are raised here. */
  readonly variables?: IngressVariables;
  /** Texts of the configuration and their replacements, for example shorter time-outs. */
  readonly shorten?: Readonly<Record<string, string>>;
}

/** A real nginx with the shipped configuration in front of the ports of these functions. @throws Error where a text to shorten does not occur */
export async function startNginx(
  functions: Readonly<Partial<Record<FunctionName, number>>>,
  options: NginxOptions = {},
): Promise<RunningNginx> {
  const nginx = await ensureNginx();
  const runDir = mkdtempSync(join(tmpdir(), 'understudy-test-'));
  chmodSync(runDir, 0o711); // as root, nginx's workers run as another user
  const port = await freePort();
  const accessLog = join(runDir, 'access.log');
  const generous = { ACCESS_LOG: accessLog, RATE: '10000', BURST: '10000', CONNECTIONS: '1000' };
  let text = renderIngress({ ...localVariables({ runDir, port, functions }), ...generous, ...options.variables });
  for (const [from, to] of Object.entries(options.shorten ?? {})) {
    if (!text.includes(from)) throw new Error(`Expected ${from} in nginx.conf but received none`);
    text = text.replaceAll(from, to);
  }
  writeFileSync(join(runDir, 'nginx.conf'), text);
  buildSite(join(runDir, siteName));

  const child = spawn(nginx, ['-p', runDir, '-c', join(runDir, 'nginx.conf'), '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors += chunk;
  });
  const exited = once(child, 'exit');
  const origin = `http://127.0.0.1:${port}`;
  await untilHealthy(origin, () => child.exitCode === null || Promise.reject(new Error(`nginx exited: ${errors}`)));
  return {
    port,
    origin,
    accessLine: async (requestId) => {
      for (let i = 0; i < 200; i += 1, await sleep(10)) {
        const lines = readFileSync(accessLog, 'utf8').split('\n').slice(0, -1);
        const [line, ...others] = lines.map((text) => JSON.parse(text)).filter((one) => one.requestId === requestId);
        if (others.length > 0) throw new Error(`Expected one access line for ${requestId} but received several`);
        if (line !== undefined) return line;
      }
      throw new Error(`Expected an access line for ${requestId} but received none`);
    },
    errors: () => errors,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
      const lines = existsSync(accessLog) ? readFileSync(accessLog, 'utf8').split('\n').filter(Boolean) : [];
      rmSync(runDir, { recursive: true });
      refuseOtherTypes(lines);
    },
  };
}

/** Every answer to a client must be JSON, a mask or a file of the site, never a page of nginx, whatever the test is about. */
function refuseOtherTypes(lines: readonly string[]): void {
  const isRoute = /^\/(classify|infer|predict|huggingface)/;
  const isFile = ({ method, status, uri }: AccessLine) =>
    /^(GET|HEAD)$/.test(method) && status === 200 && !isRoute.test(uri);
  const isInside = ({ uri }: AccessLine) => /^\/(primary\/)?readyz/.test(uri); // of the listener for the primary's pods alone
  const isBare = ({ bytesOut, status }: AccessLine) => bytesOut === 0 || status === 204; // nginx hung up, or a browser asked whether it may ask
  const isOurs = (line: AccessLine) =>
    isInside(line) ||
    isBare(line) ||
    isFile(line) ||
    /^(application\/(problem\+)?json|image\/\w+)(;|$)/.test(line.type);
  const others = lines.filter((line) => !isOurs(JSON.parse(line)));
  if (others.length > 0) throw new Error(`Expected JSON for every answer of nginx but received ${others.join('\n')}`);
}

interface AccessLine {
  readonly method: string;
  readonly status: number;
  readonly uri: string;
  readonly type: string;
  readonly bytesOut: number;
}

async function untilHealthy(origin: string, isAlive: () => boolean | Promise<never>): Promise<void> {
  for (const end = Date.now() + 10_000; Date.now() < end; await sleep(10)) {
    await isAlive();
    const healthy = await fetch(`${origin}/healthz`).then(
      (response) => response.ok,
      () => false,
    );
    if (healthy) return;
  }
  throw new Error('nginx did not answer within 10 s');
}

/** A socket without a process behind it, as a killed nginx leaves. */
export async function leaveSocket(path: string): Promise<void> {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', program]), 'exit');
}
