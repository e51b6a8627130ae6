import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { imagesOf, readFiles } from '../files.ts';
import { copyCheckout, describeWith, type Keys, newKeys, type Registry, run, startRegistry } from './bench.ts';

jest.setTimeout(5 * 60_000);

const images = imagesOf(readFiles());
describeWith(['cosign', 'crane', 'registry'])('sign.sh', () => {
  const folder = mkdtempSync(join(tmpdir(), 'understudy-sign-'));
  const checkout = join(folder, 'checkout');
  const signed = new Map<string, string>();
  let registry: Registry;
  let ours: Keys;
  let another: Keys;
  let status: number;
  let output: string;

  beforeAll(async () => {
    registry = await startRegistry();
    copyCheckout(checkout);
    ours = await newKeys(join(folder, 'ours'));
    another = await newKeys(join(folder, 'another'));
    for (const name of images) signed.set(name, await push(name, `what is in ${name}`));
    ({ status, output } = await run(
      '.github/scripts/sign.sh',
      [],
      {
        ...registry.env,
        IMAGE_PREFIX: registry.prefix,
        DIGESTS: [...signed].map(([name, digest]) => `${name}@${digest}`).join(),
        ...ours.signing,
      },
      checkout,
    ));
  });

  afterAll(async () => {
    await registry.stop();
    rmSync(folder, { recursive: true });
  });

  /** Pushes an image of one small layer. @returns its digest */
  async function push(name: string, text: string): Promise<string> {
    writeFileSync(join(folder, 'file'), text);
    await run('tar', ['--create', '--file=layer.tar', 'file'], {}, folder);
    const tag = `${registry.prefix}${name}:test`;
    await run('crane', ['append', '--new_layer', 'layer.tar', '--new_tag', tag], registry.env, folder);
    return (await run('crane', ['digest', tag], registry.env)).output.trim();
  }

  /** @param command of cosign */
  function verify(command: string, keys: Keys, name: string, digest = signed.get(name)) {
    const type = command === 'verify' ? [] : ['--type', 'cyclonedx'];
    const args = [command, ...type, ...keys.verifying, `${registry.prefix}${name}@${digest}`];
    return run('cosign', args, registry.env);
  }

  it('ends well', () => {
    expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
  });

  it.each(images)('signs the digest of %s', async (name) => {
    const { status, output } = await verify('verify', ours, name);

    expect({ status, output }).toMatchObject({ status: 0, output: expect.stringContaining(String(signed.get(name))) });
  });

  it('signs by no other key', async () => {
    const { status, output } = await verify('verify', another, 'primary');

    expect(status).not.toBe(0);
    expect(output).toContain('failed to verify signature');
  });

  it('signs no other digest', async () => {
    const other = await push('primary', 'what was never tried');

    const { status, output } = await verify('verify', ours, 'primary', other);

    expect(status).not.toBe(0);
    expect(output).toContain('no signatures found');
  });

  it.each(images.filter((name) => name !== 'ingress'))('attests the npm packages of %s', async (name) => {
    const { status, output } = await verify('verify-attestation', ours, name);

    expect(status).toBe(0);
    const [envelope = ''] = /^\{.*\}$/m.exec(output) ?? [];
    const { subject, predicate } = JSON.parse(Buffer.from(JSON.parse(envelope).payload, 'base64').toString());
    expect(subject).toEqual([
      expect.objectContaining({ digest: { sha256: signed.get(name)?.slice('sha256:'.length) } }),
    ]);
    const packages = JSON.parse(readFileSync('package.json', 'utf8')).dependencies as Record<string, string>;
    expect(predicate.components).toEqual(
      expect.arrayContaining(
        Object.entries(packages).map(([name, version]) =>
          expect.objectContaining({ purl: `pkg:npm/${name.replace('@', '%40')}@${version}` }),
        ),
      ),
    );
  });

  it('attests the packages by no other key, and for no other image', async () => {
    expect(await verify('verify-attestation', another, 'primary')).not.toMatchObject({ status: 0 });
    expect(await verify('verify-attestation', ours, 'ingress')).not.toMatchObject({ status: 0 });
  });
});
