import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { k6Version } from '../../load/tool.ts';
import { listen } from '../support/listen.ts';
import { runProgram } from '../support/program.ts';
import { pidsBelow } from '../support/stack.ts';
import { answerBody as body, answerHeaders as headers, k6, missing, run, startRun } from './run.ts';

jest.setTimeout(180_000);

const compare = fileURLToPath(new URL('../../load/peers/compare.js', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'load-test-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('npm run load', () => {
  it('tells how to get k6 where there is neither k6 nor Go', async () => {
    const none = join(folder, 'none');
    mkdirSync(none);

    const ended = await run(['smoke'], { K6: '', PATH: none, XDG_CACHE_HOME: none });

    expect(ended).toEqual({ code: 1, stdout: '', stderr: missing });
  });

  it('refuses a k6 that is too old', async () => {
    const old = join(folder, 'k6');
    writeFileSync(old, '#!/bin/sh\necho "k6 v0.57.0 (go1.23.6, linux/amd64)"\n', { mode: 0o755 });

    const { code, stderr } = await run(['smoke'], { K6: old });

    expect(code).toBe(1);
    expect(stderr).toBe(`Expected k6 ${k6Version} or later for K6 but received 0.57.0\n`);
  });

  it.each([
    [['circle'], /^Expected one shape but received "circle"\n/],
    [[], /^Expected one shape but received ""\n/],
    [['smoke', '--duration', 'long'], /^Expected a number above 0 for --duration but received "long"\n$/],
    [['failover', '--fault', 'sleep'], /^Expected kill or stop for --fault but received "sleep"\n$/],
    [['failover', '--target', 'http://127.0.0.1:1'], /^Expected no --target for failover but received one/],
    [['smoke', '--target', 'localhost:80'], /^Expected an http address for --target but received "localhost:80"\n$/],
    [['smoke', '--task', 'faces'], /^Expected classify, digits, clouds for --task but received "faces"\n$/],
    [['failover', '--task', 'clouds'], /^Expected classify for --task but received "clouds"\n$/],
    [['smoke', '--foreign'], /^Expected --target with --foreign but received none\n$/],
    [['smoke', '--speed', '3'], /'--speed'/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await run(args);

    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});

if (k6 === undefined) {
  describe('the real k6', () => {
    it('is not on this machine, so that nothing below was tried with it', async () => {
      const none = { PATH: dirname(process.execPath), XDG_CACHE_HOME: folder };

      expect(await run(['smoke'], none)).toEqual({ code: 1, stdout: '', stderr: missing });
    });
  });
} else {
  describe('npm run load with the real k6', () => {
    let server: Server | undefined;

    afterEach(() => {
      server?.closeAllConnections();
      server?.close();
      server = undefined;
    });

    /** Long beside the delays of a busy machine, so that equal sides are alike; 4 s are long enough for 40 pairs. */
    const canaryDelayMs = 25;

    /** An address that answers every classification the same way, some time after the upload has come. */
    async function startServer(status: number, answer: object, delayMs = 0): Promise<string> {
      server = createServer((request: IncomingMessage, response: ServerResponse) => {
        request.resume().on('end', async () => {
          await sleep(delayMs);
          response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(answer));
        });
      });
      return listen(server);
    }

    const verdicts = (name: string): string[] => {
      const { metrics } = JSON.parse(readFileSync(name, 'utf8')) as { metrics: Record<string, object> };
      return Object.entries(metrics).flatMap(([metric, { thresholds = {} }]: [string, { thresholds?: object }]) =>
        Object.values(thresholds).every(({ ok }) => ok) ? [] : [metric],
      );
    };

    it('passes the smoke shape of the real stack and leaves a report and charts', async () => {
      const out = join(folder, 'smoke');

      const { code, stdout, stderr } = await run(['smoke', '--duration', '6', '--out', out]);

      expect([code, stderr]).toEqual([0, expect.stringContaining('load: charts of k6')]);
      expect(stdout).toMatch(/non_answers +0 +count==0 +holds/);
      expect(stdout).toMatch(/\| smoke \| primary \| wide-resnet \| \S+ \| - \| \d+ \|/);
      expect(stdout).toMatch(/\| primary \| \d+\.\d \|/);
      expect(readFileSync(join(out, 'report.md'), 'utf8')).toContain('| 200 |');
      expect(stdout).toMatch(/^100 % answered, /m);
      expect(readFileSync(join(out, 'dashboard.html'), 'utf8')).toContain('<html');
    });

    it.each([
      [
        '200 with unsorted predictions',
        200,
        { ...body, predictions: body.predictions.toReversed() },
        'predictions not sorted',
      ],
      ['503', 503, { code: 'BUSY' }, 'status 503 BUSY'],
    ])('fails an address that gives %s', async (_, status, content, fault) => {
      const out = join(folder, String(status));
      const target = await startServer(status, content);

      const { code, stdout } = await run(['smoke', '--duration', '3', '--target', target, '--out', out]);

      expect(code).toBe(99);
      expect(stdout).toContain(`| ${fault} |`);
      expect(verdicts(join(out, 'classify.json'))).toEqual(expect.arrayContaining(['answered', 'non_answers']));
    });

    it('passes another server that answers with predictions, told so, and compares it', async () => {
      const out = join(folder, 'foreign');
      const { model, predictions } = body;
      const target = await startServer(200, { model, predictions });
      const overload = ['overload', '--capacity', '10', '--factors', '1', '--duration', '3', '--target', target];

      const foreign = await run([...overload, '--foreign', '--out', out]);
      const own = await run([...overload, '--out', join(folder, 'own')]);
      const { stdout } = runProgram(compare, out);

      expect([foreign.code, own.code]).toEqual([0, 99]);
      expect(stdout).toMatch(/^\| foreign \| 1 \| 1\d\.\d \| 1\d\.\d \| \d+ \| \d+ \| 100\.0 % \| 0 \| 0 \|$/m);
    });

    it('fails an open loop that could not keep its rate', async () => {
      const out = join(folder, 'slow');
      const target = await startServer(200, body, 20_000); // longer than every client that the shape may have can wait

      const { code } = await run(['smoke', '--duration', '12', '--rate', '10', '--target', target, '--out', out]);

      expect(code).toBe(99);
      expect(verdicts(join(out, 'classify.json'))).toEqual(expect.arrayContaining(['dropped_iterations']));
    });

    it('fails a canary that names another class, and passes one that answers alike', async () => {
      const baseline = await startServer(200, body, canaryDelayMs);
      const same = ['canary', '--duration', '4', '--baseline', baseline];
      const alike = await run([...same, '--candidate', baseline, '--out', join(folder, 'alike')]);
      const first = server;
      const other = body.predictions.map((one) => ({ ...one, class: `m${one.index}` }));
      const candidate = await startServer(200, { ...body, predictions: other }, canaryDelayMs);
      const out = join(folder, 'other');

      const different = await run([...same, '--candidate', candidate, '--out', out]);

      first?.closeAllConnections();
      first?.close();
      expect([alike.code, different.code]).toEqual([0, 99]);
      expect(verdicts(join(out, 'canary.json'))).toContain('top1_agrees');
    });

    it('asks one gateway for the two hosts of a canary, and for the host of a smoke test', async () => {
      const asked = new Set<string | undefined>();
      const gateway = await startServer(200, body);
      server?.on('request', ({ headers }: IncomingMessage) => asked.add(headers.host));
      const hosts = { BASELINE_HOST: 'current.test', CANDIDATE_HOST: 'candidate.test', TARGET_HOST: 'target.test' };
      const sides = ['--baseline', gateway, '--candidate', gateway, '--out', join(folder, 'hosts')];

      await run(['canary', '--duration', '1', ...sides], hosts);
      await run(['smoke', '--duration', '1', '--target', gateway, '--out', join(folder, 'hosts')], hosts);

      expect([...asked].sort()).toEqual(['candidate.test', 'current.test', 'target.test']);
    });

    it.each([
      ['baseline', { BASELINE_REVISION: 'other', CANDIDATE_REVISION: 'one' }],
      ['candidate', { BASELINE_REVISION: 'one', CANDIDATE_REVISION: 'other' }],
    ])('fails a canary whose %s is answered by another revision than it is said to be', async (side, revisions) => {
      const target = await startServer(200, body, canaryDelayMs);
      server?.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
        response.setHeader('X-Revision', 'one');
      });
      const out = join(folder, `revision-${side}`);

      const { code } = await run(
        ['canary', '--duration', '4', '--baseline', target, '--candidate', target, '--out', out],
        revisions,
      );

      expect(code).toBe(99);
      expect(verdicts(join(out, 'canary.json'))).toEqual([`own_revision{side:${side}}`]);
    });

    it.each([
      ['passes', 'one', 0, []],
      ['fails', 'other', 99, ['own_revision']],
    ])(
      '%s a smoke test of the revision %s that is answered by the revision one',
      async (what, revision, exit, fails) => {
        const target = await startServer(200, body, 5);
        server?.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
          response.setHeader('X-Revision', 'one');
        });
        const out = join(folder, `revision-${what}`);

        const { code } = await run(['smoke', '--duration', '3', '--target', target, '--out', out], {
          TARGET_REVISION: revision,
        });

        expect(code).toBe(exit);
        expect(verdicts(join(out, 'classify.json'))).toEqual(fails);
      },
    );

    it('stops k6 and the stack on Ctrl-C and leaves nothing behind', async () => {
      const { child, ended } = startRun(['smoke', '--duration', '60', '--out', join(folder, 'stopped')]);
      let text = '';
      child.stderr?.on('data', (chunk: string) => {
        text += chunk;
      });
      while (!text.includes('s of traffic')) await sleep(50);
      await sleep(1500); // k6 is at it
      const [, ...started] = pidsBelow(child.pid); // k6, the stack and its programs

      child.kill('SIGINT');

      expect((await ended).code).toBe(130);
      expect(started.length).toBeGreaterThan(1);
      expect(started.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    });
  });
}
