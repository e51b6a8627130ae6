import type { Encoded, Task } from '../task.ts';
import type { Result, Step } from './answer.ts';

/** The answer to a question: body, type, and the headers that go with it. */
export async function encodeResult(
  task: Pick<Task, 'encode'>,
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

/** Milliseconds of each stage that was reached, in the order of Server-Timing; models that did not answer have none. */
export function sumStages(steps: readonly Step[]): readonly (readonly [Step['stage'], number])[] {
  const answered = steps.filter(({ miss }) => !miss);
  return (['decode', 'queue', 'model'] as const).flatMap((stage) => {
    const times = answered.filter((step) => step.stage === stage).map(({ ms }) => ms);
    return times.length > 0 ? [[stage, times.reduce((sum, ms) => sum + ms)] as const] : [];
  });
}

/** Milliseconds of stages as the Server-Timing header tells them. */
export function serverTiming(stages: readonly (readonly [stage: string, ms: number])[]): string {
  return stages.map(([stage, ms]) => `${stage};dur=${ms.toFixed(1)}`).join(', ');
}
