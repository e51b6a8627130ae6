import { describe, expect, it } from '@jest/globals';
import { addGraph, type Circumstance, labels, writeLabels } from '../support/add.ts';
import { encodeColors } from '../support/colors.ts';
import type { OnnxOptions } from '../support/onnx.ts';

const shaped =
  (type: 'float32' | 'float16' | 'int64', shape: readonly (number | string)[]) =>
  (graph: OnnxOptions): OnnxOptions => ({ ...graph, inputs: [{ name: 'image', type, shape }] });

/** The graph with another last node. */
const ending =
  (op: string, type: 'float32' | 'int64', shape: readonly (number | string)[], attributes = {}) =>
  (graph: OnnxOptions): OnnxOptions => ({
    ...graph,
    nodes: [...graph.nodes, { op, inputs: ['logits'], outputs: ['end'], attributes }],
    outputs: [{ name: 'end', type, shape }],
  });

/** A second input, added to the logits. */
function twoInputs(graph: OnnxOptions): OnnxOptions {
  return {
    ...graph,
    inputs: [...graph.inputs, { name: 'mask', type: 'float32', shape: [1, 4] }],
    nodes: [...graph.nodes, { op: 'Add', inputs: ['logits', 'mask'], outputs: ['sum'] }],
    outputs: [{ name: 'sum', type: 'float32', shape: [1, 4] }],
  };
}

/** The picture is of another type and becomes float32 in the graph. */
const castFrom =
  (type: 'float16' | 'int64') =>
  (graph: OnnxOptions): OnnxOptions => ({
    ...shaped(type, [1, 3, 8, 8])(graph),
    nodes: [
      { op: 'Cast', inputs: ['image'], outputs: ['floats'], attributes: { to: 1 } },
      ...graph.nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map((name) => (name === 'image' ? 'floats' : name)),
      })),
    ],
  });

function flattened(graph: OnnxOptions): OnnxOptions {
  const nodes = graph.nodes.filter(({ op }) => op !== 'ReduceMean');
  const direct = nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => (name === 'means' ? 'image' : name)),
  }));
  return { ...shaped('float32', [1, 3])(graph), nodes: direct };
}

function grayscale(graph: OnnxOptions): OnnxOptions {
  const weights = { dims: [1, 4], values: [1, 1, 1, 1] };
  return { ...shaped('float32', [1, 1, 8, 8])(graph), constants: { ...graph.constants, weights } };
}

function mapped(graph: OnnxOptions): OnnxOptions {
  return {
    ...graph,
    nodes: [{ op: 'Relu', inputs: ['image'], outputs: ['same'] }],
    outputs: [{ name: 'same', type: 'float32', shape: ['batch', 3, 8, 8] }],
  };
}

const weightsIn =
  (file: string) =>
  (graph: OnnxOptions): OnnxOptions => ({
    ...graph,
    constants: { ...graph.constants, weights: { dims: [3, 4], values: { file } } },
  });

describe('models add refuses', () => {
  it.each<[string, Circumstance, RegExp]>([
    [
      'what is no ONNX file',
      { graph: Buffer.from('weights') },
      /Expected an ONNX file for \S+ but received another or one cut short/,
    ],
    [
      'a file cut short',
      { graph: encodeColors().subarray(0, 300) },
      /Expected an ONNX file for \S+ but received another or one cut short/,
    ],
    ['two inputs', { graph: { change: twoInputs } }, /Expected one input for \S+ but received 2: image, mask/],
    [
      'a fixed batch above 1',
      { graph: { batch: 2 } },
      /Expected a batch of 1, or of any number, .* but received \[2, 3, 8, 8\]/,
    ],
    [
      'numbers of 16 bits',
      { graph: { change: shaped('float16', [1, 3, 8, 8]) } },
      /colors\.onnx: Expected a graph that ONNX Runtime/,
    ],
    [
      'numbers of 16 bits that are cast',
      { graph: { change: castFrom('float16') } },
      /Expected float32 or uint8 .* but received float16/,
    ],
    ['whole numbers', { graph: { change: castFrom('int64') } }, /Expected float32 or uint8 .* but received int64/],
    ['vectors', { graph: { change: flattened } }, /Expected \[batch, 3, height, width\] or .* but received \[1, 3\]/],
    ['gray pictures', { graph: { change: grayscale } }, /Expected 3 channels, .* but received \[1, 1, 8, 8\]/],
    [
      'what is no square',
      { graph: { change: shaped('float32', [1, 3, 8, 9]) } },
      /Expected a square, .* but received \[1, 3, 8, 9\]/,
    ],
    [
      'a map in place of a row',
      { graph: { change: mapped } },
      /Expected one row of scores for the output "same" .* but received \[1, 3, 8, 8\]/,
    ],
    [
      'a class in place of scores',
      { graph: { change: ending('ArgMax', 'int64', ['batch', 1], { axis: 1 }) } },
      /Expected float32 for the output "end" .* but received int64/,
    ],
    [
      'what is no number',
      { graph: { change: ending('Sqrt', 'float32', ['batch', 4]) }, args: ['--like', 'tf'] },
      /Expected numbers for the output "end" .* but received NaN/,
    ],
    [
      'an operator set to come',
      { graph: { change: (graph) => ({ ...graph, opset: 99 }) } },
      /Expected a graph that ONNX Runtime [\d.]+ loads but received: .*Opset 99/,
    ],
    [
      'another number of labels',
      { labels: writeLabels('a\nb\nc') },
      /Expected 4 labels \(one a value of the output "logits"\) for \S+ but received 3/,
    ],
    [
      'no labels in the file',
      { labels: writeLabels('') },
      /Expected a name for each class for \S+ but received none in line 1/,
    ],
    [
      'no such file of labels',
      { labels: '/nowhere.txt' },
      /Expected a file that can be read for \/nowhere\.txt but received ENOENT/,
    ],
    [
      'a picture that is none',
      { args: ['--try', labels] },
      /labels\.txt: Expected a JPEG, PNG, .* but received other content/,
    ],
    [
      'weights in another folder',
      { graph: { change: weightsIn('../weights') } },
      /Expected weights in a file beside \S+, with a plain name, but received "\.\.\/weights"/,
    ],
    [
      'weights called as the card',
      { graph: { change: weightsIn('model.json') } },
      /with a plain name, but received "model\.json"/,
    ],
  ])('%s', async (_what, circumstance, message) => {
    const { fault, left } = await addGraph(circumstance);

    expect(fault?.name).toBe('DataError');
    expect(fault?.message).toMatch(message);
    expect(fault?.message).not.toContain('\n');
    expect(left).toEqual([]);
  });
});
