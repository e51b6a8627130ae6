import type { Encoded, Task } from '../task.ts';
import type { Result } from './answer.ts';

/** The answer to a question: body, type, and the headers that go with it. */
export async function encodeResult(
  task: Task,
  { answer, output, spec }: Result,
  ask: unknown,
): Promise<Required<Encoded>> {
  const { contentType, body, headers } = await task.encode(output, { answer, ask, details: spec.details });
  return {
    contentType,
    body,
    headers: {
      ...headers,
      'x-model': answer.model,
      'x-tier': answer.tier,
      ...(answer.reason && { 'x-degraded': answer.reason }),
    },
  };
}

/** Milliseconds of stages as the Server-Timing header tells them. */
export function serverTiming(stages: readonly (readonly [stage: string, ms: number])[]): string {
  return stages.map(([stage, ms]) => `${stage};dur=${ms.toFixed(1)}`).join(', ');
}
