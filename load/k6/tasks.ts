import { type Content, judgeDigit, judgeFive, judgeMask } from './answer.ts';

/** What is posted to a task, and what an answer has to be. */
export interface LoadTask {
  /** With a query, where one keeps answers small. */
  readonly path: string;
  /** Below tests/images. */
  readonly files: readonly [string, ...string[]];
  readonly contentType: string;
  /** The function's default of PRIMARY_BUDGET_MS; a later answer counts as late. */
  readonly inTimeMs: number;
  readonly judgeContent: (answer: Readonly<Record<string, unknown>>) => Content;
}

/** By `--task`. */
export const tasks = {
  classify: {
    path: '/classify',
    files: ['test_image_1.jpg', 'test_image_2.jpg', 'test_image_3.jpg'],
    contentType: 'image/jpeg',
    inTimeMs: 1000,
    judgeContent: judgeFive,
  },
  digits: {
    path: '/predict',
    files: ['digit.png'],
    contentType: 'image/png',
    inTimeMs: 1000,
    judgeContent: judgeDigit,
  },
  clouds: {
    path: '/infer?format=rle',
    files: ['patch.tif'],
    contentType: 'image/tiff',
    inTimeMs: 5000,
    judgeContent: judgeMask,
  },
} as const satisfies Record<string, LoadTask>;

export type TaskName = keyof typeof tasks;

export const taskNames = Object.keys(tasks) as readonly TaskName[];

/** @throws Error for an unknown name */
export function taskOf(name: string): LoadTask {
  const known = taskNames.find((one) => one === name);
  if (known !== undefined) return tasks[known];
  throw new Error(`Expected one of ${taskNames.join(', ')} for TASK but received ${JSON.stringify(name)}`);
}
