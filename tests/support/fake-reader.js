// A thread in place of functions/tasks/clouds/reading.js that does what the first byte of a file says.
import { parentPort } from 'node:worker_threads';

let answered = 0;

parentPort?.on('message', ({ file }) => {
  const [order] = new Uint8Array(file);
  if (order === 1) for (;;); // hangs
  if (order === 2) process.exit(7);
  if (order === 3) throw new Error('a fault of ours');
  if (order === 4) for (const kept = []; ; ) kept.push({ more: kept.length });
  answered += 1;
  const patch = { width: answered, height: file.byteLength };
  parentPort?.postMessage(order === 5 ? { detail: 'Error: a fault of ours' } : { patch });
});
