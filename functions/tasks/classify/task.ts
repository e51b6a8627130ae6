import type { Task } from '../../core/task.ts';
import { type ImageModel, imageCard } from '../image/card.ts';
import { decodeImage, reduceImage } from '../image/image.ts';
import { drawPhoto } from '../image/rehearsal.ts';
import { geometryOf } from '../image/resize.ts';
import { type ImageSettings, imageTypes, maxImageBytes, readImageSettings } from '../image/settings.ts';
import { type ClassifyAsk, checkAsk, parseAsk } from './ask.ts';
import { doors, envelopeFor, inference } from './doors.ts';
import { encodeAnswer } from './encode.ts';
import type { ClassifyInput, ClassifyOutput } from './thread.ts';
import { topPredictions } from './top.ts';

/** POST /classify: what a photo shows, by falling score. */
export const classify: Task<ClassifyAsk, ImageModel, ClassifyOutput, ImageSettings, ClassifyInput> = {
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
  parse: parseAsk,
  needsPrimary: ({ features }) => features,
  check: checkAsk,
  keyOf: ({ input }) => geometryOf(input),
  async decode(bytes, { details, ask, settings, precision }) {
    const decode = precision === 'exact' ? decodeImage : reduceImage;
    const { pixels, sourceWidth, sourceHeight } = await decode(bytes, details.input, settings.maxPixels);
    const input = ask.features ? { ...pixels, withFeatures: true } : pixels;
    return { input, facts: { width: sourceWidth, height: sourceHeight } };
  },
  rehearsal: drawPhoto,
  encode: encodeAnswer,
  batches: true,
  envelopeFor,
  doors,
  inference,
  summarize: ({ logits }, details) => String(topPredictions(logits, details, 1)[0]?.class),
  describe({ input, output, details }) {
    const { crop, layout, elementType } = details.input;
    const shape = layout === 'NCHW' ? [1, 3, crop, crop] : [1, crop, crop, 3];
    const features = details.features && { name: details.features.name, datatype: 'FP32' as const, shape: [1, -1] };
    return {
      inputs: [{ name: input.name, datatype: elementType === 'float32' ? 'FP32' : 'UINT8', shape }],
      outputs: [
        { name: output.name, datatype: 'FP32', shape: [1, details.labels.length] },
        ...(features ? [features] : []),
      ],
    };
  },
};
