import { readInteger, readOne } from '../../core/parameter.ts';
import type { Task } from '../../core/task.ts';
import { type ImageModel, imageCard } from '../image/card.ts';
import { decodeImage, type Pixels } from '../image/image.ts';
import { geometryOf } from '../image/resize.ts';
import { type ImageSettings, imageTypes, maxImageBytes, readImageSettings } from '../image/settings.ts';
import { topPredictions } from './top.ts';

/** What a client may choose. */
export interface ClassifyAsk {
  /** How many predictions, 1 to 20. */
  readonly top: number;
}

/** POST /classify: what a photo shows, by falling score. */
export const classify: Task<ClassifyAsk, ImageModel, Float32Array, ImageSettings, Pixels> = {
  name: 'classify',
  path: '/classify',
  mediaTypes: imageTypes,
  models: [
    { embedded: 'wide-resnet', variable: 'PRIMARY_MODEL' },
    { embedded: 'mobilenet', variable: 'FALLBACK_MODEL' },
  ],
  defaults: { maxUploadBytes: maxImageBytes, deadlineMs: 5000, primaryBudgetMs: 1000 },
  thread: new URL('./thread.js', import.meta.url),
  card: imageCard,
  settings: readImageSettings,
  parse: (query) => ({ top: readInteger('top', readOne(query, 'top'), { fallback: 5, max: 20 }) }),
  keyOf: ({ input }) => geometryOf(input),
  async decode(bytes, { details, settings, precision }) {
    const { pixels, sourceWidth, sourceHeight } = await decodeImage(
      bytes,
      details.input,
      settings.maxPixels,
      precision,
    );
    return { input: pixels, facts: { width: sourceWidth, height: sourceHeight } };
  },
  encode(logits, { answer, ask, details }) {
    const predictions = topPredictions(logits, details, ask.top);
    return { contentType: 'application/json', body: JSON.stringify({ ...answer, predictions }) };
  },
  summarize: (logits, details) => String(topPredictions(logits, details, 1)[0]?.class),
  describe({ input, output, details }) {
    const { crop, layout, elementType } = details.input;
    const shape = layout === 'NCHW' ? [1, 3, crop, crop] : [1, crop, crop, 3];
    return {
      inputs: [{ name: input.name, datatype: elementType === 'float32' ? 'FP32' : 'UINT8', shape }],
      outputs: [{ name: output.name, datatype: 'FP32', shape: [1, details.labels.length] }],
    };
  },
};
