import type { TaskInput, TaskThread } from '../../../functions/core/task.ts';
import type { EchoModel } from './task.ts';

export const thread: TaskThread<EchoModel, string, TaskInput> = {
  prepare: ({ data }) => [{ elementType: 'float32', data: Float32Array.from(data), dims: [1, data.length] }],
  read: ([values]) =>
    Buffer.from((values ?? []) as Float32Array)
      .toString('latin1')
      .replace(/\0+$/, ''),
  golden({ golden, bytes }) {
    const data = new Uint8Array(bytes);
    data.set(Buffer.from(golden));
    return { data };
  },
  prove(letters, { golden }) {
    if (letters !== golden) throw new Error(`Expected ${golden} for the golden case but received ${letters}`);
  },
};
