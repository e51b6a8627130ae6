import { defineFunction } from './shared/function.ts';

/** The Wide ResNet leads, MobileNet stands by. */
export const primary = defineFunction('primary', ['wide-resnet', 'mobilenet']);
