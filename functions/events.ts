import { defineEvents } from './core/events.ts';
import { classify } from './tasks/classify/task.ts';
import { clouds, reader } from './tasks/clouds/task.ts';
import { digits } from './tasks/digits/task.ts';

/** Runs the jobs of all tasks, as CloudEvents bring them. */
export const events = defineEvents('events', [classify, digits, clouds]);
reader.start();
