import type { IncomingHttpHeaders } from 'node:http';
import { readFlag, readInteger, readOne, readShare } from '../../core/parameter.ts';
import { Problem } from '../../core/problem.ts';
import type { ImageModel } from '../image/card.ts';
import { type Preference, readPreferences } from './language.ts';

/** What a client may choose. */
export interface ClassifyAsk {
  /** How many predictions at most, 1 to 20. */
  readonly top: number;
  /** Score below which predictions are left out, 0 to 1; undefined where all are wanted. */
  readonly minScore: number | undefined;
  /** Whether an unsure answer is to name what its classes have in common. */
  readonly broader: boolean;
  /** Whether the lead model's embedding is wanted, which no other model can give. */
  readonly features: boolean;
  /** Languages of the labels, the best first. */
  readonly languages: readonly Preference[];
}

/** @throws Problem PARAMETER_INVALID */
export function parseAsk(query: URLSearchParams, headers: IncomingHttpHeaders): ClassifyAsk {
  return {
    top: readInteger('top', readOne(query, 'top'), { fallback: 5, max: 20 }),
    minScore: readShare('min_score', readOne(query, 'min_score')),
    broader: readFlag('broader', readOne(query, 'broader')),
    features: readFlag('features', readOne(query, 'features')),
    languages: readPreferences(headers['accept-language']),
  };
}

/** @throws Problem PARAMETER_INVALID for what is asked of a lead model whose folder has no such thing */
export function checkAsk(ask: ClassifyAsk, { features, ancestors }: ImageModel): void {
  const refuse = (what: string, name: string) => {
    throw new Problem('PARAMETER_INVALID', `Expected a lead model with ${what} for ${name} but received one without`);
  };
  if (ask.features && !features) refuse('an embedding', 'features');
  if (ask.broader && !ancestors) refuse('ancestors of its classes', 'broader');
}
