import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { readThreadId } from './files.ts';
import { loadModel, type Model } from './model.ts';
import type { FromWorker, Load, ToWorker } from './pool.ts';

const { path, inputName, outputName, golden, niceness } = workerData as Load;
const port = parentPort as NonNullable<typeof parentPort>;

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** The first logit of the golden case that is not as it must be, as a sentence. */
function goldenFault(logits: Float32Array): string | undefined {
  if (logits.length !== golden.logits.length) {
    return `Expected ${golden.logits.length} logits for the golden case but received ${logits.length}`;
  }
  const off = golden.logits.findIndex((logit, index) => !(Math.abs(logit - Number(logits[index])) <= golden.tolerance));
  if (off === -1) return undefined;
  return `Expected ${golden.logits[off]} for logit ${off} of the golden case but received ${logits[off]}`;
}

/** Linux schedules threads one by one, so this thread alone gives way; elsewhere there is no id and all stay equal. */
function yieldCores(): void {
  const thread = niceness > 0 ? readThreadId() : undefined;
  if (thread !== undefined) setPriority(thread, niceness);
}

function serve(model: Model, modelMs: number): void {
  port.on('message', async (message: ToWorker) => {
    if (message.type === 'quit') {
      await model.release();
      port.close();
      return;
    }
    const startedMs = performance.now();
    try {
      const logits = await model.run(message.tensor);
      const modelMs = performance.now() - startedMs;
      send({ type: 'done', logits, modelMs }, [logits.buffer as ArrayBuffer]);
    } catch (fault) {
      send({ type: 'raised', error: String(fault) });
    }
  });
  send({ type: 'ready', modelMs });
}

try {
  yieldCores();
  const model = await loadModel(path, inputName, outputName);
  const startedMs = performance.now();
  const logits = await model.run(golden.tensor);
  const modelMs = performance.now() - startedMs;
  const fault = goldenFault(logits);
  if (fault === undefined) serve(model, modelMs);
  else send({ type: 'refused', error: fault, isFinal: true });
} catch (fault) {
  send({ type: 'refused', error: String(fault), isFinal: false });
}
