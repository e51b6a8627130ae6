import type { IncomingHttpHeaders } from 'node:http';
import type { Door, Envelope, TensorInfo } from '../../core/task.ts';
import { inputsEnvelope, isJson } from '../doors/inputs.ts';
import { readWhole } from '../doors/json.ts';
import {
  encodeInferResponse,
  type InferRequest,
  imageInput,
  type OutputTensor,
  readInferRequest,
  type WantedOutput,
} from '../doors/protocol.ts';
import type { ImageModel } from '../image/card.ts';
import type { ClassifyAsk } from './ask.ts';
import { choosePredictions } from './encode.ts';
import type { ClassifyOutput } from './thread.ts';
import type { Prediction } from './top.ts';

type ClassifyDoor = Door<ClassifyAsk, ImageModel, ClassifyOutput>;

const inputs: Envelope<ClassifyAsk> = inputsEnvelope({
  top_k: { name: 'top', read: (value) => readWhole('top_k', value, 20) },
});

/** JSON with the photo in base64. */
export const envelopeFor = (headers: IncomingHttpHeaders) => (isJson(headers) ? inputs : undefined);

/** An array of `{"label", "score"}`, as Hugging Face's clients for image classification expect it. */
const huggingface: ClassifyDoor = {
  name: 'huggingface',
  takesJobs: true,
  envelopeFor,
  tellsError: true,
  encode(output, about) {
    const { predictions, headers } = choosePredictions(output, about);
    return json(JSON.stringify(predictions.map(({ label, score }) => ({ label, score }))), headers);
  },
};

/** `{LABEL: SCORE}`, as TorchServe's image classifier answers. Of classes with the same label the first one counts. */
const torchserve: ClassifyDoor = {
  name: 'torchserve',
  takesJobs: true,
  envelopeFor,
  encode(output, about) {
    const { predictions, headers } = choosePredictions(output, about);
    const firsts = predictions.filter(({ label }, i) => predictions.findIndex((one) => one.label === label) === i);
    // By hand: an object would put labels that are numbers first.
    const pairs = firsts.map(({ label, score }) => `${JSON.stringify(label)}:${score}`);
    return json(`{${pairs.join(',')}}`, headers);
  },
};

interface ProtocolAsk extends ClassifyAsk {
  readonly request: Omit<InferRequest, 'bytes'>;
}

const outputs = {
  label: { datatype: 'BYTES', read: ({ label }: Prediction) => label },
  score: { datatype: 'FP32', read: ({ score }: Prediction) => score },
  class: { datatype: 'BYTES', read: (prediction: Prediction) => prediction.class },
} as const;
const outputNames = Object.keys(outputs) as (keyof typeof outputs)[];

/** What the Open Inference Protocol infers here. */
export const inference = {
  inputs: [imageInput],
  outputs: outputNames.map((name): TensorInfo => ({ name, datatype: outputs[name].datatype, shape: [-1] })),
};

const protocol: Door<ProtocolAsk, ImageModel, ClassifyOutput> = {
  name: 'protocol',
  envelopeFor: () => ({
    open(body, { ask, headers }) {
      const { bytes, ...request } = readInferRequest(body, headers, outputNames);
      const classes = request.outputs.flatMap((output) => output.classes ?? []);
      return { bytes, ask: { ...ask, request, top: classes.length > 0 ? Math.max(...classes) : ask.top } };
    },
  }),
  tellsError: true,
  encode(output, about) {
    const { predictions, headers } = choosePredictions(output, about);
    const { id, outputs: wanted } = about.ask.request;
    const encoded = encodeInferResponse(
      about.answer,
      id,
      wanted.map((one) => toTensor(one, predictions)),
    );
    return { ...encoded, headers: { ...headers, ...encoded.headers } };
  },
};

/** With a number of classes, strings of score, index and label, as Triton writes them. */
function toTensor({ name, isBinary, classes }: WantedOutput, predictions: readonly Prediction[]): OutputTensor {
  if (classes === undefined) {
    const { datatype, read } = outputs[name as keyof typeof outputs];
    return { name, isBinary, datatype, data: predictions.map((one) => read(one)) };
  }
  const data = predictions.slice(0, classes).map(({ score, index, label }) => `${score}:${index}:${label}`);
  return { name, isBinary, datatype: 'BYTES', data };
}

function json(body: string, headers: ReturnType<typeof choosePredictions>['headers']) {
  return { contentType: 'application/json', body, ...(headers && { headers }) };
}

/** Ways into POST /classify for clients that exist. */
export const doors: Readonly<Record<string, ClassifyDoor>> = {
  '/huggingface': huggingface,
  '/predictions/classify': torchserve,
  '/v2/models/classify/infer': protocol as unknown as ClassifyDoor,
};
