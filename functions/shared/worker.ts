import { parentPort, workerData } from 'node:worker_threads';
import { loadModel } from './model.ts';
import type { FromWorker, Load, ToWorker } from './pool.ts';

const { path, inputName, outputName, golden } = workerData as Load;
const port = parentPort as NonNullable<typeof parentPort>;

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

try {
  const model = await loadModel(path, inputName, outputName);
  const logits = await model.run(golden.tensor);
  const off = golden.logits.findIndex((logit, index) => !(Math.abs(logit - Number(logits[index])) <= golden.tolerance));
  if (off !== -1 || logits.length !== golden.logits.length) {
    throw new Error(`Expected ${golden.logits[off]} for logit ${off} of the golden case but received ${logits[off]}`);
  }
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
  send({ type: 'ready' });
} catch (fault) {
  send({ type: 'refused', error: String(fault) });
}
