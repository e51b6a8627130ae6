/** How a sample ended: both models name the same class first or not, or the second one was not asked. */
export type ShadowOutcome = 'agrees' | 'differs' | ShadowMiss;

/**
 * Why the standby model gave no answer: a request was in flight; it takes another input, so that the upload would have to be decoded
 * again; it was not ready or raised.
 */
export type ShadowMiss = 'busy' | 'unlike' | 'failed';

export interface ShadowOptions {
  /** Share of the answers, 0 to 1, that are sampled. */
  readonly share: number;
  /** Whether no request is in flight and no core at work for one that was abandoned. */
  readonly isIdle: () => boolean;
  readonly onEnd: (outcome: ShadowOutcome) => void;
  /** Draws a number from 0 to 1, 1 excluded. @default Math.random */
  readonly draw?: () => number;
}

export interface Shadow {
  /** Takes note of an answer of the lead model that is on its way; `compare` asks the standby model. Returns at once. */
  answered(compare: () => Promise<ShadowOutcome>): void;
}

/**
 * Has the standby model answer a share of the lead model's requests as well, so that a drift of either shows. It never
 * takes a core from an answer that is awaited when it begins: a sample is dropped unless nothing else is in flight. A run cannot
 * be canceled, so a request that arrives meanwhile may share its cores with the rest of one.
 */
export function createShadow({ share, isIdle, onEnd, draw = Math.random }: ShadowOptions): Shadow {
  return {
    answered(compare) {
      if (draw() >= share) return;
      // After everything that has arrived by now.
      setImmediate(async () => {
        onEnd(isIdle() ? await compare().catch(() => 'failed' as const) : 'busy');
      });
    },
  };
}
