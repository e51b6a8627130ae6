import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ensureNginx } from '../../ingress/install.ts';
import { freePort } from '../../ingress/port.ts';
import { type IngressSettings, localSettings, renderIngress, templatePath } from '../../ingress/render.ts';

const entrypoint = 'ingress/entrypoint.sh';
const template = readFileSync(templatePath, 'utf8');

/** The programs that the script may use, with `true` in the place of nginx where only the configuration matters. */
const tools = mkdtempSync(join(tmpdir(), 'entrypoint-tools-'));
const places = (process.env.PATH ?? '').split(delimiter).filter(Boolean);

function find(program: string): string {
  const path = places.map((place) => join(place, program)).find(exists);
  if (path === undefined) throw new Error(`Expected ${program} in PATH but received none`);
  return path;
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The environment by which the entrypoint makes what `renderIngress` makes of the settings. */
function environmentOf(settings: IngressSettings): Record<string, string> {
  const { primary, fallback, limits } = settings;
  return {
    RUN_DIR: settings.runDir,
    LISTEN: settings.listen,
    WAKE_LISTEN: settings.wakeListen,
    WORKERS: String(settings.workers),
    WORKER_CONNECTIONS: String(settings.workerConnections),
    ACCESS_LOG: settings.accessLog,
    RESOLVER: settings.resolver,
    TRUSTED_PROXIES: settings.trustedProxies.join(','),
    PRIMARY_ADDRESS: primary.address,
    PRIMARY_HOST: primary.host,
    PRIMARY_MAX_CONNS: String(primary.maxConnections),
    FALLBACK_ADDRESS: fallback.address,
    FALLBACK_HOST: fallback.host,
    FALLBACK_MAX_CONNS: String(fallback.maxConnections),
    UNLIMITED: settings.unlimited.join(','),
    RATE: String(limits.requestsPerSecond),
    BURST: String(limits.burst),
    CONNECTIONS: String(limits.connections),
  };
}

/** Names of settings as the environment has them, in what `renderIngress` says of them. */
const variableOf: Readonly<Record<string, string>> = {
  runDir: 'RUN_DIR',
  listen: 'LISTEN',
  wakeListen: 'WAKE_LISTEN',
  workers: 'WORKERS',
  workerConnections: 'WORKER_CONNECTIONS',
  accessLog: 'ACCESS_LOG',
  resolver: 'RESOLVER',
  trustedProxies: 'TRUSTED_PROXIES',
  'primary.address': 'PRIMARY_ADDRESS',
  'primary.host': 'PRIMARY_HOST',
  'primary.maxConnections': 'PRIMARY_MAX_CONNS',
  'fallback.address': 'FALLBACK_ADDRESS',
  'fallback.host': 'FALLBACK_HOST',
  'fallback.maxConnections': 'FALLBACK_MAX_CONNS',
  unlimited: 'UNLIMITED',
  'limits.requestsPerSecond': 'RATE',
  'limits.burst': 'BURST',
  'limits.connections': 'CONNECTIONS',
};

function faultsOf(settings: IngressSettings): string[] {
  try {
    renderIngress(template, settings);
    return [];
  } catch (fault) {
    const lines = (fault as Error).message.split('\n');
    return lines.map((line) => line.replace(/(?<=for )\S+(?= but)/, (name) => variableOf[name] ?? name));
  }
}

interface Ended {
  readonly code: number | null;
  readonly errors: string;
}

let runDir: string;
let settings: IngressSettings;

/** Runs the entrypoint to its end, with nothing in its environment but this. */
function run(env: Readonly<Record<string, string>>): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile('/bin/sh', [entrypoint], { env: { PATH: tools, ...env } }, (_fault, _stdout, errors) =>
      resolve({ code: child.exitCode, errors }),
    );
  });
}

const written = () => readFileSync(join(runDir, 'nginx.conf'), 'utf8');

beforeAll(() => {
  for (const program of ['sed', 'mkdir', 'rm']) symlinkSync(find(program), join(tools, program));
  symlinkSync(find('true'), join(tools, 'nginx'));
});

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'entrypoint-test-'));
  chmodSync(runDir, 0o711); // started by root, nginx' workers are someone else
  settings = localSettings({ runDir, port: 8080, primaryPort: 8081, fallbackPort: 8082 });
});

afterEach(() => rmSync(runDir, { recursive: true }));

afterAll(() => rmSync(tools, { recursive: true }));

describe('entrypoint.sh', () => {
  it.each<[string, Partial<IngressSettings>]>([
    ['the local stack', {}],
    [
      'a cluster',
      {
        listen: '8080',
        wakeListen: '8081',
        workers: 'auto',
        accessLog: '/dev/stdout',
        resolver: '10.96.0.10',
        primary: {
          address: 'kourier-internal.kourier-system.svc.cluster.local:80 resolve',
          host: 'classify-primary.understudy.svc.cluster.local',
          maxConnections: 9_007_199_254_740,
        },
      },
    ],
    ['no access log', { accessLog: 'off' }],
    ['no client without limits', { unlimited: [] }],
    ['one trusted proxy', { trustedProxies: ['10.0.0.0/8'] }],
    ['several trusted proxies', { trustedProxies: ['10.0.0.0/8', '192.168.0.0/16', 'fd00::/8'] }],
    ['name servers with ports and IPv6', { resolver: '[fd00::10]:53' }],
    ['every character that is let through', { listen: 'aZ09_./:@[]+,-' }],
  ])('writes what render.ts writes for %s', async (_what, change) => {
    const changed = { ...settings, ...change };

    expect(await run(environmentOf(changed))).toEqual({ code: 0, errors: '' });
    expect(written()).toBe(renderIngress(template, changed));
  });

  it('takes trusted proxies apart at commas and at blanks', async () => {
    await run({ ...environmentOf(settings), TRUSTED_PROXIES: ' 10.0.0.0/8, 192.168.0.0/16 fd00::/8,' });

    const trustedProxies = ['10.0.0.0/8', '192.168.0.0/16', 'fd00::/8'];
    expect(written()).toBe(renderIngress(template, { ...settings, trustedProxies }));
  });

  it.each([
    ['# none yet\noptions ndots:5\nnameserver 10.96.0.10\nnameserver 10.96.0.11\n', '10.96.0.10'],
    ['nameserver\tfd00::10   # by hand\n', '[fd00::10]'],
  ])('finds the name server of %j', async (text, resolver) => {
    const path = join(runDir, 'resolv.conf');
    writeFileSync(path, text);

    await run({ ...environmentOf(settings), RESOLVER: 'auto', RESOLV_CONF: path });

    expect(written()).toBe(renderIngress(template, { ...settings, resolver }));
  });

  it.each(['search example.org\n', undefined])('says that %j names no name server', async (text) => {
    const path = join(runDir, 'resolv.conf');
    if (text !== undefined) writeFileSync(path, text);

    const ended = await run({ ...environmentOf(settings), RESOLVER: 'auto', RESOLV_CONF: path });

    expect(ended).toEqual({
      code: 1,
      errors: `Expected a nameserver in ${path} for RESOLVER but received none\n`,
    });
  });

  it.each<[string, (good: IngressSettings) => Partial<IngressSettings>]>([
    ['a second directive', () => ({ listen: '80; include /etc/passwd' })],
    ['a variable of nginx', () => ({ accessLog: '/var/log/$remote_addr' })],
    ['a quote and a backslash', () => ({ wakeListen: 'a"b\\c' })],
    ['a second line', () => ({ resolver: '10.96.0.10\n10.96.0.11' })],
    ['what sed would read', () => ({ fallback: { address: 'a|b', host: 'a&b', maxConnections: 1 } })],
    ['a blank', ({ primary }) => ({ primary: { ...primary, address: 'a b resolve' } })],
    ['an address that is nothing but a flag', ({ primary }) => ({ primary: { ...primary, address: ' resolve' } })],
    ['letters beyond ASCII', () => ({ listen: 'äöü' })],
    ['nothing', () => ({ runDir: '', listen: '' })],
    ['half a connection', ({ limits }) => ({ limits: { ...limits, connections: 0.5 } })],
    ['no request, and fewer', ({ limits }) => ({ limits: { ...limits, burst: 0, requestsPerSecond: -1 } })],
    ['a faulty network among good ones', () => ({ trustedProxies: ['10.0.0.0/8', 'a;b'] })],
    [
      'everything, all at once',
      () => ({
        runDir: ';',
        listen: ';',
        wakeListen: ';',
        accessLog: ';',
        resolver: ';',
        trustedProxies: [';'],
        primary: { address: ';', host: ';', maxConnections: 0 },
        workerConnections: 0,
        fallback: { address: ';', host: ';', maxConnections: 0 },
        unlimited: [';'],
        limits: { requestsPerSecond: 0, burst: 0, connections: 0 },
      }),
    ],
  ])('refuses what render.ts refuses, in the same words: %s', async (_what, change) => {
    const changed = { ...settings, ...change(settings) };
    const faults = faultsOf(changed);

    expect(faults.length).toBeGreaterThan(0);
    expect(await run(environmentOf(changed))).toEqual({ code: 1, errors: `${faults.join('\n')}\n` });
    expect(exists(join(runDir, 'nginx.conf'))).toBe(false);
  });

  it.each(['01', '1e3', '+1', '9007199254740993', 'many'])('refuses %s for a number', async (text) => {
    const { code, errors } = await run({ ...environmentOf(settings), RATE: text });

    expect({ code, errors }).toEqual({
      code: 1,
      errors: `Expected a positive integer for RATE but received ${text}\n`,
    });
  });

  it('names every variable that is not set', async () => {
    const { code, errors } = await run({});

    const optional = ['RESOLVER', 'TRUSTED_PROXIES', 'UNLIMITED'];
    const names = Object.keys(environmentOf(settings)).filter((name) => !optional.includes(name));
    expect(
      errors
        .trim()
        .split('\n')
        .map((line) => / for (\S+) but /.exec(line)?.[1]),
    ).toEqual(names);
    expect(code).toBe(1);
  });

  it('says which template it cannot read', async () => {
    expect(await run({ ...environmentOf(settings), TEMPLATE: '/nowhere/nginx.conf' })).toEqual({
      code: 1,
      errors: 'Expected a readable file for TEMPLATE but received "/nowhere/nginx.conf"\n',
    });
  });

  it('names variables without a value and values without a place', async () => {
    const path = join(runDir, 'template');
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the template's own placeholders
    writeFileSync(path, template.replace('${WORKERS}', '${OTHERS} ${PID} ${PID}'));

    expect(await run({ ...environmentOf(settings), TEMPLATE: path })).toEqual({
      code: 1,
      errors:
        'Expected a value for OTHERS but received none\n' +
        'Expected a value for PID but received none\n' +
        'Expected a place in the template for WORKERS but received none\n',
    });
  });

  it('makes its folder where it is missing', async () => {
    const inside = { ...settings, runDir: join(runDir, 'deep', 'inside') };

    expect(await run(environmentOf(inside))).toEqual({ code: 0, errors: '' });
    expect(readFileSync(join(inside.runDir, 'nginx.conf'), 'utf8')).toBe(renderIngress(template, inside));
  });
});

describe('nginx, started by entrypoint.sh', () => {
  it.each(['SIGQUIT', 'SIGTERM'] as const)(
    'takes the place of the shell, answers over left sockets, and ends with %s',
    async (signal) => {
      const port = await freePort();
      const place = { ...settings, listen: `127.0.0.1:${port}`, accessLog: 'off' };
      for (const name of ['primary', 'wake']) await leaveSocket(join(runDir, `${name}.sock`));
      const nginx = await ensureNginx();
      const env = { ...environmentOf(place), PATH: [dirname(nginx), tools].join(delimiter) };
      const child = spawn('/bin/sh', [entrypoint], { env, stdio: ['ignore', 'ignore', 'pipe'] });
      let errors = '';
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        errors += chunk;
      });
      const ended = once(child, 'exit');

      const isHealthy = () =>
        fetch(`http://127.0.0.1:${port}/healthz`).then(
          ({ ok }) => ok,
          () => false,
        );
      let healthy = await isHealthy();
      for (let i = 0; i < 500 && !healthy && child.exitCode === null; i += 1, await sleep(10))
        healthy = await isHealthy();
      const pid = healthy && Number(readFileSync(join(runDir, 'nginx.pid'), 'utf8'));
      child.kill(signal);

      expect({ healthy, errors }).toEqual({ healthy: true, errors: '' });
      expect(pid).toBe(child.pid);
      expect(await ended).toEqual([0, null]);
    },
    15_000,
  );
});

/** A socket with nobody behind it, as a killed nginx leaves. */
async function leaveSocket(path: string): Promise<void> {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', program]), 'exit');
}
