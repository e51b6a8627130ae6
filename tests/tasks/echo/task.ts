import { fields, text, wholeNumber } from '../../../functions/core/card/schema.ts';
import { readInteger, readOne } from '../../../functions/core/parameter.ts';
import { Problem } from '../../../functions/core/problem.ts';
import type { Task, TaskInput } from '../../../functions/core/task.ts';

export interface EchoModel {
  readonly bytes: number;
  readonly golden: string;
}

/** POST /echo: a text of some letters comes back, by way of a model. */
export const echo: Task<{ times: number }, EchoModel, string, object, TaskInput> = {
  name: 'echo',
  path: '/echo',
  mediaTypes: ['text/plain'],
  models: [{ embedded: 'loud' }, { embedded: 'quiet' }],
  defaults: { maxUploadBytes: 100, deadlineMs: 2000, primaryBudgetMs: 500 },
  thread: new URL('./thread.js', import.meta.url),
  card: {
    input: fields({ name: text, bytes: wholeNumber(1, 64) }),
    graph: { golden: text },
    card: {},
    details: (_card, { input, golden }) => ({ ...(input as { bytes: number }), golden: String(golden) }),
  },
  settings: () => ({}),
  parse: (query) => ({ times: readInteger('times', readOne(query, 'times'), { fallback: 1, max: 3 }) }),
  keyOf: ({ bytes }) => String(bytes),
  async decode(upload, { details: { bytes } }) {
    if (upload.length > bytes)
      throw new Problem('UPLOAD_MALFORMED', `Expected ${bytes} letters for the text but received more`);
    const data = new Uint8Array(bytes);
    data.set(upload);
    return { input: { data }, facts: { letters: upload.length } };
  },
  encode(letters, { answer, ask }) {
    return { contentType: 'application/json', body: JSON.stringify({ ...answer, echo: letters.repeat(ask.times) }) };
  },
  summarize: (letters) => letters,
  describe: ({ input, output, details: { bytes } }) => ({
    inputs: [{ name: input.name, datatype: 'FP32', shape: [1, bytes] }],
    outputs: [{ name: output.name, datatype: 'FP32', shape: [1, bytes] }],
  }),
};
