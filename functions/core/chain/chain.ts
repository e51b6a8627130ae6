import type { ModelSpec } from '../card/card.ts';
import type { Decoded, Precision, TaskInput, Tier } from '../task.ts';
import type { ServedModel } from './place.ts';
import type { Standing } from './standing.ts';

/** Decodes uploads, a few at a time. */
export interface Decoder {
  /** Whether an upload would be decoded at once. */
  isIdle(): boolean;
  /** Whether what it predicts is more than a guess. */
  isSettled(): boolean;
  /** Milliseconds after which an upload that came now, after `arriving` others, would be decoded. */
  predictMs(arriving?: number): number;
  /** The input for a model; rejects with the signal's reason when that is aborted. */
  decode(
    bytes: Uint8Array,
    how: {
      readonly spec: ModelSpec;
      readonly ask: unknown;
      readonly precision: Precision;
      /** Whether it runs in the background: it takes no place that a synchronous upload may need. */
      readonly isBackground: boolean;
    },
    signal: AbortSignal,
  ): Promise<{ readonly decoded: Decoded; readonly waitedMs: number }>;
  /** Models with the same key take the same input. */
  keyOf(spec: ModelSpec): string;
  /** Whether a model takes this input. */
  suits(input: TaskInput, spec: ModelSpec): boolean;
}

/** What a function answers with. */
export interface ModelChain {
  readonly tier: Tier;
  /** As of now: the lead model first, then its standby models. */
  readonly models: readonly [ServedModel, ...ServedModel[]];
  /** Whether the first of `models` is the primary model, the only one that does not degrade an answer. */
  readonly isPrimaryServed: boolean;
  /** Longest predicted time, waits included, for which a model is chosen while a standby model is ready. */
  readonly primaryBudgetMs: number;
  /** Tells a queue that stands from a burst. */
  readonly standing: Standing;
  readonly decoder: Decoder;
}

/** What is known of a request before its upload. */
export interface Prospect {
  readonly strict: boolean;
  /** When the client's patience ends, on the clock of `performance.now()`. */
  readonly deadlineMs: number;
  /** Uploads before it that are still arriving. @default 0 */
  readonly arriving?: number;
}
