import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Tensor } from '../../tasks/classify/tensor.ts';

/** An ONNX file and how it is used. */
export interface ModelFile {
  readonly path: string;
  readonly input: { readonly name: string };
  readonly output: { readonly name: string };
  /** Version of ONNX Runtime whose optimizer wrote the file; null for a plain graph. */
  readonly optimizedBy: string | null;
}

/** A loaded model. `run` blocks its thread for the whole inference, so it belongs into a worker. */
export interface Model {
  /** One tensor in, the logits out. @throws ONNX Runtime's error, or one that names a logit that is no number */
  run(tensor: Tensor): Promise<Float32Array>;
  /** Frees the session; not while a run is in flight. */
  release(): Promise<void>;
}

/** A generated input with the logits that it must give, each within `tolerance`. */
export interface GoldenCase {
  readonly tensor: Tensor;
  readonly logits: readonly number[];
  readonly tolerance: number;
}

/**
 * Loads an ONNX file into one session of one thread: concurrency comes from workers, and a second thread would spin on the
 * cores that decode images. A file that was optimized before is taken as it is.
 * @throws Error of one sentence, which may quote ONNX Runtime
 */
export async function loadModel({ path, input, output, optimizedBy }: ModelFile): Promise<Model> {
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
    async run({ elementType, data, dims }) {
      const tensor = new OrtTensor(elementType, data, dims);
      const outputs = await session.run({ [input.name]: tensor }, [output.name]);
      const logits = outputs[output.name]?.data;
      if (!(logits instanceof Float32Array))
        throw new Error(`Expected float32 for ${output.name} but received another type`);
      const strange = logits.find((logit) => !Number.isFinite(logit));
      if (strange !== undefined) throw new Error(`Expected numbers for the logits but received ${strange}`);
      return logits;
    },
    release: () => session.release(),
  };
}

/** Runs the golden case. @throws Error of one sentence that says what is not as it must be */
export async function proveModel(model: Model, { tensor, logits, tolerance }: GoldenCase): Promise<void> {
  const received = await model.run(tensor).catch((cause: Error) => {
    throw new Error(`Expected logits for the golden case but received: ${cause.message}`, { cause });
  });
  if (received.length !== logits.length) {
    throw new Error(`Expected ${logits.length} logits for the golden case but received ${received.length}`);
  }
  const off = logits.findIndex((logit, index) => !(Math.abs(logit - (received[index] as number)) <= tolerance));
  if (off === -1) return;
  throw new Error(`Expected ${logits[off]} for logit ${off} of the golden case but received ${received[off]}`);
}
