import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { TaskInput, TaskThread, Tensor, Values } from '../task.ts';

/** An ONNX file and how it is used. */
export interface ModelFile {
  readonly path: string;
  readonly input: { readonly name: string };
  readonly output: { readonly name: string };
  /** Version of ONNX Runtime whose optimizer wrote the file; null for a plain graph. */
  readonly optimizedBy: string | null;
}

/** An input or an output of a graph, as ONNX Runtime tells of it. */
export interface Slot {
  readonly name: string;
  /** Such as `float32`; null for what is no tensor. */
  readonly elementType: string | null;
  /** Names, or nothing, for what is not fixed. */
  readonly shape: readonly (number | string)[];
}

/** An output of a run. */
export interface Filled {
  readonly dims: readonly number[];
  readonly data: Values;
}

/** A loaded graph, whichever of its tensors are used. */
export interface Graph {
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  /** The named outputs for a tensor of one input. @throws ONNX Runtime's error */
  run(input: string, tensor: Tensor, outputs: readonly string[]): Promise<readonly Filled[]>;
  /** Frees the session; not while a run is in flight. */
  release(): Promise<void>;
}

/** A loaded model. `run` blocks its thread for the whole inference, so it belongs into a worker. */
export interface Model {
  /** One tensor in, the values of the output out, and then those of `further` ones by name. @throws ONNX Runtime's error */
  run(tensor: Tensor, further?: readonly string[]): Promise<readonly Values[]>;
  /** Frees the session; not while a run is in flight. */
  release(): Promise<void>;
}

/** What a run throws is not written to stderr as well, in several lines and red. */
const quiet: InferenceSession.RunOptions = { logSeverityLevel: 4 };

/**
 * Loads an ONNX file into one session of one thread: concurrency comes from workers, and a second thread would spin on the
 * cores that decode uploads. A file that was optimized before is taken as it is.
 * @throws Error of one sentence, which may quote ONNX Runtime
 */
export async function loadModel({ path, input, output, optimizedBy }: ModelFile): Promise<Model> {
  const { run, release } = await openGraph(path, optimizedBy);
  return {
    async run(tensor, further = []) {
      const filled = await run(input.name, tensor, [output.name, ...further]);
      return filled.map(({ data }) => data);
    },
    release,
  };
}

/** The same, before it is known which input and output are used. @throws Error of one sentence, which may quote ONNX Runtime */
export async function openGraph(path: string, optimizedBy: string | null = null): Promise<Graph> {
  const version = env.versions.node;
  if (optimizedBy !== null && optimizedBy !== version) {
    throw new Error(`Expected ONNX Runtime ${optimizedBy}, which optimized the file, but received ${version}`);
  }
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: optimizedBy === null ? 'all' : 'disabled',
    logSeverityLevel: 3,
    extra: {
      session: { intra_op: { allow_spinning: '0' } },
      // In place of 128: a 1x1 convolution of a Wide ResNet has up to 2,048 channels, and passes over its sums once for each batch.
      // Wide ResNet-50-2 in float32 takes 0.6 % less, 512 to 2,048 gain nothing more; graphs in int8 do not read it.
      mlas: { nchwc_pointwise_conv_max_input_channel_batch: '256' },
    },
  };
  const session = await InferenceSession.create(path, options).catch((cause: Error) => {
    throw new Error(`Expected a graph that ONNX Runtime ${version} loads but received: ${cause.message}`, { cause });
  });
  return {
    inputs: session.inputMetadata.map(toSlot),
    outputs: session.outputMetadata.map(toSlot),
    async run(input, { elementType, data, dims }, names) {
      const outputs = await session.run({ [input]: new OrtTensor(elementType, data, dims) }, names, quiet);
      return names.map((name) => outputs[name] as OrtTensor & { readonly data: Values });
    },
    release: () => session.release(),
  };
}

function toSlot(metadata: InferenceSession.ValueMetadata): Slot {
  const { name } = metadata;
  return metadata.isTensor
    ? { name, elementType: metadata.type, shape: metadata.shape }
    : { name, elementType: null, shape: [] };
}

/** An input on its way through a loaded model. */
export type Answer = (input: TaskInput, onPrepared?: () => void) => Promise<unknown>;

/** Each input's tensors are written over those before: new memory each time would have to be mapped, page by page. */
export function answerBy(
  model: Model,
  { prepare, further, read }: Pick<TaskThread, 'prepare' | 'further' | 'read'>,
  details: unknown,
): Answer {
  let former: readonly Tensor[] | undefined;
  return async (input, onPrepared) => {
    former = prepare(input, details, former);
    onPrepared?.();
    const names = further?.(input, details);
    const outputs = [];
    for (const tensor of former) outputs.push(...(await model.run(tensor, names)));
    return read(outputs, details, input);
  };
}

/** Runs the golden case and returns how many ms that took. @throws Error of one sentence when it does not give what the card says */
export async function prove(answer: Answer, { golden, prove }: TaskThread, details: unknown): Promise<number> {
  const input = golden(details);
  const startedMs = performance.now();
  const output = await answer(input).catch((cause: Error) => {
    throw new Error(`Expected an answer for the golden case but received: ${cause.message}`, { cause });
  });
  const ms = performance.now() - startedMs;
  prove(output, details);
  return ms;
}
