import { describe, expect, it } from '@jest/globals';
import { send } from '../support/client.ts';
import { hasty, own, useIngress } from '../support/ingress.ts';
import { startNginx } from '../support/nginx.ts';
import { answer, startUpstream } from '../support/upstream.ts';

const ingress = useIngress();
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

/** What the last request told this tier. */
function told(tier: 'primary' | 'fallback' | 'clouds' | 'digits') {
  const headers = ingress[tier].received.at(-1)?.headers ?? {};
  const [, trace, digit, rest, flags] =
    /^00-([0-9a-f]{32})-(..)([0-9a-f]{14})-(..)$/.exec(String(headers.traceparent)) ?? [];
  return { trace, digit, rest, flags, state: headers.tracestate, id: headers['x-request-id'] };
}

describe('traceparent', () => {
  it('is made where there is none: the request id that is made too, and a span of its own', async () => {
    await ingress.start();

    await ingress.post();

    const { trace, id, ...others } = told('primary');
    expect(trace).toBe(id);
    expect(others).toEqual({ digit: '01', rest: expect.any(String), flags: '01', state: undefined });
    await ingress.post();
    expect(told('primary').trace).not.toBe(trace);
  });

  it('is kept where it is valid, below a span of the ingress, with its tracestate', async () => {
    await ingress.start();

    const headers = { traceparent: `00-${traceId}-${parentId}-01`, tracestate: 'vendor=1', 'x-request-id': 'r-kept' };
    await ingress.post({ headers });

    expect(told('primary')).toMatchObject({ trace: traceId, digit: '01', state: 'vendor=1' });
    expect(await ingress.nginx.accessLine('r-kept')).toMatchObject({
      trace: traceId,
      parent: parentId,
      span: `00${told('primary').rest}`,
      sampled: '01',
      group: 'tiers',
    });
  });

  it.each([
    ['words', 'yes'],
    ['no trace', `00-${'0'.repeat(32)}-${parentId}-01`],
    ['no span', `00-${traceId}-${'0'.repeat(16)}-01`],
    ['capitals', `00-${traceId.toUpperCase()}-${parentId}-01`],
    ['another version', `01-${traceId}-${parentId}-01`],
    ['a tail', `00-${traceId}-${parentId}-01-x`],
    ['a second line in it', `00-${traceId}-${parentId}-01 x-evil: 1`],
  ])('is replaced where it is %s, and its tracestate dropped', async (_what, traceparent) => {
    await ingress.start();

    await ingress.post({ headers: { traceparent, tracestate: 'vendor=1' } });

    expect(told('primary')).toMatchObject({ trace: expect.not.stringMatching(traceId), flags: '01', state: undefined });
  });

  it('is the same trace for both tiers, each with its own span', async () => {
    await ingress.start({ shorten: hasty });
    ingress.primary.behave(own('INTERNAL'));

    await ingress.post({ headers: { traceparent: `00-${traceId}-${parentId}-00` } });

    const [first, second] = [told('primary'), told('fallback')];
    expect(first).toMatchObject({ trace: traceId, digit: '01' });
    expect(second).toMatchObject({ trace: traceId, digit: '02', rest: first.rest, flags: first.flags });
  });

  it.each([
    ['a strict request', 'primary', '/classify', '03'],
    ['a request with a deadline', 'primary', '/classify', '01'],
    ['clouds', 'clouds', '/infer', '04'],
    ['digits', 'digits', '/predict', '04'],
  ] as const)('names a span for %s', async (what, tier, path, digit) => {
    await ingress.start();
    const strict = what.includes('strict') && { prefer: 'handling=strict' };
    const hurried = what.includes('deadline') && { 'x-deadline-ms': '1000' };

    await ingress.post({ path, headers: { ...strict, ...hurried, traceparent: `00-${traceId}-${parentId}-01` } });

    expect(told(tier)).toMatchObject({ trace: traceId, digit });
  });
});

describe('TRACE_SHARE', () => {
  it.each([
    ['0', '01', '00'],
    ['100', '00', '01'],
  ])('of %s decides whatever the client says', async (share, said, decided) => {
    await ingress.start({ variables: { TRACE_SHARE: share } });

    await ingress.post({ headers: { traceparent: `00-${traceId}-${parentId}-${said}` } });

    expect(told('primary')).toMatchObject({ trace: traceId, flags: decided });
  });

  it('of 50 takes about half, whatever traces clients name', async () => {
    const primary = await startUpstream('primary');
    primary.behave(answer(200));
    const nginx = await startNginx(
      { primary: primary.port, fallback: primary.port },
      { variables: { TRACE_SHARE: '50' } },
    );
    for (let i = 0; i < 200; i += 1) {
      await send(nginx.origin, { headers: { traceparent: `00-${traceId}-${parentId}-01` } });
    }
    const flags = primary.received.map(({ headers }) => String(headers.traceparent).slice(-2));
    await nginx.stop();
    await primary.close();

    const recorded = flags.filter((one) => one === '01').length;
    expect(flags).toHaveLength(200);
    expect(recorded).toBeGreaterThan(50); // seven standard deviations
    expect(recorded).toBeLessThan(150);
  });
});
