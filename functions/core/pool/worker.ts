import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { type Tensor, toTensor } from '../../tasks/classify/tensor.ts';
import { readTextStart, readThreadId } from '../files.ts';
import type { FromWorker, Load, ToWorker } from './pool.ts';
import { loadModel, type Model, proveModel } from './session.ts';

const load = workerData as Load;
const { path, input, golden, niceness } = load;
const port = parentPort as NonNullable<typeof parentPort>;

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** Linux schedules threads one by one, so this thread alone gives way; elsewhere there is no id and all stay equal. */
function yieldCores(): void {
  const thread = niceness > 0 ? readThreadId() : undefined;
  // A process that has given way further already may not take that back, and need not.
  if (thread !== undefined && getPriority(thread) < niceness) setPriority(thread, niceness);
}

/** Each run's tensor is written over the one before: new memory each time would have to be mapped, page by page. */
function serve(model: Model, former: Tensor, modelMs: number): void {
  port.on('message', async (message: ToWorker) => {
    if (message.type === 'quit') {
      await model.release();
      port.close();
      return;
    }
    const startedMs = performance.now();
    try {
      const { pixels } = message;
      const logits = await model.run(toTensor(pixels, input, former));
      const modelMs = performance.now() - startedMs;
      const buffers = [logits.buffer as ArrayBuffer, pixels.data.buffer as ArrayBuffer];
      send({ type: 'done', logits, modelMs, pixels }, buffers);
    } catch (fault) {
      send({ type: 'raised', error: String(fault) });
    }
  });
  send({ type: 'ready', modelMs });
}

/** One line, whatever ONNX Runtime says in several. */
function refuse(fault: string, isFinal: boolean): void {
  const sentence = fault.replace(/^Error: /, '').replace(/\s+/g, ' ');
  send({ type: 'refused', error: `${path}: ${sentence}`, isFinal });
}

let isOpen = false;
try {
  yieldCores();
  if (readTextStart(path, 1) === undefined) throw new Error('Expected a file but received none');
  isOpen = true;
  const model = await loadModel(load);
  const startedMs = performance.now();
  const tensor = toTensor(golden.pixels, input);
  await proveModel(model, { ...golden, tensor });
  serve(model, tensor, performance.now() - startedMs);
} catch (fault) {
  // Whether a file is there and can be opened may be otherwise at the next start. The graph and what it answers will not.
  refuse(String(fault), isOpen);
}
