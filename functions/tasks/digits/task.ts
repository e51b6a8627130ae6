import type { Task } from '../../core/task.ts';
import { inputsEnvelope, isJson } from '../doors/inputs.ts';
import { type ImageSettings, imageTypes, maxImageBytes, readImageSettings } from '../image/settings.ts';
import { decodeWhole, type Picture } from '../image/whole.ts';
import { type DigitModel, digitCard } from './card.ts';
import { frameSide } from './frame.ts';
import { digitCount, likeliest, probabilitiesOf } from './probabilities.ts';

/** Pixels of the longer side to which a picture is reduced: a digit of an eighth of a page still has the 20 that a model is given. */
export const maxSide = 160;

/** JSON with the picture in base64. */
const inputs = inputsEnvelope<null>({});

/** POST /predict: the single digit that a picture shows, written by hand or printed. */
export const digits: Task<null, DigitModel, Float32Array, ImageSettings, Picture> = {
  name: 'digits',
  path: '/predict',
  mediaTypes: imageTypes,
  models: [{ embedded: 'digits', variable: 'DIGITS_MODEL' }],
  defaults: { maxUploadBytes: maxImageBytes, deadlineMs: 5000, primaryBudgetMs: 1000 },
  thread: new URL('./thread.js', import.meta.url),
  card: digitCard,
  settings: readImageSettings,
  parse: () => null,
  keyOf: () => 'picture',
  async decode(bytes, { settings }) {
    const { picture, sourceWidth, sourceHeight } = await decodeWhole(bytes, maxSide, settings.maxPixels);
    return { input: picture, facts: { width: sourceWidth, height: sourceHeight } };
  },
  encode(logits, { answer }) {
    const [digit, probabilities] = [likeliest(logits), probabilitiesOf(logits)];
    return { contentType: 'application/json', body: JSON.stringify({ ...answer, digit, probabilities }) };
  },
  batches: true,
  envelopeFor: (headers) => (isJson(headers) ? inputs : undefined),
  summarize: (logits) => String(likeliest(logits)),
  describe: ({ input, output }) => ({
    inputs: [{ name: input.name, datatype: 'FP32', shape: [1, 1, frameSide, frameSide] }],
    outputs: [{ name: output.name, datatype: 'FP32', shape: [1, digitCount + 1] }],
  }),
};
