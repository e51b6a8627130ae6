import { describe, expect, it } from '@jest/globals';
import { type IngressVariables, localVariables, renderIngress } from '../../ingress/render.ts';

const variables = localVariables({ runDir: '/run', port: 8080, functions: { primary: 8081, fallback: 8082 } });
const render = (change: IngressVariables) => renderIngress({ ...variables, ...change });

describe('entrypoint.sh', () => {
  it.each([
    ['100', '{ * 01; }'],
    ['0', '{ * 00; }'],
    ['0.01', '{ 0.01% 01; * 00; }'],
    ['9.99', '{ 9.99% 01; * 00; }'],
    ['99', '{ 99% 01; * 00; }'],
  ])('renders a TRACE_SHARE of %s per cent', (share, expected) => {
    expect(render({ TRACE_SHARE: share })).toContain(`split_clients $request_id $sampled ${expected}`);
  });

  it.each(['', '101', '0.0', '00', '-1', '10.5', '1.234', 'all'])('refuses a TRACE_SHARE of "%s"', (share) => {
    expect(() => render({ TRACE_SHARE: share })).toThrow(
      new Error(`Expected 0 to 100, below 10 with two decimals at most, for TRACE_SHARE but received "${share}"`),
    );
  });

  it('renders a second reader of the log, or none', () => {
    const line = 'access_log syslog:server=127.0.0.1:5140,nohostname,tag=understudy request;';

    expect(render({ LOG_SERVER: '127.0.0.1:5140' })).toContain(line);
    expect(render({})).not.toContain('syslog:');
  });

  it.each([
    [{ LOG_SERVER: 'a;b' }, 'Expected letters, digits and _./:@[]+,- for LOG_SERVER but received "a;b"'],
    [
      { LOG_SERVER: '127.0.0.1:5140', ACCESS_LOG: 'off' },
      'Expected a path for ACCESS_LOG, beside a LOG_SERVER, but received off',
    ],
  ])('refuses %j', (change: IngressVariables, fault) => {
    expect(() => render(change)).toThrow(new Error(fault));
  });
});
