import { describe, expect, it, jest } from '@jest/globals';
import { useCluster } from './support/cluster.ts';
import { kn, kubectl, run } from './support/command.ts';
import { imageOf, readImages, withOverlay } from './support/overlay.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

describe('a deployed overlay', () => {
  const cluster = useCluster('drift');

  it('agrees with the manifests in all that they set', async () => {
    const { code, stdout, stderr } = await withOverlay(cluster, [], (folder) => run('kubectl', ['diff', '-k', folder]));

    expect([code, stdout + stderr]).toEqual([0, '']);
  });

  it.each(['classify-primary', 'classify-fallback', 'clouds', 'digits'])(
    'is what kn describes of %s: ready, cluster-local, the image under test',
    async (name) => {
      const text = await kn(['-n', cluster.namespace, 'service', 'describe', name, '-v']);

      const part = name.replace('classify-', '');
      expect(text).toMatch(/^\s*\+\+ Ready\s/m);
      expect(text).toContain(`http://${name}.${cluster.namespace}.svc.cluster.local`);
      expect(text).toContain(imageOf(part, readImages()));
      expect(text).toContain('networking.knative.dev/visibility=cluster-local');
    },
  );

  it.each(['classify-primary', 'classify-fallback'])(
    'names the revisions of %s by the Service and their number',
    async (name) => {
      const path = 'jsonpath={.status.latestReadyRevisionName}';
      const revision = await kubectl(['-n', cluster.namespace, 'get', `ksvc/${name}`, '-o', path]);

      expect(revision).toMatch(new RegExp(`^${name}-\\d{5}$`));
    },
  );

  it.each<[string, object, RegExp]>([
    ['a min-scale over the max-scale', annotated({ 'min-scale': '3', 'max-scale': '2' }), /max-scale/],
    ['a window under 6 s', annotated({ window: '5s' }), /window/],
    ['an activation-scale of 1', annotated({ 'activation-scale': '1' }), /activation-scale/],
    ['a time-out over 600 s', { spec: { template: { spec: { timeoutSeconds: 601 } } } }, /timeoutSeconds/],
  ])('cannot be given %s', async (_, patch, complaint) => {
    const { code, stderr } = await tryPatch('merge', patch);

    expect([code, stderr]).toEqual([1, expect.stringMatching(complaint)]);
  });

  it('rejects a readiness probe that counts failures without a period', async () => {
    const probe = { httpGet: { path: '/readyz', port: 0 }, periodSeconds: 0, failureThreshold: 3 };

    const { code, stderr } = await tryPatch('json', [
      { op: 'replace', path: '/spec/template/spec/containers/0/readinessProbe', value: probe },
    ]);

    expect([code, stderr]).toEqual([1, expect.stringMatching(/failureThreshold/)]);
  });

  it('differs after a change by hand', async () => {
    const patch = JSON.stringify({ spec: { template: { spec: { timeoutSeconds: 59 } } } });
    await kubectl(['-n', cluster.namespace, 'patch', 'ksvc', 'classify-fallback', '--type=merge', '-p', patch]);

    const { code, stdout } = await withOverlay(cluster, [], (folder) => run('kubectl', ['diff', '-k', folder]));
    await cluster.apply();

    expect([code, stdout]).toEqual([1, expect.stringContaining('timeoutSeconds: 59')]);
  });

  const tryPatch = (type: string, patch: object) =>
    run('kubectl', [
      ...['-n', cluster.namespace, 'patch', 'ksvc', 'classify-primary', '--dry-run=server'],
      ...[`--type=${type}`, '-p', JSON.stringify(patch)],
    ]);
});

function annotated(knobs: Readonly<Record<string, string>>): object {
  const annotations = Object.fromEntries(
    Object.entries(knobs).map(([knob, value]) => [`autoscaling.knative.dev/${knob}`, value]),
  );
  return { spec: { template: { metadata: { annotations } } } };
}
