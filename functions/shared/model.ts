import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import type { Tensor } from './tensor.ts';

/** A loaded model. `run` blocks its thread for the whole inference, so it belongs into a worker. */
export interface Model {
  /** One tensor in, the logits out. */
  run(tensor: Tensor): Promise<Float32Array>;
  /** Frees the session; not while a run is in flight. */
  release(): Promise<void>;
}

/**
 * Loads an ONNX file into one session of one thread: concurrency comes from workers, and a second thread would spin on the
 * cores that decode images. @throws ONNX Runtime's error
 */
export async function loadModel(path: string, inputName: string, outputName: string): Promise<Model> {
  const session = await InferenceSession.create(path, {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  return {
    async run({ elementType, data, dims }) {
      const input = new OrtTensor(elementType, data, dims);
      const outputs = await session.run({ [inputName]: input }, [outputName]);
      return outputs[outputName]?.data as Float32Array;
    },
    release: () => session.release(),
  };
}
