import { defineFunction } from './shared/function.ts';

/** MobileNet alone, in a service of its own. */
export const fallback = defineFunction('fallback', ['mobilenet']);
