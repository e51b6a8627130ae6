import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { addGraph, expectedScores, labels, picture, pixel, scoresIn, writeLabels } from '../support/add.ts';
import { colors, grayLogit, scoresOf } from '../support/colors.ts';
import { bytesOf, type OnnxOptions } from '../support/onnx.ts';

const unit = (value: number) => value / 255;

describe('the folder that models add makes', () => {
  it('has a card with all that was found, and the golden case', async () => {
    const { read, left, told, modelsDir } = await addGraph({ args: ['--resize', '9', '--kernel', 'cubic'] });

    const card = read('model.json');
    expect(left).toEqual(['colors']);
    expect(readdirSync(join(modelsDir, 'colors')).sort()).toEqual(['labels.json', 'model.json', 'model.onnx']);
    expect(card).toEqual({
      name: 'colors',
      version: card.sha256.slice(0, 8),
      family: 'colors',
      provenance: expect.stringContaining('colors.onnx'),
      file: 'model.onnx',
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      labels: 'labels.json',
      input: {
        name: 'image',
        elementType: 'float32',
        layout: 'NCHW',
        channels: 'RGB',
        resize: 9,
        crop: 8,
        kernel: 'cubic',
        mean: [0, 0, 0],
        std: [1, 1, 1],
      },
      output: { name: 'logits', activation: 'softmax' },
      accuracy: [],
      golden: {
        logits: [expect.closeTo(0.5, 1), expect.closeTo(0.5, 1), expect.closeTo(0.5, 1), grayLogit],
        tolerance: expect.closeTo(0.0005, 4),
      },
    });
    expect(read('labels.json')).toEqual(colors.map((color) => ({ class: color, label: color })));
    expect(told).toMatch(/^\S+models\/colors: added in [\d.]+ s\n/);
    expect(told).toContain(`MODELS_DIR=${modelsDir} PRIMARY_MODEL=colors npm start`);
  });

  it('is called by --name and --version', async () => {
    const { left, read } = await addGraph({ args: ['--name', 'paint', '--version', '2.1'] });

    expect(left).toEqual(['paint@2.1']);
    expect(read('model.json', 'paint@2.1')).toMatchObject({ name: 'paint', version: '2.1' });
  });

  it('brings weights along that lie beside the graph', async () => {
    const weights = bytesOf([0, 1, 2].flatMap((row) => [0, 1, 2, 3].map((column) => (row === column ? 1 : 0))));
    const outside = (graph: OnnxOptions): OnnxOptions => {
      const moved = { dims: [3, 4], values: { file: 'colors.onnx.data' } };
      return { ...graph, constants: { ...graph.constants, weights: moved } };
    };
    const circumstance = { graph: { change: outside }, args: ['--try', picture] };

    const { read, told, modelsDir } = await addGraph({ ...circumstance, beside: { 'colors.onnx.data': weights } });
    const lacking = await addGraph(circumstance);

    expect(read('model.json').externalData).toEqual([
      { file: 'colors.onnx.data', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(readdirSync(join(modelsDir, 'colors'))).toContain('colors.onnx.data');
    expect(scoresIn(told)).toEqual(expectedScores(scoresOf([...pixel], unit, 'softmax')));
    expect(lacking.left).toEqual([]);
    expect(lacking.fault?.message).toMatch(
      /^Expected the weights of \S+ in \S+colors\.onnx\.data but received no file$/,
    );
  });

  it.each([
    ['NominalRange_0_255', 'Bgr8', 'BGR', 1 / 255, 0],
    ['Normalized_0_1', 'Rgb8', 'RGB', 1, 0],
    ['Normalized_1_1', 'Bgra8', 'BGR', 0.5, 0.5],
  ])(
    "takes scale and order of channels from the file's metadata: %s, %s",
    async (range, format, channels, std, mean) => {
      const metadata = { 'Image.NominalPixelRange': range, 'Image.BitmapPixelFormat': format };
      const graph = { gain: 0.01, change: (options: OnnxOptions) => ({ ...options, metadata }) };

      const { read } = await addGraph({ graph, bare: true, args: ['--labels', labels] });

      expect(read('model.json').input).toMatchObject({ channels, mean: [mean, mean, mean], std: [std, std, std] });
    },
  );

  it("takes 256 of 224 pixels for ImageNet's, and the whole square for others", async () => {
    const graph = { size: 'side' };
    const sides = async (like: string) => {
      const { read } = await addGraph({ graph, args: ['--like', like, '--size', '224'] });
      return read('model.json').input;
    };

    expect(await sides('imagenet')).toMatchObject({ resize: 256, crop: 224 });
    expect(await sides('tf')).toMatchObject({ resize: 224, crop: 224 });
  });

  it('takes a sigmoid for logits where the labels say that classes do not exclude each other', async () => {
    const id2label = Object.fromEntries(colors.map((color, index) => [index, color]));
    const config = writeLabels(JSON.stringify({ id2label, problem_type: 'multi_label_classification' }));

    const { read } = await addGraph({ labels: config, graph: { gain: 9 } });

    expect(read('model.json').output.activation).toBe('sigmoid');
  });

  it('finds the layout that runs where all sides have names', async () => {
    const graph = {
      change: (options: OnnxOptions): OnnxOptions => ({
        ...options,
        inputs: [{ name: 'image', type: 'float32', shape: ['batch', 'channels', 'height', 'width'] }],
        // A convolution knows how many channels it takes.
        constants: { ...options.constants, kernel: { dims: [3, 3, 1, 1], values: [1, 0, 0, 0, 1, 0, 0, 0, 1] } },
        nodes: [
          { op: 'Conv', inputs: ['image', 'kernel'], outputs: ['same'] },
          ...options.nodes.map((node) => ({
            ...node,
            inputs: node.inputs.map((name) => (name === 'image' ? 'same' : name)),
          })),
        ],
      }),
    };

    const { read } = await addGraph({ graph, args: ['--size', '8'] });

    expect(read('model.json').input.layout).toBe('NCHW');
  });

  it('takes one value as a sigmoid of one class', async () => {
    const graph = { change: oneClass };

    const { read, told } = await addGraph({
      graph,
      labels: writeLabels('colorful'),
      args: ['--like', 'tf', '--try', picture],
    });

    expect(read('model.json').output.activation).toBe('sigmoid');
    expect(scoresIn(told)).toEqual({ colorful: expect.closeTo(1 / (1 + Math.exp(0.2)), 2) });
  });
});

/** The sum of the channels' means in place of four logits: of the picture, from -1 to 1, it is -0.2. */
function oneClass(graph: OnnxOptions): OnnxOptions {
  return {
    ...graph,
    outputs: [{ name: 'logits', type: 'float32', shape: ['batch', 1] }],
    constants: { weights: { dims: [3, 1], values: [1, 1, 1] }, bias: { dims: [1], values: [0] } },
  };
}
