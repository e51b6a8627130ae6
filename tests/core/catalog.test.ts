import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { listCandidates, readModelSpec } from '../../functions/core/card/catalog.ts';
import { imageCard } from '../../functions/tasks/image/card.ts';
import { card, folderWith, input, labels, variant } from '../support/cards.ts';

describe('readModelSpec', () => {
  it('returns a verified folder', () => {
    const dir = folderWith();

    expect(readModelSpec(dir, 'small', imageCard)).toEqual({
      folder: 'small',
      name: 'small',
      version: '1',
      variant: 'portable',
      path: join(dir, 'small', 'model.onnx'),
      files: [{ path: join(dir, 'small', 'model.onnx'), sha256: card.sha256 }],
      optimizedBy: null,
      input: { name: 'image' },
      output: card.output,
      details: {
        input: { ...input, kernel: 'linear' },
        activation: 'softmax',
        labels,
        golden: card.golden,
        temperature: 1,
      },
    });
  });

  it('takes a folder that is called name@version', () => {
    const dir = folderWith({ name: 'small@1' });

    expect(readModelSpec(dir, 'small@1', imageCard)).toMatchObject({ folder: 'small@1', name: 'small', version: '1' });
  });

  it.each([
    [undefined, 'linear'],
    ['linear', 'linear'],
    ['cubic', 'cubic'],
  ])('takes the kernel %s as %s', (kernel, expected) => {
    const spec = readModelSpec(folderWith({ model: { ...card, input: { ...input, kernel } } }), 'small', imageCard);

    expect(spec.details.input.kernel).toBe(expected);
  });

  it('takes the temperature of a variant, else that of the card', () => {
    const temperatureOf = (model: object) =>
      listCandidates(folderWith({ model }), 'small', imageCard, ['x64-avx2']).map(({ details }) => details.temperature);

    expect(temperatureOf({ ...card, temperature: 0.8, variants: [{ ...variant, temperature: 1.5 }] })).toEqual([
      1.5, 0.8,
    ]);
    expect(temperatureOf({ ...card, temperature: 0.8, variants: [variant] })).toEqual([0.8, 0.8]);
    expect(temperatureOf({ ...card, variants: [variant] })).toEqual([1, 1]);
  });

  it('takes the portable file where the best variant is not what its card says', () => {
    const dir = folderWith({ model: { ...card, variants: [variant] }, variantBytes: null });

    expect(readModelSpec(dir, 'small', imageCard, ['x64-avx2']).variant).toBe('portable');
  });

  it.each([
    ['softmax', 'RGB'],
    ['sigmoid', 'BGR'],
    ['none', 'RGB'],
  ])('takes %s of the output and %s as the order of channels', (activation, channels) => {
    const model = { ...card, input: { ...input, channels }, output: { ...card.output, activation } };

    const { details } = readModelSpec(folderWith({ model }), 'small', imageCard);

    expect([details.activation, details.input.channels]).toEqual([activation, channels]);
  });

  it.each<[string, object, RegExp]>([
    ['another name', { name: 'big' }, /Expected "small" .* for name but received "big"/],
    [
      'a typo',
      { sha256: undefined, sha265: card.sha256 },
      /one of name, .*, variants for a field of the card but received "sha265"\n.*for sha256 but received nothing/,
    ],
    ['a typo below', { input: { ...input, kernal: 'cubic' } }, /received "input\.kernal"/],
    ['a temperature of 0', { temperature: 0 }, /a number above 0 for temperature but received 0/],
    ['a negative one', { temperature: -1 }, /a number above 0 for temperature but received -1/],
    ['one that is text', { temperature: '1' }, /a number above 0 for temperature but received "1"/],
    ['features without a name', { features: {} }, /text for features\.name but received nothing/],
    ['ancestors elsewhere', { ancestors: '../a.json' }, /a file name for ancestors but/],
    ['no file of ancestors', { ancestors: 'a.json' }, /a\.json: Expected a file but received nothing/],
    ['ancestors that are none', { ancestors: 'labels.json' }, /a list of .* for ancestors but/],
    [
      'ancestors of classes that do not exclude each other',
      { output: { ...card.output, activation: 'sigmoid' }, ancestors: 'labels.json' },
      /no ancestors for classes with scores of their own but received some/,
    ],
    [
      'a temperature of what are scores already',
      { output: { ...card.output, activation: 'none' }, temperature: 2 },
      /no temperature for an output that is scores already but received 2/,
    ],
    ['a language elsewhere', { languages: { de: '../a.json' } }, /language tags other than en, and/],
    ['a language that is none', { languages: { d_e: 'a.json' } }, /language tags other than en, and/],
    ['English labels again', { languages: { en: 'a.json' } }, /language tags other than en, and/],
    ['a list of languages', { languages: ['de'] }, /for languages but received \["de"\]/],
    ['no file of labels', { languages: { de: 'a.json' } }, /a\.json: Expected a file but received/],
    ['labels that are none', { languages: { de: 'labels.json' } }, /an object of labels by class for de/],
    ['an unknown kernel', { input: { ...input, kernel: 'lanczos3' } }, /input\.kernel but/],
    ['an unknown order', { input: { ...input, channels: 'GBR' } }, /"BGR" for input\.channels but/],
    [
      'an unknown activation',
      { output: { ...card.output, activation: 'relu' } },
      /"none" for output\.activation but received "relu"/,
    ],
    ['a file elsewhere', { file: '../model.onnx' }, /a file name for file but/],
    ['a short hash', { sha256: 'abc' }, /64 hexadecimal digits for sha256 but received "abc"/],
    ['variants of another shape', { variants: {} }, /a list for variants/],
    ['external data of another shape', { externalData: { file: 'model.bin' } }, /a list for externalData/],
    [
      'external data without a hash',
      { externalData: [{ file: 'model.bin' }] },
      /64 hexadecimal digits for externalData\[0\]\.sha256/,
    ],
    ['no version', { version: '' }, /Expected text for version/],
    ['an unknown element type', { input: { ...input, elementType: 'int8' } }, /input\.elementType/],
    ['a crop of 0', { input: { ...input, crop: 0 } }, /from 1 to 1024 for input\.crop but received 0/],
    ['a resize below the crop', { input: { ...input, resize: 63 } }, /input\.resize but received 63/],
    ['a std of 0', { input: { ...input, std: [1, 0, 1] } }, /input\.std/],
    ['golden logits of text', { golden: { logits: ['1'], tolerance: 1 } }, /golden\.logits/],
    ['a short lookup table', { input: { ...input, elementType: 'uint8', lookup: [[1], [2], [3]] } }, /input\.lookup/],
  ])('refuses a folder whose card has %s', (_what, change, message) => {
    const dir = folderWith({ model: { ...card, ...change } });

    expect(() => readModelSpec(dir, 'small', imageCard)).toThrow(message);
  });

  it.each([
    ['small@2', {}, /Expected "small@2" .* for name@version but received "small@1"/],
    ['small', { names: ['one', 'two'] }, /Expected a list of \{"class", "label"\}/],
  ])('refuses a folder of another version, and labels of another shape: %s', (name, folder, message) => {
    const dir = folderWith({ name, ...folder });

    expect(() => readModelSpec(dir, name, imageCard)).toThrow(message);
  });

  it.each([
    [undefined, 'sigmoid'],
    ['none', 'none'],
  ])('makes of the output of a variant that says %s: %s', (own, expected) => {
    const { sha256, file } = card;
    const variant = {
      name: 'fast',
      instructions: 'arm64',
      precision: 'float32',
      optimizedBy: null,
      sha256,
      file,
      input,
    };
    const output = { ...card.output, ...(own && { activation: own }) };
    const model = {
      ...card,
      output: { ...card.output, activation: 'sigmoid' },
      variants: [{ ...variant, output, golden: card.golden }],
    };

    expect(readModelSpec(folderWith({ model }), 'small', imageCard, ['arm64'])).toMatchObject({
      variant: 'fast',
      details: { activation: expected },
    });
  });

  it('reports all faults of a card at once', () => {
    const dir = folderWith({ model: { ...card, version: 1, input: { ...input, layout: 'CHW' } } });

    expect(() => readModelSpec(dir, 'small', imageCard)).toThrow(/version.*\n.*input\.layout/);
  });
});
