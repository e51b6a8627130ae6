/** A response; k6 writes header names as Go does (`X-Model`). */
export interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A 200 whose body keeps the contract, or its fault. */
export type Verdict = Answer | { readonly fault: string };

/** Content of a valid answer. */
export interface Answer {
  readonly fault?: undefined;
  readonly model: string;
  readonly version: string;
  readonly tier: string;
  /** Empty unless degraded. */
  readonly reason: string;
  /** The best class. */
  readonly top: string;
  /** Indexes of the predicted classes, best first. */
  readonly indexes: readonly number[];
}

const tiers = ['primary', 'fallback'];
const reasons = ['error', 'timeout', 'overload', 'warming', 'failover'];
const expectedPredictions = 5;

/** Judges the response to one classification; anything but a valid 200 is a fault. */
export function judge({ status, headers, body }: Received, count = expectedPredictions): Verdict {
  if (status === 0) return { fault: 'no response' };
  if (status !== 200) return { fault: `status ${status}${codeOf(body)}` };
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(body) as Record<string, unknown>;
  } catch {
    return { fault: 'body is no JSON' };
  }
  const { model, version, tier, degraded, reason, predictions } = answer ?? {};
  if (typeof model !== 'string' || model === '') return { fault: 'no model named' };
  if (typeof version !== 'string' || version === '') return { fault: 'no version named' };
  if (typeof tier !== 'string' || !tiers.includes(tier)) return { fault: 'no tier named' };
  if (degraded !== (reason !== null)) return { fault: 'degraded without reason or reason without degraded' };
  if (reason !== null && !reasons.includes(String(reason))) return { fault: 'unknown reason' };
  if ((tier === 'fallback') !== (reason === 'failover')) return { fault: 'tier and reason disagree' };
  if (headers['X-Model'] !== model) return { fault: 'X-Model disagrees' };
  if (headers['X-Tier'] !== tier) return { fault: 'X-Tier disagrees' };
  if ((headers['X-Degraded'] ?? null) !== reason) return { fault: 'X-Degraded disagrees' };
  const fault = judgePredictions(predictions, count);
  if (fault !== undefined) return { fault };
  return { model, version, tier, reason: reason === null ? '' : String(reason), ...classesOf(predictions) };
}

/** The same of another model server: only the predictions are judged. */
export function judgeForeign({ status, body }: Received): Verdict {
  if (status !== 200) return { fault: status === 0 ? 'no response' : `status ${status}` };
  try {
    const { model, predictions } = JSON.parse(body) as Record<string, unknown>;
    const fault = judgePredictions(predictions, expectedPredictions);
    if (fault !== undefined) return { fault };
    return { model: String(model), version: '', tier: '', reason: '', ...classesOf(predictions) };
  } catch {
    return { fault: 'body is no JSON' };
  }
}

/** A blank and the problem's code; empty for another body. */
function codeOf(body: string): string {
  const code = /"code":"([A-Z_]+)"/.exec(body)?.[1];
  return code === undefined ? '' : ` ${code}`;
}

function judgePredictions(predictions: unknown, count: number): string | undefined {
  if (!Array.isArray(predictions) || predictions.length !== count) return `not ${count} predictions`;
  let above = 1;
  for (const { index, class: name, label, score } of predictions) {
    if (!Number.isInteger(index) || typeof name !== 'string' || typeof label !== 'string')
      return 'prediction incomplete';
    if (typeof score !== 'number' || !(score >= 0 && score <= 1)) return 'score outside 0 to 1';
    if (score > above) return 'predictions not sorted';
    above = score;
  }
  return new Set(predictions.map(({ index }) => index)).size === count ? undefined : 'prediction repeated';
}

function classesOf(predictions: unknown): Pick<Answer, 'top' | 'indexes'> {
  const list = predictions as readonly { readonly class: string; readonly index: number }[];
  return { top: list[0]?.class ?? '', indexes: list.map(({ index }) => index) };
}
