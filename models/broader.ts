import { findBroader } from '../functions/tasks/classify/broader.ts';
import { scoresOf } from '../functions/tasks/classify/top.ts';
import type { ImageModel } from '../functions/tasks/image/card.ts';
import type { Judged } from './calibration.ts';

/** What answers with `?broader=1` are worth at one threshold; shares of 1. */
export interface BroaderScore {
  readonly threshold: number;
  /** Of the images: those whose first prediction passes. */
  readonly sure: number;
  /** Of these: those that are right. */
  readonly sureRight: number;
  /** Of the images: those that an ancestor is named for. */
  readonly broader: number;
  /** Of these: those whose class is below it, and those whose first prediction is right. */
  readonly broaderRight: number;
  readonly broaderTop1: number;
  /** Classes below such an ancestor, as a median. */
  readonly medianClasses: number;
  /** Of the images: those that either is right for. */
  readonly right: number;
}

/** Answers as the service gives them, by a model with ancestors; undefined for one without. */
export function scoreBroader(
  images: readonly Judged[],
  { ancestors, ...scale }: Pick<ImageModel, 'activation' | 'ancestors' | 'temperature'>,
  threshold: number,
): BroaderScore | undefined {
  if (ancestors === undefined) return undefined;
  const answers = images.map(({ logits, truth }) => {
    const scores = scoresOf(logits, scale);
    const best = Math.max(...scores);
    const named = findBroader(scores, ancestors, threshold);
    const indices = ancestors.find((ancestor) => ancestor.class === named?.class)?.indices;
    return { isSure: best >= threshold, isFirst: scores.indexOf(best) === truth, indices, truth };
  });
  const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);
  const sure = answers.filter(({ isSure }) => isSure);
  const broader = answers.filter(({ indices }) => indices !== undefined);
  const widths = broader.map(({ indices }) => indices?.length ?? 0).sort((one, other) => one - other);
  const sureRight = sure.filter(({ isFirst }) => isFirst).length;
  const broaderRight = broader.filter(({ indices, truth }) => indices?.includes(truth)).length;
  return {
    threshold,
    sure: share(sure.length, images.length),
    sureRight: share(sureRight, sure.length),
    broader: share(broader.length, images.length),
    broaderRight: share(broaderRight, broader.length),
    broaderTop1: share(broader.filter(({ isFirst }) => isFirst).length, broader.length),
    medianClasses: widths[Math.floor(widths.length / 2)] ?? 0,
    right: share(sureRight + broaderRight, images.length),
  };
}
