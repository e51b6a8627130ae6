import { defineFunction } from './core/function.ts';

/** The fallback model alone, in a service of its own; by default a MobileNet. */
export const fallback = defineFunction('fallback', ['fallbackModel']);
