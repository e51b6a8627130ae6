import { defineFunction } from './core/function.ts';
import { classify } from './tasks/classify/task.ts';

/** Classifies by the standby model alone, in a service of its own; by default a MobileNet. */
export const fallback = defineFunction({
  name: 'fallback',
  tier: 'fallback',
  task: classify,
});
