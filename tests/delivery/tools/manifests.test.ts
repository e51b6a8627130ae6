import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { cache, describeWith, run } from './bench.ts';
import { writeSchemas } from './kubernetes.ts';

jest.setTimeout(120_000);

const overlays = readdirSync('knative/overlays');

describeWith(['kubeconform', 'kubectl'])('what is deployed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-manifests-'));

  beforeAll(() => writeSchemas(join(cache, 'schemas'), folder));

  afterAll(() => rmSync(folder, { recursive: true }));

  const render = async (overlay: string) => (await run('kubectl', ['kustomize', `knative/overlays/${overlay}`])).output;

  /** How many objects are valid, how many are not, and what is wrong with them. */
  async function validate(manifests: string) {
    const file = join(folder, 'manifests.yaml');
    writeFileSync(file, manifests);
    const schemas = join(folder, '{{.ResourceKind}}{{.KindSuffix}}.json');
    const args = ['-strict', '-summary', '-output', 'json', '-schema-location', schemas, file];
    const { status, output } = await run('kubeconform', args);
    const { resources, summary } = JSON.parse(output);
    return { status, complaints: JSON.stringify(resources), ...summary };
  }

  it.each(overlays)('has only fields that Kubernetes and Knative know: %s', async (overlay) => {
    const rendered = await render(overlay);

    const objects = rendered.match(/^kind: /gm)?.length;
    expect(objects).toBeGreaterThan(10);
    expect(await validate(rendered)).toMatchObject({ status: 0, valid: objects, invalid: 0, errors: 0, skipped: 0 });
  });

  it.each([
    [
      'a misspelled field of Knative',
      'production',
      'containerConcurrency:',
      'containerConcurency:',
      'containerConcurency',
    ],
    ['a misspelled field of a container', 'production', 'periodSeconds:', 'periodSecond:', 'periodSecond'],
    ['a text for a number', 'production', /replicas: \d+/, 'replicas: two', 'want integer'],
    ['a field in the wrong place', 'kubernetes', 'minReplicas:', 'replicas:', 'replicas'],
    ['a version that is no longer served', 'production', 'policy/v1\n', 'policy/v1beta1\n', 'could not find schema'],
  ])('does not pass with %s', async (_, overlay, text, replacement, complaint) => {
    const rendered = await render(overlay);
    const { status, complaints } = await validate(rendered.replace(text, replacement));

    expect(status).not.toBe(0);
    expect(complaints).toContain(complaint);
  });
});
