import type { IncomingHttpHeaders } from 'node:http';
import { readInteger } from '../../core/parameter.ts';
import { Problem } from '../../core/problem.ts';
import type { Answer, Encoded, TensorInfo } from '../../core/task.ts';
import { parseJson, readBase64, readFields, readWhole } from './json.ts';

/** The one input of every task. */
export const imageInput = { name: 'image', datatype: 'BYTES', shape: [1] } as const satisfies TensorInfo;

/** What a client of the Open Inference Protocol asks. */
export interface InferRequest {
  readonly id: string | undefined;
  readonly bytes: Buffer;
  readonly outputs: readonly WantedOutput[];
}

export interface WantedOutput {
  readonly name: string;
  /** Whether its values follow the JSON. */
  readonly isBinary: boolean;
  /** How many classes are wanted as strings; undefined for the values themselves. */
  readonly classes?: number | undefined;
}

export interface OutputTensor {
  readonly name: string;
  readonly datatype: 'BYTES' | 'FP32';
  readonly data: readonly (string | number)[];
  readonly isBinary: boolean;
}

/** A tensor of BYTES is the length of each element, four bytes with the lowest first, and the element. */
const lengthBytes = 4;

/**
 * A request of one image: in JSON its data are base64; in binary they follow the JSON, whose length `Inference-Header-Content-Length`
 * tells.
 * @param outputNames those that there are
 * @throws Problem UPLOAD_MALFORMED | UPLOAD_EMPTY | PARAMETER_INVALID
 */
export function readInferRequest(
  body: Buffer,
  headers: IncomingHttpHeaders,
  outputNames: readonly string[],
): InferRequest {
  const jsonBytes = readInteger('Inference-Header-Content-Length', headers['inference-header-content-length'], {
    fallback: body.length,
    max: body.length,
  });
  const json = parseJson('the inference request', body.subarray(0, jsonBytes));
  const known = ['id', 'parameters', 'inputs', 'outputs'];
  const { id, inputs, outputs, parameters } = readFields('the inference request', json, known);
  const isBinary = flagOf(parameters, 'binary_data_output') ?? false;
  return {
    id: typeof id === 'string' ? id : undefined,
    bytes: readImage(inputs, body.subarray(jsonBytes)),
    outputs: Array.isArray(outputs)
      ? outputs.map((output) => readOutput(output, outputNames, isBinary))
      : outputNames.map((name) => ({ name, isBinary })),
  };
}

function flagOf(parameters: unknown, name: string): boolean | undefined {
  const value = (parameters as Record<string, unknown> | null | undefined)?.[name];
  return value === undefined ? undefined : value === true;
}

function readImage(inputs: unknown, tail: Buffer): Buffer {
  if (!Array.isArray(inputs) || inputs.length !== 1) throw unfit('one tensor', 'inputs', 'another number');
  const { name, datatype, shape, parameters, data } = readFields('the input', inputs[0], [
    ...['name', 'datatype', 'shape', 'parameters', 'data'],
  ]);
  if (name !== imageInput.name) throw unfit(imageInput.name, 'the name of the input', 'another');
  if (datatype !== imageInput.datatype) throw unfit(imageInput.datatype, 'the datatype of the input', 'another');
  if (!Array.isArray(shape) || shape.length === 0 || shape.some((side) => side !== 1)) {
    throw unfit('[1]', 'the shape of the input', 'another');
  }
  const { binary_data_size: size } = { ...(parameters as { binary_data_size?: unknown } | undefined) };
  if (size === undefined) {
    const [only, ...others] = [data].flat(3);
    if (others.length > 0) throw unfit('one element', 'the data of the input', 'more');
    return readBase64('the data of the input', only);
  }
  if (size !== tail.length) throw malformed(`${tail.length} bytes as binary_data_size`, 'another number');
  const length = size < lengthBytes ? -1 : tail.readUInt32LE(0);
  if (length !== size - lengthBytes) throw malformed('one element of BYTES, led by its length,', 'something else');
  return tail.subarray(lengthBytes);
}

function readOutput(output: unknown, names: readonly string[], isBinary: boolean): WantedOutput {
  const { name, parameters } = readFields('an output', output, ['name', 'parameters']);
  if (typeof name !== 'string' || !names.includes(name)) throw unfit(names.join(', '), 'an output', 'another');
  const { classification } = { ...(parameters as { classification?: unknown } | undefined) };
  return {
    name,
    isBinary: flagOf(parameters, 'binary_data') ?? isBinary,
    ...(classification !== undefined && { classes: readWhole('classification', classification, 20) }),
  };
}

function unfit(expected: string, name: string, received: string): Problem {
  return new Problem('PARAMETER_INVALID', `Expected ${expected} for ${name} but received ${received}`);
}

function malformed(expected: string, received: string): Problem {
  return new Problem('UPLOAD_MALFORMED', `Expected ${expected} after the inference request but received ${received}`);
}

/**
 * The answer: the model that gave it, and in `parameters` which tier, and why not the lead model. Binary values follow the JSON, whose
 * length is told by the header by which the request tells that of its own.
 */
export function encodeInferResponse(
  { model, version, tier, degraded, reason }: Answer,
  id: string | undefined,
  tensors: readonly OutputTensor[],
): Encoded {
  const outputs = tensors.map(({ name, datatype, data, isBinary }) => {
    const bytes = isBinary ? Buffer.concat(data.map(toBytes)) : undefined;
    const told = bytes ? { parameters: { binary_data_size: bytes.length } } : { data };
    return { bytes, json: { name, datatype, shape: [data.length], ...told } };
  });
  const json = JSON.stringify({
    ...(id !== undefined && { id }),
    model_name: model,
    model_version: version,
    parameters: { tier, degraded, ...(reason && { reason }) },
    outputs: outputs.map((output) => output.json),
  });
  const tail = outputs.flatMap(({ bytes }) => bytes ?? []);
  if (tail.length === 0) return { contentType: 'application/json', body: json };
  const head = Buffer.from(json);
  return {
    contentType: 'application/octet-stream',
    body: Buffer.concat([head, ...tail]),
    headers: { 'inference-header-content-length': String(head.length) },
  };
}

/** An element: FP32 with the lowest byte first, or BYTES. */
function toBytes(value: string | number): Buffer {
  const text = typeof value === 'string' ? Buffer.from(value) : undefined;
  const bytes = Buffer.alloc(4);
  if (text) bytes.writeUInt32LE(text.length);
  else bytes.writeFloatLE(value as number);
  return text ? Buffer.concat([bytes, text]) : bytes;
}
