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
  /** Indexes of the predicted classes, best first; of classify alone. */
  readonly indexes: readonly number[];
}

/** What a task's answer says beside who gave it, or what is wrong with it. */
export type Content = (Pick<Answer, 'top' | 'indexes'> & { readonly fault?: undefined }) | { readonly fault: string };

const tiers = ['primary', 'fallback'];
const reasons = ['error', 'timeout', 'overload', 'warming', 'failover'];
const expectedPredictions = 5;
/** Ten numbers with six digits. */
const roundedAway = 1e-5;
/** Clear, cloud, shadow, no data. */
const maskValues = [0, 1, 2, 255];

/** Judges the response to one request; anything but a valid 200 is a fault. */
export function judge(
  { status, headers, body }: Received,
  judgeContent: (answer: Readonly<Record<string, unknown>>) => Content = judgeFive,
): Verdict {
  if (status === 0) return { fault: 'no response' };
  if (status !== 200) return { fault: `status ${status}${codeOf(body)}` };
  let answer: Record<string, unknown>;
  try {
    answer = JSON.parse(body) as Record<string, unknown>;
  } catch {
    return { fault: 'body is no JSON' };
  }
  const { model, version, tier, degraded, reason } = answer ?? {};
  if (typeof model !== 'string' || model === '') return { fault: 'no model named' };
  if (typeof version !== 'string' || version === '') return { fault: 'no version named' };
  if (typeof tier !== 'string' || !tiers.includes(tier)) return { fault: 'no tier named' };
  if (degraded !== (reason !== null)) return { fault: 'degraded without reason or reason without degraded' };
  if (reason !== null && !reasons.includes(String(reason))) return { fault: 'unknown reason' };
  if ((tier === 'fallback') !== (reason === 'failover')) return { fault: 'tier and reason disagree' };
  if (headers['X-Model'] !== model) return { fault: 'X-Model disagrees' };
  if (headers['X-Tier'] !== tier) return { fault: 'X-Tier disagrees' };
  if ((headers['X-Degraded'] ?? null) !== reason) return { fault: 'X-Degraded disagrees' };
  const content = judgeContent(answer);
  if (content.fault !== undefined) return content;
  return { model, version, tier, reason: reason === null ? '' : String(reason), ...content };
}

/** The five predictions of a photo. */
export const judgeFive = ({ predictions }: Readonly<Record<string, unknown>>): Content => judgePredictions(predictions);

/** A digit and ten probabilities, of which its own is the highest. */
export function judgeDigit({ digit, probabilities }: Readonly<Record<string, unknown>>): Content {
  if (!isShares(probabilities) || probabilities.length !== 10) return { fault: 'not ten probabilities' };
  const sum = probabilities.reduce((one, other) => one + other, 0);
  if (Math.abs(sum - 1) > roundedAway) return { fault: 'probabilities do not sum to 1' };
  if (probabilities[Number(digit)] !== Math.max(...probabilities)) return { fault: 'digit is not the likeliest' };
  return { top: String(digit), indexes: [] };
}

/** The shares of clouds and shadows, and a mask in runs that cover all pixels. */
export function judgeMask(answer: Readonly<Record<string, unknown>>): Content {
  const { width, height, cloudFraction, shadowFraction, validFraction, mask } = answer;
  if (!isShares([cloudFraction, shadowFraction, validFraction])) return { fault: 'no shares of the classes' };
  const { values, counts } = (mask ?? {}) as { readonly values?: unknown; readonly counts?: unknown };
  if (!Array.isArray(values) || !Array.isArray(counts)) return { fault: 'no mask in runs' };
  if (!values.every((value) => maskValues.includes(value))) return { fault: 'unknown class in the mask' };
  const pixels = counts.reduce((sum, count) => sum + count, 0);
  if (pixels !== Number(width) * Number(height)) return { fault: 'runs do not cover the mask' };
  return { top: `${Math.round(Number(cloudFraction) * 100)} %`, indexes: [] };
}

function isShares(values: unknown): values is readonly number[] {
  return Array.isArray(values) && values.every((value) => typeof value === 'number' && value >= 0 && value <= 1);
}

/** The same of another model server: only the predictions are judged. */
export function judgeForeign({ status, body }: Received): Verdict {
  if (status !== 200) return { fault: status === 0 ? 'no response' : `status ${status}` };
  try {
    const { model, predictions } = JSON.parse(body) as Record<string, unknown>;
    const content = judgePredictions(predictions);
    if (content.fault !== undefined) return content;
    return { model: String(model), version: '', tier: '', reason: '', ...content };
  } catch {
    return { fault: 'body is no JSON' };
  }
}

/** A blank and the problem's code; empty for another body. */
function codeOf(body: string): string {
  const code = /"code":"([A-Z_]+)"/.exec(body)?.[1];
  return code === undefined ? '' : ` ${code}`;
}

/** So many different predictions, the best one first. */
export function judgePredictions(predictions: unknown, count = expectedPredictions): Content {
  if (!Array.isArray(predictions) || predictions.length !== count) return { fault: `not ${count} predictions` };
  let above = 1;
  for (const { index, class: name, label, score } of predictions) {
    if (!Number.isInteger(index) || typeof name !== 'string' || typeof label !== 'string')
      return { fault: 'prediction incomplete' };
    if (typeof score !== 'number' || !(score >= 0 && score <= 1)) return { fault: 'score outside 0 to 1' };
    if (score > above) return { fault: 'predictions not sorted' };
    above = score;
  }
  const indexes: readonly number[] = predictions.map(({ index }) => index);
  if (new Set(indexes).size < count) return { fault: 'prediction repeated' };
  return { top: predictions[0].class, indexes };
}
