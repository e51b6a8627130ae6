import { describe, expect, it } from '@jest/globals';
import { needsCapacity, planPhases, requestsOf, secondsOf, shapeNames } from '../../load/k6/shapes.ts';
import { verdictTable } from '../../load/k6/summary.ts';
import {
  answerTable,
  firstLead,
  headline,
  readSamples,
  type Sample,
  statusTable,
  throughput,
} from '../../load/samples.ts';
import { isOlder } from '../../load/tool.ts';
import { judgeMemory } from '../../load/usage.ts';

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

describe('headline', () => {
  it('never rounds a missing answer away', () => {
    const many = Array.from({ length: 100_000 }, () => sample);

    expect(headline(many, 1000)).toBe('100 % answered, 100 % within 1 s, 100 % undegraded');
    expect(headline([...many, lost], 1000)).toMatch(/^99.99 % answered/);
    const late = [sample, { ...degraded, ms: 1001 }];
    expect(headline(late, 1000)).toBe('100 % answered, 50.00 % within 1 s, 50.00 % undegraded');
    expect(headline(late, 5000)).toBe('100 % answered, 100 % within 5 s, 50.00 % undegraded');
  });
});

describe('firstLead', () => {
  it('takes the first undegraded answer to a request that was sent later', () => {
    const later = [2000, 3000].map((ms) => ({ ...sample, atMs: sample.atMs + ms }));

    expect(firstLead([sample, degraded, ...later], sample.atMs)).toBe('first answer of the lead model 2.0 s later');
    expect(firstLead([sample], sample.atMs)).toBe('no answer of the lead model after it');
  });
});

describe('judgeMemory', () => {
  const looks = (mbAt: (minute: number) => number) =>
    Array.from({ length: 200 }, (_, index) => ({
      atMs: index * 6000,
      cpuSeconds: {},
      residentMb: { primary: mbAt(index / 10) },
    }));

  it('tells slope and growth of a soak, without what grew in the first 3 minutes', () => {
    const grown = judgeMemory(
      looks((minute) => (minute < 3 ? 10 : 100 + minute)),
      1200,
      'soak',
    );
    const steady = judgeMemory(
      looks((minute) => (minute < 3 ? 10 : 100 + minute / 100)),
      1200,
      'soak',
    );

    expect(grown?.isOver).toBe(true);
    expect(grown?.sentence).toContain('1.00 MB a minute, 14.7 % from the first to the last tenth, more than the 2 %');
    expect(steady?.isOver).toBe(false);
  });

  it.each([
    ['another shape', 1200, 'stress', 200],
    ['a short soak', 599, 'soak', 200],
    ['a program that was hardly seen', 1200, 'soak', 45],
  ])('says nothing of %s', (_, seconds, shape, count) => {
    expect(judgeMemory(looks(() => 100).slice(0, count), seconds, shape)).toBeUndefined();
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
