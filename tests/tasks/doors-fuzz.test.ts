import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { Problem } from '../../functions/core/problem.ts';
import type { ClassifyAsk } from '../../functions/tasks/classify/ask.ts';
import { doors, envelopeFor } from '../../functions/tasks/classify/doors.ts';
import { createRandom, type Random } from '../../models/random.ts';

const seed = Number(process.env.FUZZ_SEED || 20261130);
const turns = 4000;

const photo = randomBytes(5000);
const tensor = { name: 'image', shape: [1], datatype: 'BYTES' };
const length = Buffer.alloc(4);
length.writeUInt32LE(photo.length);
const head = Buffer.from(
  JSON.stringify({
    id: '1',
    inputs: [{ ...tensor, parameters: { binary_data_size: photo.length + 4 } }],
    outputs: [{ name: 'score', parameters: { classification: 3, binary_data: true } }],
    parameters: { binary_data_output: true },
  }),
);

/** Bodies that are right, each with its headers and what opens it. */
const json = { 'content-type': 'application/json' };
const inputs = { inputs: photo.toString('base64'), parameters: { top_k: 3 }, options: { wait_for_model: true } };
const whole = { ...inputs, inputs: `data:image/jpeg;base64,${inputs.inputs}` };
const infer = doors['/v2/models/classify/infer']?.envelopeFor;
const kinds = [
  { body: Buffer.from(JSON.stringify(inputs)), headers: json, open: envelopeFor },
  { body: Buffer.from(JSON.stringify(whole).replaceAll('/', '\\/')), headers: json, open: envelopeFor },
  { body: Buffer.from(JSON.stringify({ inputs: [{ ...tensor, data: [inputs.inputs] }] })), headers: json, open: infer },
  {
    body: Buffer.concat([head, length, photo]),
    headers: { 'inference-header-content-length': String(head.length) },
    open: infer,
  },
];

const words = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  'null',
  '-1',
  '1e999',
  '"__proto__"',
  '\\u0000',
  '\0',
  'é',
  '==',
  '"inputs":',
];

/** Some changes of a body: pieces cut out, doubled or overwritten, mostly where the words are. */
function mutate(body: Buffer, random: Random): Buffer {
  let bytes = body;
  for (let left = 1 + random.below(3); left > 0; left -= 1) {
    const isNear = random.chance(0.7);
    const at = isNear ? random.pick([random.below(300), bytes.length - random.below(120)]) : random.below(bytes.length);
    const start = Math.max(0, Math.min(at, bytes.length));
    const removed = random.chance(0.5) ? random.below(12) : 0;
    const word = Buffer.from(random.pick(words));
    const put = random.pick([Buffer.alloc(0), word, bytes.subarray(start, start + random.below(2000)), word]);
    bytes = Buffer.concat([bytes.subarray(0, start), put, bytes.subarray(start + removed)]);
  }
  return bytes;
}

describe('bodies that hold a photo', () => {
  it(`are opened or refused with a 4xx, whatever is in them (seed ${seed})`, () => {
    const outcomes = new Map<string, number>();
    for (let turn = 0; turn < turns; turn += 1) {
      const random = createRandom(seed, turn);
      const { body, headers, open } = random.pick(kinds);
      const mutated = turn < kinds.length ? body : mutate(body, random);
      const outcome = outcomeOf(() => open?.(headers)?.open(mutated, { ask: { top: 5 } as ClassifyAsk, headers }));
      if (outcome.startsWith('fault')) throw new Error(`Expected a problem for turn ${turn} but received ${outcome}`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }

    const expected = ['PARAMETER_INVALID', 'UPLOAD_MALFORMED', 'opened'];
    expect([...outcomes.keys()].sort()).toEqual(expected);
    expect(outcomes.get('opened')).toBeGreaterThan(turns / 50);
    expect(outcomes.get('PARAMETER_INVALID')).toBeGreaterThan(turns / 50);
  });
});

function outcomeOf(work: () => unknown): string {
  try {
    const { bytes, ask } = work() as { bytes: Buffer; ask: ClassifyAsk };
    return Buffer.isBuffer(bytes) && ask.top >= 1 && ask.top <= 20 ? 'opened' : `fault: ${JSON.stringify(ask)}`;
  } catch (fault) {
    return fault instanceof Problem && fault.status < 500 ? fault.code : `fault: ${(fault as Error).stack}`;
  }
}
