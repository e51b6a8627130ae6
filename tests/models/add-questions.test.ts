import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { add } from '../../models/add.ts';
import { readAddOptions } from '../../models/add-options.ts';
import { addGraph, type Circumstance, labels } from '../support/add.ts';
import type { OnnxOptions } from '../support/onnx.ts';
import { runProgram } from '../support/program.ts';

const program = fileURLToPath(new URL('../../models/models.js', import.meta.url));
const named = ['--labels', labels];

describe('models add asks', () => {
  it.each<[string, Circumstance, RegExp]>([
    [
      'for all that it does not know at once',
      { graph: { size: 'side' }, bare: true },
      /^Expected --labels FILE .*, and --size N .*, and --like imagenet\|tf\|caffe\|raw\|unit or --mean and --std .* for \S+, which does not tell, but received nothing$/,
    ],
    [
      'for the labels',
      { bare: true, args: ['--like', 'tf'] },
      /^Expected --labels FILE \(the names of the classes\) for/,
    ],
    ['for the scale', { bare: true, args: named }, /^Expected --like imagenet/],
    ['for the size', { graph: { size: 'side' } }, /^Expected --size N \(pixels of a side\) for/],
    [
      'for no scale of bytes',
      { graph: { type: 'uint8', size: 'side' }, bare: true, args: named },
      /^Expected --size N \(pixels of a side\) for/,
    ],
    [
      'what values from 0 to 1 are',
      { graph: { ending: 'Sigmoid' } },
      /^Expected none \(scores of classes that do not exclude each other, .*\) or softmax or sigmoid \(logits\) for --activation/,
    ],
    [
      'which of several outputs has the scores',
      { graph: { change: twoOutputs } },
      /^Expected the output with a score for each class, of logits, means, for --output but received \S+ with 2 outputs, as detectors have$/,
    ],
    [
      'for another output than one that is not there',
      { args: ['--output', 'boxes'] },
      /of logits, for --output but received "boxes"$/,
    ],
    [
      'for the layout where the graph takes both',
      { graph: { change: anyLayout }, args: ['--size', '8'] },
      /^Expected NCHW or NHWC for --layout, since \S+ takes both, but received nothing$/,
    ],
    [
      "for the graph's size in place of another",
      { args: ['--size', '9'] },
      /^Expected 8, .*, for --size but received 9$/,
    ],
    [
      "for the graph's layout in place of another",
      { args: ['--layout', 'NHWC'] },
      /^Expected NCHW, .*, for --layout but received NHWC$/,
    ],
    [
      'for bytes as they are',
      { graph: { type: 'uint8' }, args: ['--like', 'tf'] },
      /^Expected raw \(uint8: .* for --like but received tf$/,
    ],
    [
      'for a shorter side that holds the square',
      { args: ['--resize', '7'] },
      /from 8 \(the size\) for --resize but received 7$/,
    ],
    [
      'not to make scores of scores',
      { graph: { ending: 'Softmax' }, args: ['--activation', 'sigmoid'] },
      /^Expected none for --activation, since its values add up to 1, .*, but received sigmoid$/,
    ],
    [
      'not to take logits for scores',
      { args: ['--activation', 'none', '--like', 'tf'] },
      /^Expected softmax for --activation, since some of its values are not from 0 to 1, but received none$/,
    ],
  ])('%s', async (_what, circumstance, message) => {
    const { fault, left } = await addGraph(circumstance);

    expect(fault?.name).toBe('QuestionError');
    expect(fault?.message).toMatch(message);
    expect(fault?.message).not.toContain('\n');
    expect(left).toEqual([]);
  });

  it('takes the output and the layout that are named', async () => {
    const output = await addGraph({ graph: { change: twoOutputs }, args: ['--output', 'logits'] });
    const layout = await addGraph({ graph: { change: anyLayout }, args: ['--size', '8', '--layout', 'NHWC'] });

    expect(output.read('model.json').output.name).toBe('logits');
    expect(layout.read('model.json').input.layout).toBe('NHWC');
  });
});

function twoOutputs(graph: OnnxOptions): OnnxOptions {
  return { ...graph, outputs: [...graph.outputs, { name: 'means', type: 'float32', shape: ['batch', 3] }] };
}

/** The mean of all values, whatever their order. */
function anyLayout(graph: OnnxOptions): OnnxOptions {
  const [mean, ...others] = graph.nodes;
  return {
    ...graph,
    inputs: [{ name: 'image', type: 'float32', shape: ['a', 'b', 'c', 'd'] }],
    constants: { ...graph.constants, weights: { dims: [1, 4], values: [1, 2, 3, 4] } },
    nodes: [
      { op: 'Flatten', inputs: ['image'], outputs: ['flat'] },
      { ...mean, op: 'ReduceMean', inputs: ['flat'], outputs: ['means'], attributes: { axes: [1], keepdims: 1 } },
      ...others,
    ],
  };
}

describe('models add takes no command line', () => {
  it.each<[string, readonly string[], RegExp]>([
    [
      'a name for --like that it does not know',
      ['--like', 'torch'],
      /one of imagenet, tf, caffe, raw, unit for --like but received "torch"/,
    ],
    ['--mean alone', ['--mean', '0.5'], /--mean and --std together, or --like alone, but received --mean/],
    [
      '--mean beside --like',
      ['--mean', '0.5', '--std', '1', '--like', 'tf'],
      /but received --mean and --std and --like/,
    ],
    ['two numbers', ['--mean', '0.5,0.5', '--std', '1'], /three numbers, or one, for --mean but received "0\.5,0\.5"/],
    ['words', ['--mean', '0.5,0.5,a', '--std', '1'], /three numbers, or one, for --mean/],
    ['a std of 0', ['--mean', '0', '--std', '1,0,1'], /three numbers above 0, or one, for --std/],
    [
      'a mean of pixels',
      ['--mean', '123.675,116.28,103.53', '--std', '58'],
      /numbers up to 1, or --range 255, for --mean/,
    ],
    [
      'a mean above 255',
      ['--mean', '256', '--std', '1', '--range', '255'],
      /numbers up to 255 for --mean but received "256"/,
    ],
    ['another range', ['--range', '100'], /1 or 255 for --range but received "100"/],
    ['a size of 0', ['--size', '0'], /from 1 to 1024 for --size but received "0"/],
    ['a size of 1025', ['--size', '1025'], /from 1 to 1024 for --size but received "1025"/],
    ['a size of half a pixel', ['--size', '1.5'], /for --size/],
    ['another kernel', ['--kernel', 'lanczos3'], /linear or cubic for --kernel/],
    ['another order', ['--channels', 'GBR'], /RGB or BGR for --channels/],
    ['another layout', ['--layout', 'CHW'], /NCHW or NHWC for --layout/],
    ['another activation', ['--activation', 'relu'], /softmax or sigmoid or none for --activation/],
    ['a name with a slash', ['--name', '../x'], /for --name and --version but received "\.\.\/x"/],
    ['a name with a version', ['--name', 'a@1'], /for --name and --version/],
    ['an empty version', ['--version', ''], /for --name and --version/],
    ['two files', ['other.onnx'], /one ONNX file for add but received 2/],
  ])('with %s', async (_what, args, message) => {
    const { fault, left } = await addGraph({ args: [...args, ...named], bare: true });

    expect(fault?.name).toBe('TypeError');
    expect(fault?.message).toMatch(message);
    expect(left).toEqual([]);
  });

  it.each([[[]], [['remove', 'x']]])('that names no command: %j', (args) => {
    expect(() => readAddOptions(args)).toThrow(/^Expected add or build for the command but received/);
  });
});

describe('npm run models', () => {
  const run = (...args: readonly string[]) => runProgram(program, ...args);

  it('ends with 0 and tells what it made, with 1 where it cannot, with 2 and one sentence where it asks', async () => {
    const { path, modelsDir } = await addGraph();
    const add = (...args: readonly string[]) => run('add', path, '--models-dir', modelsDir, ...args);

    const made = add('--name', 'other', ...named, '--like', 'unit');
    const exists = add(...named, '--like', 'unit');
    const asked = add('--name', 'third', ...named);
    const wrong = add('--like', 'torch');

    expect(made).toEqual({
      status: 0,
      stderr: '',
      stdout: expect.stringMatching(/other: added in [\d.]+ s\n {2}input .*\n/),
    });
    expect(exists).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(/^Expected another --name .*\n$/) });
    expect(asked).toEqual({ status: 2, stdout: '', stderr: expect.stringMatching(/^Expected --like .*\n$/) });
    expect(wrong).toEqual({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^Expected .*\n\nUsage: npm run models/),
    });
    expect(readdirSync(modelsDir).sort()).toEqual(['colors', 'other']);
  });
});

describe('a folder that exists', () => {
  it.each(['colors', 'empty'])('stays as it is: %s', async (name) => {
    const { path, modelsDir, read } = await addGraph();
    mkdirSync(join(modelsDir, 'empty'));
    const before = read('model.json');

    const options = ['add', path, '--models-dir', modelsDir, '--name', name, ...named, '--like', 'tf'];
    const again = add(readAddOptions(options));

    await expect(again).rejects.toThrow(
      /^Expected another --name or --version for \S+, which exists, but received none$/,
    );
    expect(read('model.json')).toEqual(before);
    expect(readdirSync(join(modelsDir, 'empty'))).toEqual([]);
    expect(readdirSync(modelsDir).sort()).toEqual(['colors', 'empty']);
  });

  it('is needed for --models-dir', async () => {
    const { path, place } = await addGraph();

    const options = readAddOptions(['add', path, '--models-dir', join(place, 'none'), ...named, '--like', 'tf']);

    await expect(add(options)).rejects.toThrow(/^Expected a folder for --models-dir but received/);
    expect(readdirSync(place)).not.toContain('none');
  });
});
