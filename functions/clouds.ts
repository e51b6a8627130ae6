import { defineFunction } from './core/function.ts';
import { reader, clouds as task } from './tasks/clouds/task.ts';

/** Masks clouds by a chosen network, the embedded one or, at last, an index test. */
export const clouds = defineFunction({ name: 'clouds', tier: 'primary', task });
reader.start();
