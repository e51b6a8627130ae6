import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ensureNginx } from '../../ingress/install.ts';
import { freePort } from '../../ingress/port.ts';
import { type IngressVariables, localVariables, renderIngress, templatePath } from '../../ingress/render.ts';
import { leaveSocket } from '../support/nginx.ts';

/** The programs that the script may use, with `true` as nginx where only the configuration matters. */
const tools = mkdtempSync(join(tmpdir(), 'entrypoint-tools-'));

let runDir: string;
let variables: IngressVariables;

/** Runs the entrypoint to its end with nothing in its environment but these variables. */
function run(env: IngressVariables, ...args: readonly string[]) {
  return new Promise<{ code: number | null; text: string; errors: string }>((resolve) => {
    const options = { env: { PATH: tools, ...env } };
    const child = execFile('/bin/sh', ['ingress/entrypoint.sh', ...args], options, (_fault, text, errors) =>
      resolve({ code: child.exitCode, text, errors }),
    );
  });
}

const functions = { primary: 8081, fallback: 8082, clouds: 8083, digits: 8084 };
const place = (folder: string) => localVariables({ runDir: folder, port: 8080, functions });
const refused = (name: string, received: string) =>
  `Expected letters, digits and _./:@[]+,- for ${name} but received ${received}`;
const refusedCount = (name: string, received: string) =>
  `Expected a positive integer for ${name} but received ${received}`;

beforeAll(() => {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  for (const [program, name] of ['sed', 'mkdir', 'rm', 'true'].map((one) => [one, one === 'true' ? 'nginx' : one])) {
    const path = folders.map((folder) => join(folder, String(program))).find((path) => existsSync(path));
    symlinkSync(String(path), join(tools, String(name)));
  }
});

beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'entrypoint-test-'));
  chmodSync(runDir, 0o711); // as root, nginx's workers run as another user
  variables = place(runDir);
});

afterEach(() => rmSync(runDir, { recursive: true }));

afterAll(() => rmSync(tools, { recursive: true }));

describe('entrypoint.sh', () => {
  const gateway = 'kourier-internal.kourier-system.svc.cluster.local:80 resolve';

  it.each<[string, IngressVariables, readonly string[]]>([
    ['the local stack', {}, ['listen 127.0.0.1:8080;', 'server 127.0.0.1:8081 max_fails=0 max_conns=72;']],
    ['an access log', {}, ['access_log /dev/stdout request;']],
    ['no access log', { ACCESS_LOG: 'off' }, ['access_log off;    ']],
    ['exempt networks', {}, ['default 1;\n    127.0.0.0/8 0; ::1 0;\n']],
    ['no exempt network', { UNLIMITED: '' }, ['default 1;\n    \n']],
    ['a gateway by name', { PRIMARY_ADDRESS: gateway }, [`server ${gateway} max_fails=0 max_conns=72;`]],
    ['a name server', { RESOLVER: '[fd00::10]:53' }, ['\n  resolver [fd00::10]:53 valid=10s;\n']],
    ['one trusted proxy', { TRUSTED_PROXIES: '10.0.0.0/8' }, ['\n    set_real_ip_from 10.0.0.0/8; real_ip_header X-F']],
    [
      'networks apart at commas and at blanks',
      { TRUSTED_PROXIES: ' 10.0.0.0/8, 192.168.0.0/16 fd00::/8,' },
      ['set_real_ip_from 10.0.0.0/8; set_real_ip_from 192.168.0.0/16; set_real_ip_from fd00::/8; real_ip_header'],
    ],
    ['the systems that are deployed', { CLOUDS_ADDRESS: '' }, [`{"systems":["classify","digits"],"operator":""}`]],
    [
      'an operator port',
      { OPERATOR: 'http://127.0.0.1:9' },
      [`"operator":"http://127.0.0.1:9"`, ` 'self' http://127.0.0.1:9;`],
    ],
    ['every trace', {}, ['split_clients $request_id $sampled { * 01; }']],
    ['no trace', { TRACE_SHARE: '0' }, ['$sampled { * 00; }']],
    ['a hundredth of a per cent', { TRACE_SHARE: '0.01' }, ['$sampled { 0.01% 01; * 00; }']],
    ['99 per cent', { TRACE_SHARE: '99' }, ['$sampled { 99% 01; * 00; }']],
    [
      'a second reader of the log',
      { LOG_SERVER: '127.0.0.1:5140' },
      ['access_log syslog:server=127.0.0.1:5140,nohostname,tag=understudy request;'],
    ],
    ['every character that passes', { LISTEN: 'aZ09_./:@[]+,-' }, ['listen aZ09_./:@[]+,-;']],
  ])('renders %s', async (_what, change, expected) => {
    const { code, text, errors } = await run({ ...variables, ...change }, 'render');

    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    for (const one of expected) expect(text.replace(/ # .*/g, '    ')).toContain(one);
    expect(text).not.toContain('$' + '{');
    expect(/resolver /.test(text)).toBe('RESOLVER' in change);
    expect(/syslog:/.test(text)).toBe('LOG_SERVER' in change);
    expect(/set_real_ip_from/.test(text)).toBe('TRUSTED_PROXIES' in change);
    expect(text).toBe(renderIngress({ ...variables, ...change }));
  });

  it('writes what it renders, into a folder that it creates', async () => {
    const inside = place(join(runDir, 'deep', 'inside'));

    expect(await run(inside)).toEqual({ code: 0, text: '', errors: '' });
    expect(readFileSync(join(runDir, 'deep', 'inside', 'nginx.conf'), 'utf8')).toBe(renderIngress(inside));
  });

  it.each([
    ['# none yet\noptions ndots:5\nnameserver 10.96.0.10\nnameserver 10.96.0.11\n', 'resolver 10.96.0.10 valid=10s;'],
    ['nameserver\tfd00::10   # by hand\n', 'resolver [fd00::10] valid=10s;'],
    ['search example.org\n', undefined],
    [undefined, undefined],
  ])('reads the name server of %j', async (text, expected) => {
    const path = join(runDir, 'resolv.conf');
    if (text !== undefined) writeFileSync(path, text);

    const rendered = await run({ ...variables, RESOLVER: 'auto', RESOLV_CONF: path }, 'render');

    const fault = `Expected a nameserver in ${path} for RESOLVER but received none\n`;
    expect([rendered.code, rendered.errors]).toEqual(expected === undefined ? [1, fault] : [0, '']);
    if (expected !== undefined) expect(rendered.text).toContain(expected);
  });

  it.each<[string, IngressVariables, readonly string[]]>([
    ['a second directive', { LISTEN: '80; include a' }, [refused('LISTEN', '"80; include a"')]],
    ['a variable of nginx', { ACCESS_LOG: '/log/$host' }, [refused('ACCESS_LOG', '"/log/$host"')]],
    ['a quote and a backslash', { WAKE_LISTEN: 'a"b\\c' }, [refused('WAKE_LISTEN', String.raw`"a\"b\\c"`)]],
    ['a second line', { RESOLVER: '10.0.0.1\n10.0.0.2' }, [refused('RESOLVER', String.raw`"10.0.0.1\n10.0.0.2"`)]],
    [
      'what sed would interpret',
      { FALLBACK_ADDRESS: 'a|b', FALLBACK_HOST: 'a&b' },
      [refused('FALLBACK_ADDRESS', '"a|b"'), refused('FALLBACK_HOST', '"a&b"')],
    ],
    ['a blank', { PRIMARY_ADDRESS: 'a b resolve' }, [refused('PRIMARY_ADDRESS', '"a b"')]],
    ['only a flag', { PRIMARY_ADDRESS: ' resolve' }, [refused('PRIMARY_ADDRESS', '""')]],
    ['letters beyond ASCII', { PRIMARY_HOST: 'äöü' }, [refused('PRIMARY_HOST', '"äöü"')]],
    ['nothing', { RUN_DIR: '', LISTEN: '' }, [refused('RUN_DIR', '""'), refused('LISTEN', '""')]],
    [
      'no folder, and a second source',
      { SITE: '', OPERATOR: 'a b' },
      [refused('SITE', '""'), refused('OPERATOR', '"a b"')],
    ],
    ['a wrong network among others', { TRUSTED_PROXIES: '10.0.0.0/8,a;b' }, [refused('TRUSTED_PROXIES', '"a;b"')]],
    ['a wrong reader', { LOG_SERVER: 'a;b' }, [refused('LOG_SERVER', '"a;b"')]],
    [
      'a reader without a log',
      { LOG_SERVER: '127.0.0.1:5140', ACCESS_LOG: 'off' },
      ['Expected a path for ACCESS_LOG, beside a LOG_SERVER, but received off'],
    ],
    [
      'that nothing is deployed',
      { PRIMARY_ADDRESS: '', CLOUDS_ADDRESS: '', DIGITS_ADDRESS: '' },
      ['Expected an address for PRIMARY_ADDRESS, CLOUDS_ADDRESS or DIGITS_ADDRESS but received none'],
    ],
    ['a wrong exemption', { UNLIMITED: '10.0.0.0/8;' }, [refused('UNLIMITED', '"10.0.0.0/8;"')]],
    ...['', '101', '0.0', '00', '-1', '10.5', '1.234', 'all'].map((share): [string, IngressVariables, string[]] => [
      `${share || 'nothing'} per cent of all traces`,
      { TRACE_SHARE: share },
      [`Expected 0 to 100, below 10 with two decimals at most, for TRACE_SHARE but received "${share}"`],
    ]),
    ['half a connection', { CONNECTIONS: '0.5' }, [refusedCount('CONNECTIONS', '0.5')]],
    ['no number', { RATE: '', BURST: 'many' }, [refusedCount('RATE', 'none'), refusedCount('BURST', 'many')]],
    ['no request, and fewer', { RATE: '-1', BURST: '0' }, [refusedCount('RATE', '-1'), refusedCount('BURST', '0')]],
    ['another notation', { RATE: '1e3', BURST: '01' }, [refusedCount('RATE', '1e3'), refusedCount('BURST', '01')]],
    ['a sign', { PRIMARY_MAX_CONNS: '+1' }, [refusedCount('PRIMARY_MAX_CONNS', '+1')]],
    ['too large a number', { RATE: '9007199254740993' }, [refusedCount('RATE', '9007199254740993')]],
    [
      'a template that it cannot read, beside another fault',
      { TEMPLATE: '/nowhere/nginx.conf', RATE: '0' },
      [refusedCount('RATE', '0'), 'Expected a readable file for TEMPLATE but received "/nowhere/nginx.conf"'],
    ],
  ])('refuses %s', async (_what, change, faults) => {
    expect(await run({ ...variables, ...change })).toEqual({ code: 1, text: '', errors: `${faults.join('\n')}\n` });
    expect(existsSync(join(runDir, 'nginx.conf'))).toBe(false);
    expect(() => renderIngress({ ...variables, ...change })).toThrow(faults.join('\n'));
  });

  it('names every variable that is not set', async () => {
    const addresses = { PRIMARY_ADDRESS: 'a', CLOUDS_ADDRESS: 'b', DIGITS_ADDRESS: 'c' };

    const { code, errors } = await run(addresses);

    const switches = ['CORS_ORIGINS', 'API_KEYS_FILE'];
    const optional = [...switches, 'RESOLVER', 'LOG_SERVER', 'TRUSTED_PROXIES', 'UNLIMITED', ...Object.keys(addresses)];
    const lines = errors.trim().split('\n');
    expect(lines.map((line) => / for (\S+) but /.exec(line)?.[1]).sort()).toEqual(
      Object.keys(variables)
        .filter((name) => !optional.includes(name))
        .sort(),
    );
    expect(code).toBe(1);
  });

  it('leaves out what is not deployed, and reads no variable of it', async () => {
    const { PRIMARY_MAX_CONNS, FALLBACK_ADDRESS, WAKE_LISTEN, CLOUDS_HOST, ...others } = variables;

    const { code, text, errors } = await run({ ...others, PRIMARY_ADDRESS: '', CLOUDS_ADDRESS: '' }, 'render');

    expect([code, errors]).toEqual([0, '']);
    expect(text).not.toMatch(
      /upstream (primary|fallback|tiers|clouds)|= \/(classify|infer)|wake\.sock|\[(classify|clouds)/,
    );
    expect(text).toContain('location = /predict {');
  });

  it('names variables without a value and values without a place', async () => {
    const path = join(runDir, 'template');
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the template's own placeholders
    const text = readFileSync(templatePath, 'utf8').replace('${WORKERS}', '${OTHERS} ${PID} ${PID}');
    writeFileSync(path, text);

    const { code, errors } = await run({ ...variables, TEMPLATE: path });

    expect(code).toBe(1);
    expect(errors.trim().split('\n')).toEqual([
      'Expected a value for OTHERS but received none',
      'Expected a value for PID but received none',
      'Expected a place in the template for WORKERS but received none',
    ]);
  });
});

describe('nginx, started by entrypoint.sh', () => {
  it.each(['SIGQUIT', 'SIGTERM'] as const)(
    'replaces the shell, starts over old sockets, ends with %s',
    async (signal) => {
      const port = await freePort();
      for (const name of ['primary', 'wake', 'alone']) await leaveSocket(join(runDir, `${name}.sock`));
      const path = [dirname(await ensureNginx()), tools].join(delimiter);
      const env = { ...variables, LISTEN: `127.0.0.1:${port}`, ACCESS_LOG: 'off', PATH: path };
      const child = spawn('/bin/sh', ['ingress/entrypoint.sh'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
      let errors = '';
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        errors += chunk;
      });
      const ended = once(child, 'exit');
      const isHealthy = () =>
        fetch(`http://127.0.0.1:${port}/healthz`).then(
          (answer) => answer.ok,
          () => false,
        );

      while (!(await isHealthy()) && child.exitCode === null) await sleep(10);
      const pid = Number(readFileSync(join(runDir, 'nginx.pid'), 'utf8'));
      child.kill(signal);

      expect({ pid, errors }).toEqual({ pid: child.pid, errors: '' });
      expect(await ended).toEqual([0, null]);
    },
    15_000,
  );
});
