/** What an ONNX file of a test has; operators of opset 17. */
export interface OnnxOptions {
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly OnnxTensor[];
  readonly nodes: readonly OnnxNode[];
  readonly constants?: Readonly<Record<string, OnnxConstant>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly opset?: number;
}

export interface OnnxTensor {
  readonly name: string;
  readonly type: keyof typeof elementTypes;
  /** Names for what is not fixed. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** A number is an INT, a list INTS. */
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
}

/** float32 numbers, or where they lie in a file beside the graph. */
export interface OnnxConstant {
  readonly dims: readonly number[];
  readonly values: readonly number[] | { readonly file: string };
}

/** By onnx.proto. */
export const elementTypes = { float32: 1, uint8: 2, int64: 7, string: 8, float16: 10 } as const;

/** The bytes of an ONNX file: protobuf, whose field numbers are those of onnx.proto. */
export function encodeOnnx(options: OnnxOptions): Buffer {
  const { inputs, outputs, nodes, constants = {}, metadata = {}, opset = 17 } = options;
  const graph = [
    ...nodes.map((node) => part(1, encodeNode(node))),
    part(2, 'test'),
    ...Object.entries(constants).map(([name, constant]) => part(5, encodeConstant(name, constant))),
    ...inputs.map((tensor) => part(11, encodeTensorInfo(tensor))),
    ...outputs.map((tensor) => part(12, encodeTensorInfo(tensor))),
  ];
  const properties = Object.entries(metadata).map(([key, value]) => part(14, [part(1, key), part(2, value)]));
  return Buffer.concat([number(1, 8), part(7, graph), part(8, [number(2, opset)]), ...properties]);
}

function encodeNode({ op, inputs, outputs, attributes = {} }: OnnxNode): Buffer[] {
  return [
    ...inputs.map((name) => part(1, name)),
    ...outputs.map((name) => part(2, name)),
    part(4, op),
    ...Object.entries(attributes).map(([name, value]) =>
      part(
        5,
        typeof value === 'number'
          ? [part(1, name), number(3, value), number(20, 2)]
          : [part(1, name), ...value.map((entry) => number(8, entry)), number(20, 7)],
      ),
    ),
  ];
}

function encodeConstant(name: string, { dims, values }: OnnxConstant): Buffer[] {
  const about = [...dims.map((side) => number(1, side)), number(2, elementTypes.float32), part(8, name)];
  if ('file' in values) return [...about, part(13, [part(1, 'location'), part(2, values.file)]), number(14, 1)];
  return [...about, part(9, bytesOf(values))];
}

function encodeTensorInfo({ name, type, shape }: OnnxTensor): Buffer[] {
  const sides = shape.map((side) => part(1, [typeof side === 'number' ? number(1, side) : part(2, side)]));
  return [part(1, name), part(2, [part(1, [number(1, elementTypes[type]), part(2, sides)])])];
}

/** Numbers as they lie in a file of weights. */
export function bytesOf(values: readonly number[]): Buffer {
  return Buffer.from(Float32Array.from(values).buffer);
}

/** A field of text, bytes or a message. */
function part(field: number, content: string | Buffer | readonly Buffer[]): Buffer {
  const bytes =
    typeof content === 'string' ? Buffer.from(content) : Buffer.isBuffer(content) ? content : Buffer.concat(content);
  return Buffer.concat([variable(field * 8 + 2), variable(bytes.length), bytes]);
}

function number(field: number, value: number): Buffer {
  return Buffer.concat([variable(field * 8), variable(value)]);
}

/** Seven bits a byte, the lowest first; of a number from 0. */
function variable(value: number): Buffer {
  return value < 128
    ? Buffer.of(value)
    : Buffer.concat([Buffer.of((value % 128) + 128), variable(Math.floor(value / 128))]);
}
