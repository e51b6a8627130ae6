import type { About, Encoded } from '../../core/task.ts';
import type { ImageModel, Label } from '../image/card.ts';
import type { ClassifyAsk } from './ask.ts';
import { findBroader } from './broader.ts';
import { chooseLanguage } from './language.ts';
import type { ClassifyOutput } from './thread.ts';
import { scoresOf, topPredictions } from './top.ts';

/** From which on an answer is sure enough, unless `min_score` says otherwise: it is right more often than not. */
const sureScore = 0.5;

type ClassifyAbout = About<ClassifyAsk, ImageModel>;

/**
 * The predictions that were asked for, best first. Labels are in the language of `Content-Language`, where the model has some in others
 * than English.
 */
export function choosePredictions({ logits }: ClassifyOutput, { ask, details }: ClassifyAbout) {
  const { languages } = details;
  const tag = chooseLanguage(ask.languages, languages?.map((language) => language.tag) ?? []);
  const translated = languages?.find((language) => language.tag === tag)?.labels;
  const translate = <T extends Label>(named: T): T => ({
    ...named,
    label: translated?.get(named.class) ?? named.label,
  });
  const { minScore = 0 } = ask;
  const predictions = topPredictions(logits, details, ask.top).filter(({ score }) => score >= minScore);
  return {
    predictions: predictions.map(translate),
    translate,
    headers: languages && { 'content-language': tag, vary: 'Accept-Language' },
  };
}

/**
 * The body of an answer. `broader` is there when it was asked for and the model that answered knows its classes' ancestors: null
 * where the first prediction is sure, or nothing broader is.
 */
export function encodeAnswer(output: ClassifyOutput, about: ClassifyAbout): Encoded {
  const { answer, ask, details } = about;
  const { ancestors } = details;
  const { predictions, translate, headers } = choosePredictions(output, about);
  const knowsBroader = ask.broader && ancestors;
  const broader = knowsBroader && findBroader(scoresOf(output.logits, details), ancestors, ask.minScore ?? sureScore);
  const body = {
    ...answer,
    predictions,
    ...(knowsBroader && { broader: broader ? translate(broader) : null }),
    ...(ask.features && output.features && { features: [...output.features] }),
  };
  return {
    contentType: 'application/json',
    body: JSON.stringify(body),
    ...(headers && { headers }),
  };
}
