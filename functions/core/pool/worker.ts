import { parentPort, workerData } from 'node:worker_threads';
import { readTextStart } from '../files.ts';
import { Problem } from '../problem.ts';
import type { TaskThread } from '../task.ts';
import type { FromWorker, Load, ToWorker } from './message.ts';
import { type Answer, answerBy, loadModel, type Model, prove } from './session.ts';
import { yieldCores } from './yield.ts';

const load = workerData as Load;
const port = parentPort as NonNullable<typeof parentPort>;

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function serve(model: Model, answer: Answer, modelMs: number): void {
  port.on('message', async (message: ToWorker) => {
    if (message.type === 'quit') {
      await model.release();
      port.close();
      return;
    }
    const startedMs = performance.now();
    try {
      const { input } = message;
      let preparedMs = startedMs;
      const output = await answer(input, () => {
        if (input.isEncoded) preparedMs = performance.now();
      });
      const [prepareMs, modelMs] = [preparedMs - startedMs, performance.now() - preparedMs];
      send({ type: 'done', output, prepareMs, modelMs, input }, [
        ...new Set([...buffersOf(input), ...buffersOf(output)]),
      ]);
    } catch (fault) {
      send(toMessage(fault));
    }
  });
  send({ type: 'ready', modelMs });
}

function toMessage(fault: unknown): FromWorker {
  if (!(fault instanceof Problem)) return { type: 'raised', error: String(fault) };
  const { code, status, title } = fault;
  return { type: 'unfit', kind: { code, status, title }, detail: fault.message };
}

/** What can be transferred of a typed array, or of an object that holds some. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (typeof value !== 'object' || value === null) return [];
  const parts = ArrayBuffer.isView(value) ? [value] : Object.values(value).filter((part) => ArrayBuffer.isView(part));
  return parts.map(({ buffer }) => buffer).filter((buffer) => buffer instanceof ArrayBuffer);
}

/** One line, whatever ONNX Runtime says in several. */
function refuse(fault: string, isFinal: boolean): void {
  const sentence = fault.replace(/^Error: /, '').replace(/\s+/g, ' ');
  send({ type: 'refused', error: `${load.path}: ${sentence}`, isFinal });
}

let isOpen = false;
try {
  yieldCores(load.niceness);
  if (readTextStart(load.path, 1) === undefined) throw new Error('Expected a file but received none');
  isOpen = true;
  const { thread } = (await import(load.thread)) as { readonly thread: TaskThread };
  const model = await loadModel(load);
  const answer = answerBy(model, thread, load.details);
  serve(model, answer, await prove(answer, thread, load.details));
} catch (fault) {
  // Whether a file is there and can be opened may be otherwise at the next start. The graph and what it answers will not.
  refuse(String(fault), isOpen);
}
