import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { comparisonOf, isTimeAlone, shortfalls, smokeOf, type Trial } from '../../knative/revisions/judge.ts';
import { toShell } from '../../knative/revisions/kn.ts';
import {
  hasRouting,
  planCanary,
  planDeployment,
  planPromotion,
  planRollback,
  removalLine,
  routeLine,
  templateLine,
} from '../../knative/revisions/plan.ts';
import type { Revision, State, Target } from '../../knative/revisions/state.ts';

const [one, two, three] = ['classify-primary-00001', 'classify-primary-00002', 'classify-primary-00003'] as const;
const image = (tag: number) => `registry.example/understudy-primary:${tag}`;
const env = { FUNCTION_TARGET: 'primary' };

const revision = (name: string, changes: Partial<Revision> = {}): Revision => {
  return { name, image: image(Number(name.slice(-1))), env, isReady: true, reason: '', ...changes };
};
const target = (revision: string, percent: number, tag = ''): Target => ({ revision, percent, tag, isLatest: false });

/** As `kubectl apply` leaves it: everything to the newest revision. */
const applied: State = {
  service: 'classify-primary',
  namespace: 'understudy',
  template: { image: image(1), env },
  traffic: [{ revision: one, percent: 100, tag: '', isLatest: true }],
  isRouted: true,
  revisions: [revision(one)],
};
const held: State = {
  ...applied,
  template: { image: image(2), env },
  traffic: [target(one, 100, 'current')],
  revisions: [revision(two), revision(one)],
};
const deployed: State = { ...held, traffic: [target(one, 100, 'current'), target(two, 0, 'candidate')] };
const split: State = { ...held, traffic: [target(one, 90, 'current'), target(two, 10, 'candidate')] };
const promoted: State = { ...held, traffic: [target(two, 100, 'current'), target(one, 0, 'previous')] };
const line = (state: State, routing: Parameters<typeof routeLine>[1]) => routeLine(state, routing)?.join(' ');

describe('planDeployment', () => {
  const make = (state: State, image: string | undefined, env = {}) =>
    planDeployment(state, { ...(image !== undefined && { image }), env }, 60).make?.join(' ');

  it('begins from what serves, not from what an earlier candidate left in the template', () => {
    const template = { image: image(9), env: { ...env, MODELS_DIR: '/nowhere', WORKERS: '4' } };
    const revisions = [revision(one, { env: { ...env, WORKERS: '2' } })];

    expect(make({ ...applied, template, revisions }, undefined, { LOG_LEVEL: 'warn' })).toContain(
      `--image ${image(1)} --env WORKERS=2 --env LOG_LEVEL=warn --env MODELS_DIR- --traffic`,
    );
  });

  it('takes traffic and tag from a candidate that an interrupted release left', () => {
    expect(make(split, image(3))).toContain(
      `--image ${image(3)} --traffic ${one}=100 --untag candidate --wait-timeout 60`,
    );
  });

  it('takes the newest revision as it is without a change', () => {
    const { make, tagged } = planDeployment(held, { env: {} }, 60);

    expect(make).toBeUndefined();
    expect(line(held, tagged(two))).toContain(`--tag ${two}=candidate`);
  });

  it('refuses to deploy nothing', () => {
    expect(() => make(applied, undefined)).toThrow(
      `Expected --image or --env for deploy but received neither, and the newest revision, ${one}, serves already`,
    );
  });
});

describe('the plans of the traffic', () => {
  it('leave other tags alone', () => {
    const state = { ...deployed, traffic: [...deployed.traffic, target(one, 0, 'mine')] };

    expect(line(state, planPromotion(state))).not.toContain('mine');
  });

  it('name a revision that followed the newest one, even where the share stays', () => {
    expect(line(applied, { shares: { [one]: 100 }, tagged: {} })).toContain(`--traffic ${one}=100`);
  });

  it('name a tag that followed the newest revision', () => {
    const traffic = [target(one, 100), { ...target(one, 0, 'current'), isLatest: true }];

    const changes = line({ ...applied, traffic }, { shares: { [one]: 100 }, tagged: { current: one } });

    expect(changes).toMatch(new RegExp(`understudy --untag current --tag ${one}=current --no-wait$`));
  });

  it('change nothing where everything is in place', () => {
    const routing = planCanary(deployed, 10);

    expect(routeLine(split, routing)).toBeUndefined();
    expect([hasRouting(split, routing), hasRouting(deployed, routing)]).toEqual([true, false]);
    expect(templateLine(applied, one)).toBeUndefined();
  });

  const failed = [revision(two, { isReady: false, reason: 'ExitCode1' }), revision(one)];
  it.each([
    ['without a candidate', applied, /^Expected a revision tagged candidate for classify-primary but received none/],
    [
      'with a candidate that is not ready',
      { ...deployed, revisions: failed },
      /^Expected classify-primary-00002 to be ready but received ExitCode1$/,
    ],
    ['with a candidate that is gone', { ...deployed, revisions: [revision(one)] }, /^Expected revision \S+-00002/],
  ])('refuse canary and promote %s', (_, state, message) => {
    expect(() => planCanary(state, 10)).toThrow(message);
    expect(() => planPromotion(state)).toThrow(message);
  });
});

describe('planRollback', () => {
  const previous = target(three, 0, 'previous');

  it.each([
    ['drops the candidate and keeps the previous revision', [...split.traffic, previous], one, { previous: three }],
    ['returns to the previous revision without a candidate', promoted.traffic, one, {}],
    ['gathers traffic that was split by hand', [target(one, 30), target(two, 70)], two, {}],
  ])('%s', (_, traffic, current, others) => {
    expect(planRollback({ ...deployed, traffic })).toEqual({
      shares: { [current]: 100 },
      tagged: { current, ...others },
    });
  });

  it('refuses where there is nothing to go back to', () => {
    expect(() => planRollback(applied)).toThrow(/^Expected a revision tagged candidate or previous/);
  });
});

describe('removalLine', () => {
  const never = revision(three, { isReady: false });

  it.each([
    ['the newest revision that never became ready', [never, revision(one)], applied.traffic, three],
    ['none that is ready', [revision(three), revision(one)], applied.traffic, undefined],
    ['none but the newest', [revision(two), never], applied.traffic, undefined],
    ['none that a tag refers to', [never], [target(three, 0, 'mine')], undefined],
  ])('deletes %s', (_, revisions, traffic, expected) => {
    expect(removalLine({ ...applied, revisions, traffic })?.[2]).toBe(expected);
  });
});

describe('a verdict', () => {
  it('names each limit that did not hold, and no other', () => {
    const metric = (values: object, thresholds: object) => ({ contains: 'default', values, thresholds });
    const metrics = {
      p95_ratio: metric({ value: 1.9 }, { 'value<=1.25': { ok: false } }),
      pairs: metric({ count: 80 }, { 'count>=40': { ok: true } }),
      top1_agrees: metric({ rate: 0.5 }, { 'rate>=0.95': { ok: false } }),
    } as Parameters<typeof shortfalls>[0]['metrics'];

    expect(shortfalls({ metrics })).toEqual([
      'p95_ratio was 1.9 (value<=1.25)',
      'top1_agrees was 50.00 % (rate>=0.95)',
    ]);
  });

  it.each([
    [['p95_ratio was 1.3 (value<=1.25)'], true],
    [['p95_ratio was 1.3 (value<=1.25)', 'pairs was 12 (count>=40)'], true],
    [['p95_ratio was 1.3 (value<=1.25)', 'top1_agrees was 50.00 % (rate>=0.95)'], false],
    [['k6 ended with 107: nothing'], false],
    [[], false],
  ])('of %j is of time alone: %s', (clauses, expected) => {
    expect(isTimeAlone(clauses)).toBe(expected);
  });
});

describe('knative/revisions/README.md', () => {
  const page = readFileSync('knative/revisions/README.md', 'utf8');
  const recipes = [...page.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block]) => String(block).trim().split('\n'));
  const address = 'http://127.0.0.1:8081';
  const k6 = ({ script, variables }: Trial) => {
    const named = Object.entries(variables).map(([name, value]) => `-e ${name}=${value}`);
    return ['k6 run', ...named, `load/k6/${script}.ts`].join(' ');
  };
  const deployment = planDeployment(applied, { image: image(2), env: {} }, 180);
  const returned = { ...promoted, traffic: [target(one, 100, 'current')] };

  it.each([
    ['the deployment', deployment.make],
    ['the tag of a candidate', routeLine(held, deployment.tagged(two))],
    ['a canary', routeLine(deployed, planCanary(deployed, 10))],
    ['the drop of a candidate', routeLine(split, planRollback(split))],
    ['the way back of the template', templateLine(returned, one)],
    ['a promotion', routeLine(split, planPromotion(split))],
    ['a rollback', routeLine(promoted, planRollback(promoted))],
  ])('has the line of %s', (_, call) => {
    expect(recipes).toContain(toShell(call ?? []));
  });

  it('has the trials of a release', () => {
    expect(recipes).toContain(k6(smokeOf(applied, address, two, 15)));
    expect(recipes).toContain(k6(comparisonOf(applied, address, { current: one, candidate: two }, 30)));
  });
});
