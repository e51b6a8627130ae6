import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { buildOverlay, findKustomize } from '../support/kustomize.ts';
import type { Manifest } from '../support/manifests.ts';
import { succeed } from './terraform/bed.ts';

jest.setTimeout(120_000);

/** Knative's operator carries the files of the releases, as its own tool fetched them from the same addresses. */
const operator = 'knative.dev/operator@v0.50.0';
const copies: Readonly<Record<string, string>> = {
  'serving/previous/v1.23.0/serving-crds.yaml': 'knative-serving/1.23.0/1-serving-crds.yaml',
  'serving/previous/v1.23.0/serving-core.yaml': 'knative-serving/1.23.0/2-serving-core.yaml',
  'net-kourier/previous/v1.23.0/kourier.yaml': 'ingress/1.23/kourier/kourier.yaml',
};
const install = 'terraform/knative/install.sh';

const kustomize = await findKustomize();
const missing = [...(spawnSync('go', ['version']).status === 0 ? [] : ['go']), ...(kustomize ? [] : ['kubectl'])];
if (missing.length > 0) process.stdout.write(`No ${missing.join(', ')} in PATH: 11 tests of ${install} skipped\n`);

(missing.length > 0 ? describe.skip : describe)(install, () => {
  let folder: string;
  let server: Server;
  let releases: Record<string, string>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'knative-test-'));
    const { Dir } = JSON.parse(succeed('go', ['mod', 'download', '-json', operator])) as { readonly Dir: string };
    releases = Object.fromEntries(
      Object.entries(copies).map(([path, copy]) => [
        path,
        readFileSync(join(Dir, 'cmd/operator/kodata', copy), 'utf8'),
      ]),
    );
    server = createServer(({ url = '' }, response) => {
      const text = releases[url.slice(1)];
      response.writeHead(text === undefined ? 404 : 200).end(text);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  }, 300_000);

  afterAll(() => {
    server?.close();
    rmSync(folder, { recursive: true });
  });

  /** Runs the script with a kubectl that writes down its arguments and keeps the folder that it applies. */
  async function run(...args: readonly string[]) {
    const bin = mkdtempSync(join(folder, 'bin-'));
    const kept = join(bin, 'kept');
    const script = [
      '#!/bin/sh',
      `echo "$*" >>${bin}/calls`,
      'for last; do :; done',
      `if [ -d "$last" ]; then cp -r "$last" ${kept}; fi`,
    ];
    writeFileSync(join(bin, 'kubectl'), `${script.join('\n')}\n`);
    chmodSync(join(bin, 'kubectl'), 0o755);
    const { port } = server.address() as AddressInfo;
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, RELEASES: `http://127.0.0.1:${port}` };
    const ended = await promisify(execFile)('bash', [install, ...args], { env }).then(
      () => ({ code: 0, stderr: '' }),
      ({ code, stderr }) => ({ code: Number(code), stderr: String(stderr) }),
    );
    const calls = existsSync(join(bin, 'calls')) ? readFileSync(join(bin, 'calls'), 'utf8').trim().split('\n') : [];
    return { ...ended, calls, kept };
  }

  it('pins the files of the release', () => {
    const pins = readFileSync('terraform/knative/release.sha256', 'utf8').trim().split('\n');

    expect(pins).toEqual(
      Object.entries(releases).map(([path, text]) => `${createHash('sha256').update(text).digest('hex')}  ${path}`),
    );
  });

  it('applies the types, then the rest, and waits for it', async () => {
    const { code, calls } = await run('a-context');

    expect(code).toBe(0);
    expect(calls.map((call) => call.replace(/\S+\/(?=serving)|(?<=kustomize )\S+/, ''))).toEqual([
      '--context a-context apply --filename serving-crds.yaml',
      '--context a-context wait --for condition=Established --timeout 60s --filename serving-crds.yaml',
      '--context a-context apply --kustomize ',
      ...['knative-serving', 'kourier-system'].map(
        (namespace) =>
          `--context a-context wait deployment --all --namespace ${namespace} --for condition=Available --timeout 300s`,
      ),
    ]);
  });

  it('makes Kourier the ingress, without a public address, and webhooks last', async () => {
    const { kept } = await run('a-context');
    const objects = await buildOverlay(kustomize ?? [''], kept);
    const find = (kind: string, name: string) =>
      objects.find((object) => object.kind === kind && object.metadata.name === name) as Manifest & {
        readonly spec: { readonly type?: string };
      };

    expect(find('ConfigMap', 'config-network').data).toMatchObject({
      'ingress-class': 'kourier.ingress.networking.knative.dev',
    });
    const services = objects.filter(({ kind }) => kind === 'Service') as readonly ReturnType<typeof find>[];
    expect(services.length).toBeGreaterThan(4);
    expect(services.filter(({ spec }) => !['ClusterIP', undefined].includes(spec.type))).toEqual([]);
    const kinds = objects.map(({ kind }) => kind);
    const first = kinds.findIndex((kind) => kind.endsWith('WebhookConfiguration'));
    expect(first).toBeGreaterThan(kinds.lastIndexOf('Deployment'));
    expect(kinds.slice(first).every((kind) => kind.endsWith('WebhookConfiguration'))).toBe(true);
  });

  it.each(Object.keys(copies))('applies nothing where this differs: %s', async (path) => {
    const whole = releases[path] as string;
    releases[path] = `${whole}\n`;
    try {
      const { code, stderr, calls } = await run('a-context');

      expect([code, calls]).toEqual([1, []]);
      expect(stderr).toMatch(new RegExp(`^Expected [0-9a-f]{64} for ${path} but received [0-9a-f]{64}\n$`));
    } finally {
      releases[path] = whole;
    }
  });

  it('applies nothing where a file is missing', async () => {
    const { [Object.keys(copies)[1] as string]: core, ...rest } = releases;
    const whole = releases;
    releases = rest;
    try {
      const { code, stderr, calls } = await run('a-context');

      expect([core === undefined, code === 0, calls]).toEqual([false, false, []]);
      expect(stderr).toContain('404');
    } finally {
      releases = whole;
    }
  });

  it.each([[[]], [['']], [['a', 'b']], [['--help']]])('asks for a context where it gets %j', async (args) => {
    const { code, stderr, calls } = await run(...args);

    expect([code, calls]).toEqual([2, []]);
    expect(stderr).toBe(`Expected a context of the kubeconfig but received "${args.join(' ')}"\n`);
  });
});
