import { describe, expect, it, jest } from '@jest/globals';
import { toShell } from '../../knative/revisions/kn.ts';
import { runRevision, version } from '../support/revision.ts';

jest.setTimeout(60_000);

describe('toShell', () => {
  it('quotes what a shell would interpret', () => {
    expect(toShell(['service', '--env', "A=it's; b", '--tag', 'x-00001=current'])).toBe(
      String.raw`kn service --env 'A=it'\''s; b' --tag x-00001=current`,
    );
  });
});

describe('npm run revision', () => {
  it.each([
    [[], /^Expected one of deploy, canary, promote, rollback, release but received ""\n\nUsage: /],
    [['advance'], /^Expected one of deploy, .* but received "advance"\n/],
    [['canary'], /^Expected a whole number from 1 to 99 for PERCENT but received ""\n$/],
    [['canary', '0'], /for PERCENT but received "0"\n$/],
    [['canary', '100'], /for PERCENT but received "100"\n$/],
    [['canary', '5.5'], /for PERCENT but received "5.5"\n$/],
    [['canary', '5', '6'], /^Expected nothing after canary but received "6"\n$/],
    [['promote', 'now'], /^Expected nothing after promote but received "now"\n$/],
    [['promote', '--image', 'a'], /^Expected --image for deploy or release but received it for promote\n$/],
    [['deploy', '--image', ''], /^Expected an image for --image but received ""\n$/],
    [['deploy', '--env', 'A'], /^Expected NAME=VALUE for --env but received "A"\n$/],
    [['deploy', '--wait', '0'], /^Expected a whole number from 1 to 3600 for --wait but received "0"\n$/],
    [['release', '--seconds', 'x'], /for --seconds but received "x"\n$/],
    [['release', '--address', 'localhost'], /^Expected an http address for --address but received "localhost"\n$/],
    [['promote', '--service', 'A'], /for --service but received "A"\n$/],
    [['promote', '--namespace', '../x'], /for --namespace but received "..\/x"\n$/],
    [['promote', '--speed'], /'--speed'/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await runRevision(args);

    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it.each([
    ['none', {}],
    ['v1.14.0', { kn: version('v1.14.0') }],
    ['v0.41.2', { kn: version('v0.41.2') }],
  ])('refuses kn %s and says where to get one', async (received, programs) => {
    const { code, stdout, stderr } = await runRevision(['promote'], programs);

    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toBe(
      `Expected kn 1.15 or later in PATH but received ${received}: see https://knative.dev/docs/client/install-kn\n`,
    );
  });

  it.each(['v1.15.0', 'v0.42.0', 'v20261101-local'])('accepts kn %s and reports its complaint', async (text) => {
    const kn = `${version(text)}
      [ "$1" = revision ] && echo 'No revisions found.' && exit
      echo 'Error: services.serving.knative.dev "x" not found' >&2; echo "Run 'kn --help' for usage" >&2; exit 1`;

    const { code, stderr } = await runRevision(['promote', '--service', 'x'], { kn });

    expect(code).toBe(1);
    expect(stderr).toBe(
      'kn service describe x --namespace understudy --output json: services.serving.knative.dev "x" not found\n',
    );
  });

  it('kills a kn that does not end', async () => {
    const { code, stderr } = await runRevision(['promote'], { kn: `${version('v1.15.0')}\nexec sleep 60` });

    expect(code).toBe(1);
    expect(stderr).toMatch(/^Expected an end of "kn \w+ \w+ .* within 10 s but received none\n$/);
  });
});
