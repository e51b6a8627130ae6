import { answer, type Question, type Result } from '../chain/answer.ts';
import { encodeResult } from '../chain/encode.ts';
import type { Service } from '../chain/service.ts';
import { asProblem, Problem, toProblemJson } from '../problem.ts';
import type { Encoded, Task } from '../task.ts';
import { encoderOf, isBatch } from './door.ts';
import type { Exchange } from './exchange.ts';

/** What all photos of a request have in common. */
export type Asked = Omit<Question, 'bytes'>;

interface Place {
  readonly task: Task;
  readonly service: Service;
  readonly exchange: Exchange;
  /** How many photos of a batch are in hand at once. */
  readonly lanes: number;
}

/** A body, and headers that tell who answered. */
export type Answered = Required<Encoded>;

/** Asks the chain for each upload and writes the body of the answer. @throws Problem */
export async function answerUploads(files: readonly Buffer[], asked: Asked, place: Place): Promise<Answered> {
  return isBatch(place.exchange) ? answerBatch(files, asked, place) : answerOne(files[0] as Buffer, asked, place);
}

async function answerOne(bytes: Buffer, asked: Asked, place: Place): Promise<Answered> {
  const { task, service, exchange } = place;
  const { progress, result: settled } = answer({ ...asked, bytes }, service.chain);
  exchange.progress = progress;
  const result = await settled;
  if (result instanceof Problem) throw result;
  exchange.result = result;
  return encode(result, asked, place, encoderOf(exchange, task));
}

function encode(result: Result, { ask, strict }: Asked, { task }: Place, encoder: Pick<Task, 'encode'>) {
  if (strict) task.check?.(ask, result.spec.details); // the lead model may have been swapped meanwhile
  return encodeResult(encoder, result, ask);
}

/**
 * An array with an element for each photo, in order: what a request of its own would have been answered, body or problem. Only when
 * none was answered, and not by the photos' fault alone, is the whole a problem, so that the ingress asks another tier.
 */
async function answerBatch(files: readonly Buffer[], asked: Asked, place: Place): Promise<Answered> {
  const { exchange, lanes } = place;
  // Of the results only what the whole says is kept: each holds its decoded photo.
  const models = new Set<string>();
  let answered = 0;
  let telling: Result | undefined;
  const problems: Problem[] = [];
  const elements: string[] = [];
  const pending = files.entries();

  // A lane for each photo in hand, so that a batch leaves room in the queues for others.
  async function work(): Promise<void> {
    for (const [i, bytes] of pending) elements[i] = await answerElement(bytes);
  }

  async function answerElement(bytes: Buffer): Promise<string> {
    try {
      if (bytes.length === 0) throw new Problem('UPLOAD_EMPTY', 'Expected an image but received a file of no bytes');
      const result = await answer({ ...asked, bytes }, place.service.chain).result;
      if (result instanceof Problem) throw result;
      const { body } = await encode(result, asked, place, place.task);
      answered += 1;
      models.add(result.answer.model);
      if (!telling || (result.answer.degraded && !telling.answer.degraded)) telling = result;
      return String(body);
    } catch (fault) {
      const problem = asProblem(fault);
      problems.push(problem);
      return JSON.stringify(toProblemJson(problem, exchange.requestId));
    }
  }

  await Promise.all(Array.from({ length: lanes }, work));
  exchange.progress = { steps: [], facts: { photos: files.length, answered }, misses: [] };
  const ours = problems.find(({ status }) => status >= 500);
  if (answered === 0 && ours) throw ours;
  if (telling) exchange.result = telling;
  return {
    contentType: 'application/json',
    body: `[${elements.join(',')}]`,
    headers: {
      ...(models.size > 0 && { 'x-model': [...models].join(', ') }),
      'x-tier': place.service.chain.tier,
      ...(telling?.answer.reason && { 'x-degraded': telling.answer.reason }),
    },
  };
}
