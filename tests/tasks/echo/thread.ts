import { Problem } from '../../../functions/core/problem.ts';
import type { TaskInput, TaskThread } from '../../../functions/core/task.ts';
import type { EchoModel } from './task.ts';

export const thread: TaskThread<EchoModel, string, TaskInput> = {
  prepare: ({ data }) => [{ elementType: 'float32', data: Float32Array.from(data), dims: [1, data.length] }],
  read: ([values], _details, { data }) => {
    if (data[0] === 63)
      throw new Problem({ code: 'ECHO_QUESTION', status: 422, title: 'A question' }, 'Expected no question');
    return Buffer.from((values ?? []) as Float32Array)
      .toString('latin1')
      .replace(/\0+$/, '');
  },
  golden({ golden, bytes }) {
    const data = new Uint8Array(bytes);
    data.set(Buffer.from(golden));
    return { data };
  },
  prove(letters, { golden }) {
    if (letters !== golden) throw new Error(`Expected ${golden} for the golden case but received ${letters}`);
  },
};
