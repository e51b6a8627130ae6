import { DataError, readNamedFile } from './labeled.ts';

/** What an ONNX file says that ONNX Runtime for Node.js does not tell. */
export interface OnnxFile {
  /** Files beside it that hold weights, each once. */
  readonly externalFiles: readonly string[];
  /** Its metadata, by lower-case key: ONNX's own keys are case-insensitive. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether it computes in integers. */
  readonly isQuantized: boolean;
}

/** Reads the messages and fields of onnx.proto that are needed, by their numbers there. @throws DataError for another file */
export function readOnnx(path: string): OnnxFile {
  const externalFiles = new Set<string>();
  const metadata: Record<string, string> = {};
  let isQuantized = false;

  const visitTensor = (tensor: Buffer) => {
    if (!fieldsOf(tensor).some(({ number, value }) => number === 14 && value === external)) return;
    for (const entry of messagesOf(tensor, 13)) {
      const { key, value } = pairOf(entry);
      if (key === 'location') externalFiles.add(value);
    }
  };
  const visitNode = (node: Buffer) => {
    isQuantized ||= messagesOf(node, 4).some((type) => quantizedOperator.test(type.toString()));
    for (const attribute of messagesOf(node, 5)) {
      for (const tensor of [...messagesOf(attribute, 5), ...messagesOf(attribute, 10)]) visitTensor(tensor);
      for (const graph of [...messagesOf(attribute, 6), ...messagesOf(attribute, 11)]) visitGraph(graph);
    }
  };
  const visitGraph = (graph: Buffer) => {
    for (const node of messagesOf(graph, 1)) visitNode(node);
    for (const tensor of messagesOf(graph, 5)) visitTensor(tensor);
  };

  const model = readNamedFile(path);
  try {
    const graphs = messagesOf(model, 7);
    if (graphs.length === 0) throw new RangeError('no graph');
    for (const graph of graphs) visitGraph(graph);
    for (const body of messagesOf(model, 25)) for (const node of messagesOf(body, 7)) visitNode(node);
    for (const entry of messagesOf(model, 14)) {
      const { key, value } = pairOf(entry);
      metadata[key.toLowerCase()] = value;
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new DataError(`Expected an ONNX file for ${path} but received another or one cut short`, { cause });
  }
  return { externalFiles: [...externalFiles], metadata, isQuantized };
}

/** Of TensorProto's data_location. */
const external = 1;
const quantizedOperator = /^(Q(uantize)?Linear|DequantizeLinear|DynamicQuantize|ConvInteger|MatMulInteger)/;

interface Field {
  readonly number: number;
  /** A whole number, or the bytes of text, of a message or of packed numbers; undefined for other numbers. */
  readonly value: number | Buffer | undefined;
}

/** The fields of a protobuf message, in order. @throws RangeError for what is none */
function fieldsOf(message: Buffer): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const readNumber = () => {
    let number = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('cut short');
      number += (byte & 127) * factor;
      if (byte < 128) return number;
    }
  };
  const readBytes = (length: number) => {
    if (at + length > message.length) throw new RangeError('cut short');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = readNumber();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (number === 0) throw new RangeError('field 0');
    if (type === 0) fields.push({ number, value: readNumber() });
    else if (type === 2) fields.push({ number, value: readBytes(readNumber()) });
    else if (type === 1 || type === 5) fields.push({ number, value: void readBytes(type === 1 ? 8 : 4) });
    else throw new RangeError(`type ${type}`);
  }
  return fields;
}

/** The bytes of each field of that number. */
function messagesOf(message: Buffer, number: number): readonly Buffer[] {
  return fieldsOf(message).flatMap((field) =>
    field.number === number && Buffer.isBuffer(field.value) ? [field.value] : [],
  );
}

/** Of StringStringEntryProto. */
function pairOf(entry: Buffer) {
  const [key = '', value = ''] = [1, 2].map((number) => messagesOf(entry, number).at(-1)?.toString());
  return { key, value };
}
