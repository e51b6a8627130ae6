import { Problem, type ProblemTable } from '../../core/problem.ts';

/** What can be wrong with the picture of a digit. */
export const digitProblems = {
  IMAGE_NO_DIGIT: { status: 422, title: 'Image shows no digit' },
} as const satisfies ProblemTable;

/** @param seen what the picture shows instead */
export function noDigit(seen: string): Problem {
  const detail = `Expected a single digit for the image but received ${seen}`;
  return new Problem({ code: 'IMAGE_NO_DIGIT', ...digitProblems.IMAGE_NO_DIGIT }, detail);
}
