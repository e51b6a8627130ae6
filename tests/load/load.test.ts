import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { judge } from '../../load/k6/answer.ts';
import { needsCapacity, planPhases, requestsOf, secondsOf, shapeNames } from '../../load/k6/shapes.ts';
import { verdictTable } from '../../load/k6/summary.ts';
import { drawPicture } from '../../load/picture.ts';
import { answerTable, readSamples, type Sample, statusTable, throughput } from '../../load/samples.ts';
import { findK6, isOlder, k6Version } from '../../load/tool.ts';
import { memoryTrend } from '../../load/usage.ts';

jest.setTimeout(180_000);

const script = fileURLToPath(new URL('../../load/run.js', import.meta.url));
const missing =
  `Expected k6 ${k6Version} or later in PATH or at K6 but received none: ` +
  `get it with "go install go.k6.io/k6@v${k6Version}"\n`;

/** Building it takes minutes and a network, which `npm test` does not ask for; where there is none, one test says so. */
const k6 = await findK6();

const scores = [0.5, 0.2, 0.1, 0.05, 0.05];
const body = {
  model: 'wide-resnet',
  version: '1',
  tier: 'primary',
  degraded: false,
  reason: null as string | null,
  predictions: scores.map((score, index) => ({ index, class: `n${index}`, label: `label ${index}`, score })),
};
const headers: Readonly<Record<string, string>> = { 'X-Model': 'wide-resnet', 'X-Tier': 'primary' };

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'load-test-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function startRun(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...(k6 !== undefined && { K6: k6 }), WORKERS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      texts[name] += chunk;
    });
  }
  return { child, ended: once(child, 'close').then(([code]) => ({ code, ...texts })) };
}

function run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> {
  return startRun(args, env).ended;
}

describe('judge', () => {
  const received = (changes: object, otherHeaders = {}) => ({
    status: 200,
    headers: { ...headers, ...otherHeaders },
    body: JSON.stringify({ ...body, ...changes }),
  });

  it('reads who answered and what leads from a valid answer', () => {
    const own = { model: 'wide-resnet', version: '1', tier: 'primary', top: 'n0' };

    expect(judge(received({}))).toEqual({ ...own, reason: '' });
    expect(judge(received({ degraded: true, reason: 'overload' }, { 'X-Degraded': 'overload' }))).toEqual({
      ...own,
      reason: 'overload',
    });
  });

  const predictions = body.predictions;
  it.each([
    ['no model named', { model: '' }, {}],
    ['no version named', { version: undefined }, {}],
    ['no tier named', { tier: 'third' }, {}],
    ['degraded without reason or reason without degraded', { degraded: true }, {}],
    ['degraded without reason or reason without degraded', { reason: 'overload' }, {}],
    ['unknown reason', { degraded: true, reason: 'mood' }, { 'X-Degraded': 'mood' }],
    ['tier and reason disagree', { tier: 'fallback' }, { 'X-Tier': 'fallback' }],
    ['tier and reason disagree', { degraded: true, reason: 'failover' }, { 'X-Degraded': 'failover' }],
    ['X-Model disagrees', {}, { 'X-Model': 'mobilenet' }],
    ['X-Tier disagrees', {}, { 'X-Tier': 'fallback' }],
    ['X-Degraded disagrees', {}, { 'X-Degraded': 'overload' }],
    ['X-Degraded disagrees', { degraded: true, reason: 'overload' }, {}],
    ['not five predictions', { predictions: predictions.slice(1) }, {}],
    ['not five predictions', { predictions: null }, {}],
    ['predictions not sorted', { predictions: predictions.toReversed() }, {}],
    ['prediction incomplete', { predictions: predictions.map(({ label, ...rest }) => rest) }, {}],
    ['prediction repeated', { predictions: predictions.map((one) => ({ ...one, index: 3 })) }, {}],
    ['score outside 0 to 1', { predictions: predictions.map((one) => ({ ...one, score: 1.5 })) }, {}],
    ['score outside 0 to 1', { predictions: predictions.map((one) => ({ ...one, score: null })) }, {}],
  ])('finds "%s" in a 200 with %j and headers %j', (fault, changes, otherHeaders) => {
    expect(judge(received(changes, otherHeaders))).toEqual({ fault });
  });

  it('takes anything but a 200 with JSON for a non-answer', () => {
    expect(judge({ status: 0, headers: {}, body: '' })).toEqual({ fault: 'no response' });
    expect(judge({ status: 503, headers: {}, body: '{"code":"BUSY"}' })).toEqual({ fault: 'status 503 BUSY' });
    expect(judge({ status: 400, headers: {}, body: 'bad' })).toEqual({ fault: 'status 400' });
    expect(judge({ status: 200, headers, body: '<html>' })).toEqual({ fault: 'body is no JSON' });
    expect(judge({ status: 200, headers, body: 'null' })).toEqual({ fault: 'no model named' });
  });
});

describe('planPhases', () => {
  it('multiplies the capacity and keeps the proportions of the phases in a shorter run', () => {
    const phases = planPhases('overload', { capacity: 40, seconds: 40 });

    expect(phases.map(({ name, fromRate, toRate, seconds }) => [name, fromRate, toRate, seconds])).toEqual([
      ['x0_5', 20, 20, 10],
      ['x1', 40, 40, 10],
      ['x2', 80, 80, 10],
      ['x3', 120, 120, 10],
    ]);
    expect(secondsOf(phases)).toBe(40);
    expect(requestsOf(phases)).toBe(2600);
  });

  it('allows nothing degraded at half capacity and promises only time beyond it', () => {
    const [half, three] = planPhases('overload', { capacity: 40, factors: [0.5, 3] });

    expect(half?.limits.degraded).toBe(0);
    expect(three?.limits).toEqual({ inTime: 0.999, p99Ms: 1000 });
  });

  it('needs a capacity for every shape but smoke', () => {
    expect(shapeNames.filter((name) => !needsCapacity(name))).toEqual(['smoke']);
    expect(() => planPhases('average')).toThrow('Expected a rate above 0 for CAPACITY but received undefined');
    expect(planPhases('smoke', { rate: 5 })[0]?.fromRate).toBe(5);
  });

  it('has the fault of the failover begin before half time and leaves a sixth of the run to recover', () => {
    const [calm, fault, recovered] = planPhases('failover', { seconds: 60 });

    expect(calm?.seconds).toBeLessThan(30);
    expect((calm?.seconds ?? 0) + (fault?.seconds ?? 0)).toBe(50);
    expect(recovered?.seconds).toBe(10);
  });

  it('refuses a shape that it does not know', () => {
    expect(() => planPhases('circle')).toThrow(/^Expected one of smoke, .*overload for SHAPE but received "circle"$/);
  });
});

describe('verdictTable', () => {
  it('tells for each threshold what was measured, what was allowed and whether it held', () => {
    const table = verdictTable({
      metrics: {
        latency: {
          contains: 'time',
          values: { count: 3, 'p(95)': 812.4 },
          thresholds: { 'p(95)<=500': { ok: false } },
        },
        'latency{tier:fallback}': {
          contains: 'time',
          values: { count: 0, 'p(95)': 0 },
          thresholds: { 'p(95)<=500': { ok: true } },
        },
        answered: { contains: 'default', values: { rate: 0.9988 }, thresholds: { 'rate==1': { ok: false } } },
        vus: { contains: 'default', values: { value: 3 } },
      },
    });

    expect(table).toBe(
      [
        'judged                  measured  limit       verdict',
        'answered                99.88 %   rate==1     FAILS',
        'latency                 812 ms    p(95)<=500  FAILS',
        'latency{tier:fallback}  nothing   p(95)<=500  holds',
        '',
      ].join('\n'),
    );
  });
});

const sample: Sample = {
  atMs: 1_000_000,
  ms: 20,
  status: 200,
  scenario: 'x1',
  side: '',
  tier: 'primary',
  model: 'wide-resnet',
  version: '1',
  reason: '',
  fault: '',
};
const degraded: Sample = { ...sample, model: 'mobilenet', reason: 'overload' };
const lost: Sample = { ...sample, status: 503, tier: '', model: '', version: '', fault: 'status 503' };

describe('readSamples', () => {
  it('reads one request from each point of latency, whatever the order of its tags', async () => {
    const lines = [
      'metric_name,timestamp,metric_value,scenario,status,extra_tags,metadata',
      'http_reqs,1000030,1.000000,x1,200,,',
      'latency,1000050,30.5,x1,200,reason=overload&model=mobilenet&version=1&tier=primary,',
      'latency,1000030,20.0,x1,0,fault=no response,',
    ];

    expect(await readSamples(lines)).toEqual([
      { ...sample, atMs: 1_000_010, ms: 20, status: 0, tier: '', model: '', version: '', fault: 'no response' },
      { ...degraded, atMs: 1_000_019.5, ms: 30.5 },
    ]);
  });
});

describe('answerTable', () => {
  it('has a row for each tier, model and reason of a phase and one for all', () => {
    const samples = [sample, { ...sample, ms: 40 }, { ...degraded, ms: 60 }, { ...lost, scenario: 'x2', ms: 1 }];

    expect(answerTable(samples).split('\n').slice(2)).toEqual([
      '| x1 | primary | wide-resnet | 1 | - | 2 | 66.67 % | 40 | 40 | 40 | 40 |',
      '| x1 | primary | mobilenet | 1 | overload | 1 | 33.33 % | 60 | 60 | 60 | 60 |',
      '| x2 | - | status 503 | - | - | 1 | 100.00 % | 1 | 1 | 1 | 1 |',
      '| all |  |  |  |  | 4 | 100.00 % | 40 | 60 | 60 | 60 |',
      '',
    ]);
  });
});

describe('statusTable', () => {
  it('counts requests without a response as none', () => {
    expect(
      statusTable([sample, sample, { ...lost, status: 0 }, lost])
        .split('\n')
        .slice(2),
    ).toEqual(['| none | 1 |', '| 200 | 2 |', '| 503 | 1 |', '']);
  });
});

describe('throughput', () => {
  it('counts undegraded answers after the warm-up', () => {
    const everyTenth = Array.from({ length: 100 }, (_, index) => ({ ...sample, atMs: index * 100 }));
    const others = [degraded, lost].map((one) => ({ ...one, atMs: 5000 }));

    expect(throughput([...everyTenth, ...others], 3000)).toBeCloseTo(10, 0);
    expect(throughput(everyTenth, 60_000)).toBe(0);
  });
});

describe('memoryTrend', () => {
  const looks = (mbAt: (minute: number) => number) =>
    Array.from({ length: 200 }, (_, index) => ({
      atMs: index * 6000,
      cpuSeconds: {},
      residentMb: { primary: mbAt(index / 10) },
    }));

  it('tells the slope and the growth, without what grew before', () => {
    const trend = memoryTrend(
      looks((minute) => (minute < 3 ? 10 : 100 + minute)),
      'primary',
      180_000,
    );

    expect(trend?.mbPerMinute).toBeCloseTo(1, 5);
    expect(trend?.growth).toBeCloseTo(15.3 / 103.8, 2);
  });

  it('says nothing of a program that it has hardly seen', () => {
    expect(memoryTrend(looks(() => 100).slice(0, 19), 'primary', 0)).toBeUndefined();
    expect(
      memoryTrend(
        looks(() => 100),
        'nginx',
        0,
      ),
    ).toBeUndefined();
  });
});

describe('drawPicture', () => {
  const scene = { title: 'a < b', subtitle: '', marks: [], usage: [] };
  const phases = [
    { label: 'calm', seconds: 10, fromRate: 20, toRate: 20 },
    { label: 'busy', seconds: 10, fromRate: 20, toRate: 60 },
  ];
  const samples = Array.from({ length: 400 }, (_, index) => {
    const kind = [sample, sample, degraded, lost][index % 4] as Sample;
    return { ...kind, atMs: 1_000_000 + index * 50, ms: 5 + (index % 37) * 3 };
  });

  it('names what it shows and has no number that is none', () => {
    const usage = [0, 10, 20].map((second) => ({
      atMs: 1_000_000 + second * 1000,
      cpuSeconds: { primary: second, k6: second / 10 },
      residentMb: {},
    }));
    const marks = [{ atMs: 1_010_000, label: 'primary killed' }];

    const svg = drawPicture(samples, { ...scene, phases, usage, marks });

    const labels = [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, label]) => label);
    expect(labels).toEqual(
      expect.arrayContaining(['a &lt; b', 'calm', 'busy', 'offered', 'primary killed', 'seconds', '1 s', '100 ms']),
    );
    expect(labels).toEqual(expect.arrayContaining(['wide-resnet', 'mobilenet, overload', 'no answer']));
    expect(labels).toEqual(expect.arrayContaining(['50.00 % · 200 of 400', 'primary 20.0 s', 'k6 2.0 s']));
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('marks the moment where it lies on the time axis', () => {
    const [early, late] = [1_005_000, 1_015_000].map((atMs) => {
      const svg = drawPicture(samples, { ...scene, phases, marks: [{ atMs, label: 'fault' }] });
      return Number(/<path d="M([\d.]+) [\d.]+l-5/.exec(svg)?.[1]);
    }) as [number, number];

    const [left, right] = [74, 968]; // the plot's edges; the last answer comes a little after the last phase
    expect(early).toBeCloseTo(left + (right - left) / 4, -1);
    expect(late).toBeCloseTo(left + ((right - left) * 3) / 4, -1);
  });

  it('stays small however many requests there were', () => {
    const many = Array.from({ length: 200_000 }, (_, index) => ({
      ...sample,
      atMs: 1_000_000 + index * 6,
      ms: 10 + ((index * 7919) % 1000),
    }));

    expect(drawPicture(many, { ...scene, phases: [] }).length).toBeLessThan(1_500_000);
  });

  it('draws a run of one request', () => {
    expect(drawPicture([sample], { ...scene, phases: [] })).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('isOlder', () => {
  it.each([
    ['1.8.0', '1.8.1', true],
    ['1.8.1', '1.8.1', false],
    ['1.10.0', '1.9.9', false],
    ['0.57.0', '1.8.1', true],
    ['1.26', '1.24.0', false],
    ['1.9', '1.24.0', true],
  ])('compares %s with %s number by number', (version, than, expected) => {
    expect(isOlder(version, than)).toBe(expected);
  });
});

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

    /** An address that answers every classification the same way, some time after the upload has come. */
    async function startServer(status: number, answer: object, delayMs = 0): Promise<string> {
      server = createServer((request: IncomingMessage, response: ServerResponse) => {
        request.resume().on('end', async () => {
          await sleep(delayMs);
          response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(answer));
        });
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    }

    const verdicts = (name: string): string[] => {
      const { metrics } = JSON.parse(readFileSync(name, 'utf8')) as { metrics: Record<string, object> };
      return Object.entries(metrics).flatMap(([metric, { thresholds = {} }]: [string, { thresholds?: object }]) =>
        Object.values(thresholds).every(({ ok }) => ok) ? [] : [metric],
      );
    };

    it('passes the smoke shape of the real stack and leaves a report and a picture', async () => {
      const out = join(folder, 'smoke');

      const { code, stdout, stderr } = await run(['smoke', '--duration', '6', '--out', out]);

      expect([code, stderr]).toEqual([0, expect.stringContaining('load: the picture is')]);
      expect(stdout).toMatch(/non_answers +0 +count==0 +holds/);
      expect(stdout).toMatch(/\| smoke \| primary \| wide-resnet \| \S+ \| - \| \d+ \|/);
      expect(stdout).toMatch(/\| primary \| \d+\.\d \|/);
      expect(readFileSync(join(out, 'report.md'), 'utf8')).toContain('| 200 |');
      expect(readFileSync(join(out, 'picture.svg'), 'utf8')).toContain('smoke: 100 % answered');
    });

    it('fails an address that gives 200 with unsorted predictions', async () => {
      const out = join(folder, 'unsorted');
      const target = await startServer(200, { ...body, predictions: body.predictions.toReversed() });

      const { code, stdout } = await run(['smoke', '--duration', '3', '--target', target, '--out', out]);

      expect(code).toBe(99);
      expect(stdout).toContain('| predictions not sorted |');
      expect(verdicts(join(out, 'classify.json'))).toEqual(expect.arrayContaining(['answered', 'non_answers']));
    });

    it('fails an address that gives 503', async () => {
      const out = join(folder, 'busy');
      const target = await startServer(503, { code: 'BUSY' });

      const { code, stdout } = await run(['smoke', '--duration', '3', '--target', target, '--out', out]);

      expect(code).toBe(99);
      expect(stdout).toContain('| status 503 BUSY |');
      expect(verdicts(join(out, 'classify.json'))).toEqual(expect.arrayContaining(['answered', 'non_answers']));
    });

    it('fails an open loop that could not keep its rate', async () => {
      const out = join(folder, 'slow');
      const target = await startServer(200, body, 20_000); // longer than every client that the shape may have can wait

      const { code } = await run(['smoke', '--duration', '12', '--rate', '10', '--target', target, '--out', out]);

      expect(code).toBe(99);
      expect(verdicts(join(out, 'classify.json'))).toEqual(expect.arrayContaining(['dropped_iterations']));
    });

    it('fails a canary that names another class, and passes one that answers alike', async () => {
      const baseline = await startServer(200, body, 5);
      const same = ['canary', '--duration', '3', '--baseline', baseline];
      const alike = await run([...same, '--candidate', baseline, '--out', join(folder, 'alike')]);
      const first = server;
      const other = body.predictions.map((one) => ({ ...one, class: `m${one.index}` }));
      const candidate = await startServer(200, { ...body, predictions: other }, 5);
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
      const target = await startServer(200, body, 5);
      server?.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
        response.setHeader('X-Revision', 'one');
      });
      const out = join(folder, `revision-${side}`);

      const { code } = await run(
        ['canary', '--duration', '3', '--baseline', target, '--candidate', target, '--out', out],
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
      const started = processesWith(String(child.pid));

      child.kill('SIGINT');

      expect((await ended).code).toBe(130);
      expect(started.length).toBeGreaterThan(1);
      expect(started.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    });
  });
}

/** Processes that a process has started, and those that they have. */
function processesWith(parent: string): readonly string[] {
  const children = readdirSync('/proc').filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return /^\d+$/.test(pid) && stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === parent;
    } catch {
      return false; // it ended meanwhile, or is no process
    }
  });
  return [...children, ...children.flatMap(processesWith)];
}
