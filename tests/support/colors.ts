import { encodeOnnx, type OnnxNode, type OnnxOptions } from './onnx.ts';

export interface ColorOptions {
  readonly layout?: 'NCHW' | 'NHWC';
  readonly type?: 'float32' | 'uint8';
  readonly order?: 'RGB' | 'BGR';
  /** What the graph ends with. */
  readonly ending?: 'Softmax' | 'Sigmoid' | 'none';
  readonly batch?: number | string;
  readonly size?: number | string;
  /** Of the linear layer: what the mean of each channel is multiplied by. */
  readonly gain?: number;
  readonly change?: (graph: OnnxOptions) => OnnxOptions;
}

export const colors = ['red', 'green', 'blue', 'gray'];
/** The logit of gray, whatever the picture. */
export const grayLogit = -0.5;

/**
 * An ONNX classifier of colors: the logits of red, green and blue are the means of the channels times `gain`, that of gray is fixed.
 * In another layout, order or scale the scores are others.
 */
export function encodeColors({
  layout = 'NCHW',
  type = 'float32',
  order = 'RGB',
  ending = 'none',
  batch = 'batch',
  size = 8,
  gain = 1,
  change = (graph) => graph,
}: ColorOptions = {}): Buffer {
  const rows = [0, 1, 2].map((channel) => [0, 1, 2, 3].map((color) => (color === channel ? gain : 0)));
  const last = ending === 'none' ? [] : [{ op: ending, inputs: ['logits'], outputs: ['scores'] }];
  const output = ending === 'none' ? 'logits' : 'scores';
  const nodes: OnnxNode[] = [
    ...(type === 'uint8' ? [{ op: 'Cast', inputs: ['image'], outputs: ['floats'], attributes: { to: 1 } }] : []),
    {
      op: 'ReduceMean',
      inputs: [type === 'uint8' ? 'floats' : 'image'],
      outputs: ['means'],
      attributes: { axes: layout === 'NCHW' ? [2, 3] : [1, 2], keepdims: 0 },
    },
    { op: 'MatMul', inputs: ['means', 'weights'], outputs: ['products'] },
    { op: 'Add', inputs: ['products', 'bias'], outputs: ['logits'] },
    ...last,
  ];
  const shape = layout === 'NCHW' ? [batch, 3, size, size] : [batch, size, size, 3];
  return encodeOnnx(
    change({
      inputs: [{ name: 'image', type, shape }],
      outputs: [{ name: output, type: 'float32', shape: [batch, colors.length] }],
      nodes,
      constants: {
        weights: { dims: [3, 4], values: (order === 'RGB' ? rows : rows.toReversed()).flat() },
        bias: { dims: [4], values: [0, 0, 0, grayLogit] },
      },
    }),
  );
}

/** The scores of a plain picture, by color, where `toNumber` makes a channel's value what the graph takes. */
export function scoresOf(
  pixel: readonly [number, number, number],
  toNumber: (value: number, channel: number) => number,
  activation: 'softmax' | 'sigmoid',
  gain = 1,
): Readonly<Record<string, number>> {
  const logits = [...pixel.map((value, channel) => toNumber(value, channel) * gain), grayLogit];
  const weights = logits.map((logit) => Math.exp(logit));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const scores =
    activation === 'softmax' ? weights.map((weight) => weight / sum) : weights.map((weight) => weight / (1 + weight));
  return Object.fromEntries(colors.map((color, index) => [color, scores[index] as number]));
}
