import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureNginx } from '../../ingress/install.ts';
import { freePort } from '../../ingress/port.ts';
import { type IngressSettings, localSettings, renderIngress, templatePath } from '../../ingress/render.ts';

export interface RunningNginx {
  readonly port: number;
  readonly origin: string;
  /** The only access line of a request, parsed; it comes after the answer. @throws Error when there is none within 2 s */
  accessLine(requestId: string): Promise<Record<string, string | number>>;
  /** What it said on stderr so far. */
  errors(): string;
  stop(): Promise<void>;
}

/**
 * A real nginx with the shipped configuration in front of two ports. `shorten` replaces texts of it, so that tests need
 * not sit out the real time-outs. @throws Error where a text to shorten is not in the configuration
 */
export async function startNginx(
  tiers: { readonly primaryPort: number; readonly fallbackPort: number },
  options: { readonly settings?: Partial<IngressSettings>; readonly shorten?: Readonly<Record<string, string>> } = {},
): Promise<RunningNginx> {
  const nginx = await ensureNginx();
  const runDir = mkdtempSync(join(tmpdir(), 'understudy-test-'));
  chmodSync(runDir, 0o711); // started by root, the workers are someone else
  const port = await freePort();
  const accessLog = join(runDir, 'access.log');
  const defaults = { ...localSettings({ runDir, port, ...tiers }), accessLog };
  const generous = { requestsPerSecond: 10_000, burst: 10_000, connections: 1_000 };
  let text = renderIngress(readFileSync(templatePath, 'utf8'), { ...defaults, limits: generous, ...options.settings });
  for (const [from, to] of Object.entries(options.shorten ?? {})) {
    if (!text.includes(from)) throw new Error(`Expected ${from} in nginx.conf but received none`);
    text = text.replaceAll(from, to);
  }
  writeFileSync(join(runDir, 'nginx.conf'), text);

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

/** Whatever a test was about: nothing but JSON may leave the ingress on /classify, never a page of nginx. */
function refuseOtherTypes(lines: readonly string[]): void {
  const isOurs = ({ type, uri, bytesOut }: { type: string; uri: string; bytesOut: number }) =>
    /^application\/(problem\+)?json(;|$)/.test(type) || bytesOut === 0 || !uri.startsWith('/classify');
  const others = lines.filter((line) => !isOurs(JSON.parse(line)));
  if (others.length > 0) throw new Error(`Expected JSON for every answer of nginx but received ${others.join('\n')}`);
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
