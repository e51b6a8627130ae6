import { defineFunction } from './core/function.ts';
import { classify } from './tasks/classify/task.ts';

/** Classifies by the primary model, with a standby model in the same process; by default a Wide ResNet and a MobileNet. */
export const primary = defineFunction({
  name: 'primary',
  tier: 'primary',
  task: classify,
});
