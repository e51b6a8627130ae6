import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { buildOverlay, findKustomize, readOverlay } from '../support/kustomize.ts';
import type { Container, Manifest } from '../support/manifests.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'observability-test-')));
afterAll(() => rmSync(folder, { recursive: true }));

/** The development overlay with this component before its images. */
function writeOverlay(): string {
  const at = (path: string) => relative(folder, resolve('knative', path));
  const text = readFileSync('knative/overlays/development/kustomization.yaml', 'utf8')
    .replaceAll('../../base/', `${at('base')}/`)
    .replace(/\nimages:/, `\n  - ${at('observability')}\nimages:`);
  writeFileSync(join(folder, 'kustomization.yaml'), text);
  return folder;
}

const objects = readOverlay(writeOverlay());
const find = (kind: string, name: string) =>
  objects.find((object) => object.kind === kind && object.metadata.name === name) as Manifest;
const variableOf = ({ env = [] }: Container, name: string) =>
  (env as readonly { name: string; value?: string }[]).find((one) => one.name === name)?.value;
const collector = 'http://otel-collector.observability.svc.cluster.local:4318';

describe('the component for traces and metrics', () => {
  it.each(['classify-primary', 'classify-fallback', 'clouds', 'digits'])('tells %s where the collector is', (name) => {
    const [container] = find('Service', name).spec.template.spec.containers as [Container];

    expect(variableOf(container, 'OTEL_EXPORTER_OTLP_ENDPOINT')).toBe(collector);
  });

  it('puts the exporter beside nginx, at the address to which the log goes', () => {
    const [nginx, edge] = find('Deployment', 'ingress').spec.template.spec.containers as [Container, Container];

    expect(variableOf(nginx, 'LOG_SERVER')).toBe(variableOf(edge, 'LOG_LISTEN'));
    expect(variableOf(edge, 'METRICS_LISTEN')).toBe('0.0.0.0:9113');
    expect(variableOf(edge, 'OTEL_EXPORTER_OTLP_ENDPOINT')).toBe(collector);
    expect(edge.image).toBe('dev.local/understudy-fallback:development');
    expect(edge.securityContext).toEqual(nginx.securityContext);
  });

  it('lets Prometheus in and traces out, and nothing else', () => {
    const observability = [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'observability' } } }];
    const ports = (name: string) => {
      const { ingress, egress } = find('NetworkPolicy', name).spec;
      return [ingress.at(-1), egress.at(-1)];
    };

    const out = { to: observability, ports: [{ port: 4318 }] };
    expect(ports('functions')).toEqual([{ from: observability, ports: [{ port: 8080 }] }, out]);
    expect(ports('ingress')).toEqual([{ from: observability, ports: [{ port: 9113 }] }, out]);
  });

  it('is rendered as kubectl does it, where that is installed', async () => {
    const kustomize = await findKustomize();
    if (!kustomize) return;

    const rendered = await buildOverlay(kustomize, folder);

    const edge = (all: readonly Manifest[]) =>
      all.find(({ kind }) => kind === 'Deployment')?.spec.template.spec.containers.find(({ name }) => name === 'edge');
    expect(edge(rendered)).toEqual(edge(objects));
    expect(rendered).toHaveLength(objects.length);
  });
});
