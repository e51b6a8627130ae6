import { defineFunction } from './core/function.ts';

/** The primary model leads, the other one stands by; by default a Wide ResNet and a MobileNet. */
export const primary = defineFunction('primary', ['primaryModel', 'fallbackModel']);
