import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { listCandidates, verifyFiles, verifyFilesMeanwhile } from '../../functions/core/card/catalog.ts';
import { instructionsOf } from '../../functions/core/card/instructions.ts';
import { imageCard } from '../../functions/tasks/image/card.ts';
import { card, folderWith, labels, otherWeights, sha256Of, variant } from '../support/cards.ts';

describe('listCandidates', () => {
  const both = { ...card, variants: [variant, { ...variant, name: 'wide', instructions: 'x64-avx512' }] };

  it.each([
    [[], ['portable']],
    [['arm64'], ['portable']],
    [['x64-avx2'], ['fast', 'portable']],
    [
      ['x64-avx512-vnni', 'x64-avx512'],
      ['wide', 'portable'],
    ],
    [
      ['x64-avx2', 'x64-avx512'],
      ['fast', 'wide', 'portable'],
    ],
  ])('lists for a processor of %j the variants in the order of the card, the portable file last', (sets, names) => {
    const candidates = listCandidates(folderWith({ model: both }), 'small', imageCard, sets);

    expect(candidates.map((candidate) => candidate.variant)).toEqual(names);
  });

  it('gives a variant its own file, input, output and golden case, and the labels of the card', () => {
    const dir = folderWith({ model: both });

    expect(listCandidates(dir, 'small', imageCard, ['x64-avx2'])[0]).toMatchObject({
      name: 'small',
      variant: 'fast',
      path: join(dir, 'small', 'fast.onnx'),
      files: [
        { path: join(dir, 'small', 'fast.onnx'), sha256: variant.sha256 },
        { path: join(dir, 'small', 'fast.bin'), sha256: card.sha256 },
      ],
      optimizedBy: '1.30.0',
      input: { name: 'pixels' },
      output: { name: 'scores' },
      details: { input: variant.input, activation: 'softmax', golden: variant.golden, labels },
    });
  });

  it('reads no weights: that a file is missing shows when it is verified', () => {
    const dir = folderWith({ model: both, variantBytes: null });
    const [fast, rest] = listCandidates(dir, 'small', imageCard, ['x64-avx2']);

    expect(() => verifyFiles(fast)).toThrow(/fast\.onnx: Expected SHA-256 .* but received no file$/);
    expect(() => verifyFiles(rest as typeof fast)).not.toThrow();
  });

  it('verifies files in the same way beside other work', async () => {
    const dir = folderWith({ model: both, variantBytes: null, bytes: otherWeights });
    const [fast, rest] = listCandidates(dir, 'small', imageCard, ['x64-avx2']);
    const messageOf = (fault: unknown) => (fault as Error).message;
    for (const spec of [fast, rest as typeof fast]) {
      const sooner = () => verifyFiles(spec);
      const later = verifyFilesMeanwhile(spec).catch(messageOf);

      expect(sooner).toThrow(String(await later));
    }
    const intact = listCandidates(folderWith({ model: both }), 'small', imageCard, ['x64-avx2']);
    await Promise.all(intact.map(verifyFilesMeanwhile));
  });

  it('verifies external data, too', () => {
    const externalData = [{ file: 'fast.bin', sha256: sha256Of(otherWeights) }];
    const dir = folderWith({ model: { ...card, variants: [{ ...variant, externalData }] } });
    const [fast] = listCandidates(dir, 'small', imageCard, ['x64-avx2']);

    expect(() => verifyFiles(fast)).toThrow(/fast\.bin: Expected SHA-256 .* \(7 bytes\)$/);
  });

  it.each([
    ['a typo', { ...variant, optimisedBy: null }, /received "variants\[0\]\.optimisedBy"/],
    ['no name', { ...variant, name: undefined }, /a name of its own for variants\[0\]\.name but received nothing/],
    ['the name of the portable file', { ...variant, name: 'portable' }, /a name of its own/],
    ['unknown instructions', { ...variant, instructions: 'avx2' }, /one of x64-avx512-vnni, .*arm64 for variants\[0\]/],
    ['an unknown precision', { ...variant, precision: 'int4' }, /"int8" or "float32" for variants\[0\]\.precision/],
    ['no optimizedBy', { ...variant, optimizedBy: undefined }, /version or null for variants\[0\]\.optimizedBy/],
    ['no input', { ...variant, input: undefined }, /variants\[0\]\.input\.crop/],
    ['another number of logits', { ...variant, golden: { logits: [1], tolerance: 1 } }, /1 labels .* of fast\.onnx/],
  ])('refuses a folder whose variant has %s, whatever the processor', (_what, faulty, message) => {
    const dir = folderWith({ model: { ...card, variants: [faulty] } });

    expect(() => listCandidates(dir, 'small', imageCard, [])).toThrow(message);
  });

  it('refuses two variants of one name', () => {
    const dir = folderWith({ model: { ...card, variants: [variant, variant] } });

    expect(() => listCandidates(dir, 'small', imageCard, [])).toThrow(/a name of its own for variants\[1\]\.name/);
  });

  it('accepts every class that a processor may have', () => {
    const texts = ['avx512f avx512_vnni', 'avx512f', 'avx2 avx_vnni', 'avx2'].map((flags) => `flags : ${flags}\n`);
    const sets = new Set([...texts.flatMap((text) => instructionsOf('x64', text)), ...instructionsOf('arm64', '')]);
    const variants = [...sets].map((instructions) => ({ ...variant, name: instructions, instructions }));

    expect(listCandidates(folderWith({ model: { ...card, variants } }), 'small', imageCard, [...sets])).toHaveLength(6);
  });
});
