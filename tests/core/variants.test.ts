import { cpSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { allowedInstructions } from '../../functions/core/card/instructions.ts';
import type { RunningFunction } from '../support/function.ts';
import { changeCard, serveModels } from '../support/models.ts';
import { ask, cleanAfterEach, linesOf } from '../support/served.ts';

const { later, modelsDir, startPrimary } = cleanAfterEach();

describe('a variant', () => {
  const classes = ['x64-avx512-vnni', 'x64-avx512', 'x64-avx2-vnni', 'x64-avx2', 'arm64'];
  const allowed = classes.filter((name) => allowedInstructions().includes(name));

  /** The leading model with a variant for every class of processors, each a copy of its file, changed. */
  function dirWithVariants(change: object, spoil: (file: string) => void = () => {}): string {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    const folder = join(dir, 'wide-resnet');
    changeCard(folder, (card) => {
      const variants = classes.map((instructions) => {
        const file = `${instructions}.onnx`;
        cpSync(join(folder, card.file), join(folder, file));
        spoil(join(folder, file));
        const { sha256, input, output, golden } = card;
        const graph = { file, sha256, optimizedBy: null, input, output, golden, ...change };
        return { name: `${instructions}-float32`, instructions, precision: 'float32', ...graph };
      });
      return { ...card, variants };
    });
    return dir;
  }

  const variantsOf = async ({ url }: RunningFunction) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return [...text.matchAll(/^understudy_model_info\{(.*)\} 1$/gm)].map(([, labels]) => labels);
  };
  const infoOf = (model: string, variant: string) => `model="${model}",version="1",variant="${variant}"`;

  it.each([
    [
      'that fails its golden case',
      { golden: { logits: [1, 3], tolerance: 0.1 } },
      () => {},
      /Expected 3 for logit 1 of the golden case/,
    ],
    [
      'that another runtime optimized',
      { optimizedBy: '1.29.0' },
      () => {},
      /Expected ONNX Runtime 1\.29\.0, which optimized the file, but received [\d.]+/,
    ],
    ['that is cut short', {}, (file: string) => truncateSync(file, 500), /Expected SHA-256 .* \(500 bytes\)/],
    ['that is not there', {}, (file: string) => rmSync(file), /Expected SHA-256 .* but received no file/],
  ])('%s gives way to the next, at last to the portable file', async (_what, change, spoil, cause) => {
    const fn = await startPrimary(dirWithVariants(change, spoil));
    await fn.ready();

    const refused = await linesOf(fn, 'variant refused', allowed.length);

    expect(refused.map(({ variant }) => variant)).toEqual(allowed.map((name) => `${name}-float32`));
    for (const line of refused) {
      expect(line).toMatchObject({ severity: 'warn', model: 'wide-resnet', cause: expect.stringMatching(cause) });
    }
    expect(await ask(fn)).toMatchObject({ model: 'wide-resnet', degraded: false });
    expect(await variantsOf(fn)).toEqual([infoOf('wide-resnet', 'portable'), infoOf('mobilenet', 'portable')]);
  });

  it('that is as its card says is served, by the log and the metrics', async () => {
    const fn = await startPrimary(dirWithVariants({}));
    await fn.ready();
    const best = allowed.length > 0 ? `${allowed[0]}-float32` : 'portable';

    expect(await ask(fn)).toMatchObject({ model: 'wide-resnet', degraded: false });
    expect(await linesOf(fn, 'worker ready', 2)).toContainEqual(
      expect.objectContaining({ model: 'wide-resnet', version: '1', variant: best }),
    );
    expect(await variantsOf(fn)).toContain(infoOf('wide-resnet', best));
    expect(fn.lines.filter(({ message }) => message === 'variant refused')).toEqual([]);
  });
});

describe('a model whose file is gone when its worker starts', () => {
  /** A fallback in this very process; nothing of a model is read after its file has been verified, before this returns. */
  function serveFallback(dir: string) {
    let lost = 0;
    const service = serveModels(dir, undefined, (_severity, message) => {
      lost += Number(message === 'worker lost');
    });
    later(() => service.close());
    const until = async (condition: () => boolean) => {
      for (let i = 0; i < 1000 && !condition(); i += 1) await sleep(10);
    };
    return { service, until, workersLost: () => lost };
  }

  it('is served when the file is back', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const file = join(dir, 'mobilenet/model.onnx');
    const { service, until, workersLost } = serveFallback(dir);
    renameSync(file, `${file}.away`);
    await until(() => workersLost() > 0);

    renameSync(`${file}.away`, file);
    await until(service.canAnswer);

    expect(service.canAnswer()).toBe(true);
  }, 20_000);

  it('is lost when what comes back is no graph', async () => {
    const dir = modelsDir({ mobilenet: 'moody' });
    const file = join(dir, 'mobilenet/model.onnx');
    const { service, until, workersLost } = serveFallback(dir);
    rmSync(file);
    await until(() => workersLost() > 0);

    writeFileSync(file, 'no graph');

    expect((await service.lost).message).toMatch(/model\.onnx: Expected a graph .*Protobuf parsing failed/);
  }, 20_000);
});
