import { defineFunction } from './core/function.ts';
import { digits as task } from './tasks/digits/task.ts';

/** Reads a single digit from a picture. */
export const digits = defineFunction({ name: 'digits', tier: 'primary', task });
