import type { Task } from '../../core/task.ts';
import { type CloudsAsk, parseAsk } from './ask.ts';
import { type CloudsModel, cloudsCard } from './card.ts';
import type { Patch } from './patch.ts';
import { createReader } from './reader.ts';
import type { Answered } from './thread.ts';

/** Started with the function, so that the first file does not wait for a thread. */
export const reader = createReader();

const contentTypes = { json: 'application/json', rle: 'application/json', png: 'image/png', tiff: 'image/tiff' };

/** POST /infer: where a Sentinel-2 patch shows clouds and their shadows. */
export const clouds: Task<CloudsAsk, CloudsModel, Answered, object, Patch> = {
  name: 'clouds',
  path: '/infer',
  mediaTypes: ['image/tiff', 'application/octet-stream'],
  models: [{ embedded: 'clouds', variable: 'CLOUDS_MODEL' }, { embedded: 'clouds' }, { embedded: 'clouds-index' }],
  defaults: { maxUploadBytes: 16_777_216, deadlineMs: 10_000, primaryBudgetMs: 5000 },
  thread: new URL('./thread.js', import.meta.url),
  card: cloudsCard,
  settings: () => ({}),
  parse: parseAsk,
  keyOf: () => 'patch',
  async decode(bytes, { ask }) {
    const patch = await reader.read(bytes, ask);
    const { width, height, bands, level } = patch;
    const { dilate, form } = ask;
    return { input: { ...patch, dilate, form }, facts: { width, height, level, bands: bands.join(' ') } };
  },
  suits: ({ level, bands }, { input }) =>
    input.levels.includes(level) && input.bands.every((band) => (bands as readonly string[]).includes(band)),
  encode({ body, ...facts }, { answer, ask: { form } }) {
    const contentType = contentTypes[form as keyof typeof contentTypes];
    if (contentType === 'application/json') {
      const head = JSON.stringify({ ...answer, ...facts }).slice(0, -1);
      return {
        contentType,
        body: Buffer.concat([Buffer.from(`${head},"mask":`), body, Buffer.from('}')]),
        headers: vary,
      };
    }
    const { cloudFraction, shadowFraction, validFraction } = facts;
    return {
      contentType,
      body,
      headers: {
        ...vary,
        'x-model-version': answer.version,
        'x-cloud-fraction': String(cloudFraction),
        'x-shadow-fraction': String(shadowFraction),
        'x-valid-fraction': String(validFraction),
      },
    };
  },
  summarize: ({ cloudFraction }) => `${Math.round(10 * cloudFraction)} tenths`,
  describe({ input, output, details }) {
    const { bands, optional, flag, tile } = details.input;
    const side = tile?.size ?? -1;
    const channels = bands.length + optional.length + Number(flag);
    return {
      inputs: [{ name: input.name, datatype: 'FP32', shape: [1, channels, side, side] }],
      outputs: [{ name: output.name, datatype: 'FP32', shape: [1, 3, side, side] }],
    };
  },
};

/** One URL has several answers, of which a cache is to keep each. */
const vary = { vary: 'Accept' };
