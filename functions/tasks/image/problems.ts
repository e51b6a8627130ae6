import { Problem, type ProblemTable } from '../../core/problem.ts';

/** What can be wrong with a picture. */
export const imageProblems = {
  IMAGE_UNSUPPORTED: { status: 422, title: 'Image unsupported' },
  IMAGE_UNREADABLE: { status: 422, title: 'Image unreadable' },
  IMAGE_TOO_MANY_PIXELS: { status: 422, title: 'Image has too many pixels' },
} as const satisfies ProblemTable;

export function imageProblem(code: keyof typeof imageProblems, detail: string, options: ErrorOptions = {}): Problem {
  return new Problem({ code, ...imageProblems[code] }, detail, options);
}
