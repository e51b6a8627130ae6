import { parentPort, workerData } from 'node:worker_threads';

/**
 * Speaks the pool's protocol without a model. `workerData.path` says how it starts (refuse, die, or refuse for the second and third
 * time), the input, an Int32, what a run does: n >= 0 blocks for n milliseconds and answers [n]; -1 raises; -2 kills the thread; -3 finds the input at fault.
 */
const starts = Atomics.add(workerData.details.starts, 0, 1);
if (workerData.path === 'refuse' || (workerData.path === 'refuse later' && (starts === 1 || starts === 2))) {
  parentPort.postMessage({ type: 'refused', error: 'golden case failed', isFinal: true });
} else if (workerData.path === 'die') {
  throw new Error('cannot start');
} else {
  parentPort.on('message', ({ type, input }) => {
    if (type === 'quit') {
      parentPort.close();
      return;
    }
    const [command] = new Int32Array(input.data.buffer);
    if (command === -2) process.exit(3);
    if (command === -3) {
      const kind = { code: 'UNFIT', status: 422, title: 'Unfit' };
      parentPort.postMessage({ type: 'unfit', kind, detail: 'told so' });
      return;
    }
    if (command === -1) {
      parentPort.postMessage({ type: 'raised', error: 'told to raise' });
      return;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, command);
    parentPort.postMessage({ type: 'done', output: Float32Array.of(command), prepareMs: 1, modelMs: command, input });
  });
  parentPort.postMessage({ type: 'ready', modelMs: 7 });
}
