import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { drawChart, spread } from '../../load/peers/chart.ts';
import { fileOf, planJobs, scenarios, systems } from '../../load/peers/plan.ts';
import type { Load } from '../../load/peers/results.ts';
import { allTables, lossOf, type Measured, middle } from '../../load/peers/tables.ts';
import { runProgram } from '../support/program.ts';

const load: Load = {
  seconds: 10,
  tookSeconds: 10,
  serverCpuSeconds: 15,
  k6CpuSeconds: 1,
  good: 90,
  byPrimary: 60,
  statuses: { 200: 120, 503: 80 },
  dropped: 0,
  answerMs: { p50: 105, p99: 990 },
  refusalMs: { p50: 2, p99: 5 },
};

function measured(system: string, repeat: number, changes: Partial<Load>): Measured {
  return {
    system,
    point: 2,
    repeat,
    kept: {
      firstMs: 800,
      primaryMs: 900,
      peakMb: 700,
      processes: 2,
      averageLoad: 0,
      measuredAt: '2026-01-01T00:00:00.000Z',
      outcome: { scenario: 'open', offeredPerSecond: 20, ...load, ...changes },
    },
  };
}

const run = fileURLToPath(new URL('../../load/peers/run.js', import.meta.url));

describe('planJobs', () => {
  it('gives every job a file of its own', () => {
    const files = planJobs(systems, scenarios, 3).map(fileOf);

    expect(new Set(files).size).toBe(files.length);
  });

  it('lets the systems take turns at every point, each repeat with another one first', () => {
    const jobs = planJobs(systems.slice(0, 3), ['kill'], 3);

    const names = systems.slice(0, 3).map(({ name }) => name);
    const [one, two, three] = names as [string, string, string];
    expect(jobs.map(({ system }) => system.name)).toEqual([one, two, three, two, three, one, three, one, two]);
  });

  it('measures once what does not vary with time', () => {
    const jobs = planJobs(systems.slice(0, 1), ['parity', 'inputs', 'stop'], 3);

    expect(jobs.map(({ scenario }) => scenario)).toEqual(['parity', 'inputs', 'stop', 'stop', 'stop']);
  });
});

describe('middle', () => {
  it('is the median of what is known, and nothing where most is not', () => {
    expect(middle([3, 1, 2])).toBe(2);
    expect(middle([4, 1])).toBe(2.5);
    expect(middle([3, null, 3])).toBe(3);
    expect(middle([3, null, null])).toBeNull();
    expect(middle([])).toBeNull();
  });
});

describe('allTables', () => {
  it('states the medians of the repeats, the statuses and the share of the Wide ResNet', () => {
    const runs = [
      measured('fastapi', 1, {}),
      measured('fastapi', 2, { good: 80 }),
      measured('fastapi', 3, { good: 100 }),
    ];

    const text = allTables(runs, undefined);

    expect(text).toContain('## Open loop, 2 times the capacity');
    expect(text).toContain('Medians of 3 runs of 10 s.');
    expect(text).toContain(
      '| FastAPI | 20.0 | 9.0 | 45.0 % | 105 | 990 | 50.0 % | 200: 120, 503: 80 | 2 | 1.50 | 0.10 |',
    );
  });

  it('counts what could not be sent against the share of good answers', () => {
    const text = allTables([measured('fastapi', 1, { dropped: 100 })], undefined);

    expect(text).toContain('| 30.0 % |');
    expect(text).toContain('not sent: 100');
  });

  it('says where systems have fewer runs than others', () => {
    const text = allTables(
      [1, 2, 3].map((repeat) => measured(repeat < 3 ? 'fastapi' : 'ray', repeat, {})),
      undefined,
    );

    expect(text).toContain('Medians of 1 to 2 runs of 10 s.');
  });

  it('does not call one run a median', () => {
    expect(allTables([measured('fastapi', 1, {})], undefined)).toContain('One run of 10 s.');
  });

  it('leaves out what nobody measured', () => {
    const text = allTables([measured('fastapi', 1, {})], undefined);

    expect(text).not.toContain('SIGTERM');
    expect(text).not.toContain('LitServe');
  });
});

describe('lossOf', () => {
  it('weighs the distance of the two models with the share of the standby', () => {
    expect(lossOf(0.25, { primary: 0.6, standby: 0.5, data: '' })).toBe('7.50 points');
    expect(lossOf(1, { primary: 0.6, standby: 0.5, data: '' })).toBe('0.00 points');
    expect(lossOf(null, { primary: 0.6, standby: 0.5, data: '' })).toBe('');
  });
});

describe('spread', () => {
  it('leaves alone who is far enough from the others', () => {
    expect(spread([10, 100, 50], 20, 200)).toEqual([10, 100, 50]);
  });

  it('puts those that are too close around their middle, in their order', () => {
    expect(spread([100, 104, 96], 20, 200)).toEqual([100, 120, 80]);
  });

  it('keeps a group within the limit', () => {
    expect(spread([200, 199], 20, 200)).toEqual([200, 180]);
  });
});

describe('drawChart', () => {
  it('ends every line at its name and escapes it', () => {
    const svg = drawChart({
      title: 'a < b',
      subtitle: ['first line', 'second line'],
      xTitle: '',
      xTicks: [0, 1],
      yTicks: [
        { at: 1, text: '1' },
        { at: 10, text: '10' },
      ],
      isLogarithmic: true,
      panels: [{ title: '', lines: [{ label: 'R & D', color: '#000000', isOurs: true, points: [[1, 10]] }] }],
    });

    expect(svg).toContain('a &lt; b');
    expect(svg).toMatch(/y="60"[^>]*>first line<.*\n.*y="78"[^>]*>second line</);
    expect(svg).toContain('>R &amp; D</text>');
    expect(svg).not.toContain('NaN');
  });
});

describe('npm run peers', () => {
  it.each([
    [['--bogus'], /^Unknown option '--bogus'/],
    [['--seconds', '0'], /^Expected a number above 0 for --seconds but received 0\n$/],
    [['--repeats', 'many'], /^Expected a number above 0 for --repeats but received many\n$/],
    [['--points', '3,4'], /^Expected one of 1, 2, 8, .*, 3 for --points but received 4\n$/],
    [['--only', 'nobody'], /^Expected one of understudy, .* for --only but received nobody\n$/],
  ])('ends with one sentence for %p', (options, message) => {
    const { status, stdout, stderr } = runProgram(run, ...options);

    expect(stderr).toMatch(message);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });

  it.each([
    [['closed,open', '1,3'], 2 * 3], // a point of each, three runs
    [['closed', '8'], 3],
    [['open,stop', '0.9'], 2 * 3],
  ])('measures only the points that are asked for: %p', ([scenario = '', points = ''], count) => {
    const chosen = ['--only', 'fastapi', '--scenario', scenario, '--points', points];
    const { stdout } = runProgram(run, '--plan', '--results', '/nowhere', ...chosen);

    expect(stdout).toContain(`${count} of ${count} measurements`);
  });

  it('tells its options', () => {
    const { status, stdout } = runProgram(run, '--help');

    expect(status).toBe(0);
    expect(stdout).toMatch(/^Usage: npm run peers -- \[options\]$/m);
  });
});
