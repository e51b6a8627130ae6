import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { readModelSpec } from '../functions/core/card/catalog.ts';
import { allowedInstructions } from '../functions/core/card/instructions.ts';
import { loadConfig } from '../functions/core/config.ts';
import { loadModel } from '../functions/core/pool/session.ts';
import type { Tensor } from '../functions/core/task.ts';
import { classify } from '../functions/tasks/classify/task.ts';
import { toTensor } from '../functions/tasks/classify/tensor.ts';
import { decodeImage } from '../functions/tasks/image/image.ts';

/** One classified photo. */
export interface Sample {
  readonly ms: number;
  /** Milliseconds by stage, named as in Server-Timing. */
  readonly stages: Readonly<Record<string, number>>;
}

/** Has a photo classified. */
export type Ask = (photo: Buffer) => Promise<Sample>;

/** Decode, tensor and run of the Wide ResNet by the service's own functions in this process: the lower bound of any service. */
export async function loadBare(env: NodeJS.ProcessEnv = process.env): Promise<{ ask: Ask; release(): Promise<void> }> {
  const { modelsDir, settings } = loadConfig(classify, 1, env);
  const spec = readModelSpec(modelsDir, 'wide-resnet', classify.card, allowedInstructions());
  const { input } = spec.details;
  const model = await loadModel(spec);
  let former: Tensor | undefined; // used again, as in the service's workers
  return {
    release: () => model.release(),
    ask: async (photo) => {
      const startedMs = performance.now();
      const image = await decodeImage(photo, input, settings.maxPixels);
      const decodedMs = performance.now();
      former = toTensor(image.pixels, input, former);
      await model.run(former);
      const endedMs = performance.now();
      return { ms: endedMs - startedMs, stages: { decode: decodedMs - startedMs, model: endedMs - decodedMs } };
    },
  };
}

/** Posts a photo over a kept connection. @throws Error at any answer but 200 */
export function through(origin: string): Ask {
  const agent = new Agent({ keepAlive: true });
  return async (photo) => {
    const startedMs = performance.now();
    const headers = { 'content-type': 'image/jpeg', 'content-length': photo.length };
    const sent = httpRequest(`${origin}/classify`, { method: 'POST', agent, headers });
    sent.end(photo);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    await response.toArray();
    const ms = performance.now() - startedMs;
    if (response.statusCode !== 200) throw new Error(`Expected 200 but received ${response.statusCode}`);
    const timing = String(response.headers['server-timing']).matchAll(/(\w+);dur=([\d.]+)/g);
    return { ms, stages: Object.fromEntries([...timing].map(([, stage, dur]) => [stage, Number(dur)])) };
  };
}
