import type { Values } from '../../core/task.ts';

/** What a card's golden case must give, each logit within `tolerance`. */
export interface GoldenLogits {
  readonly logits: readonly number[];
  readonly tolerance: number;
}

/** @throws Error for values that are no logits, or no `what` */
export function readLogits([logits]: readonly Values[], what = 'logits'): Float32Array {
  if (!(logits instanceof Float32Array)) throw new Error(`Expected float32 for the ${what} but received another type`);
  const strange = logits.find((logit) => !Number.isFinite(logit));
  if (strange !== undefined) throw new Error(`Expected numbers for the ${what} but received ${strange}`);
  return logits;
}

/** @throws Error of one sentence where the logits are not those of the golden case */
export function proveLogits(received: Float32Array, { logits, tolerance }: GoldenLogits): void {
  if (received.length !== logits.length) {
    throw new Error(`Expected ${logits.length} logits for the golden case but received ${received.length}`);
  }
  const off = logits.findIndex((logit, index) => !(Math.abs(logit - (received[index] as number)) <= tolerance));
  if (off === -1) return;
  throw new Error(`Expected ${logits[off]} for logit ${off} of the golden case but received ${received[off]}`);
}
