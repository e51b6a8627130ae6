import type { ProblemKind } from '../problem.ts';
import type { TaskInput } from '../task.ts';

/** What a worker loads: an ONNX file, and the module of the task that knows what goes into it and what comes out. */
export interface Load {
  readonly path: string;
  readonly input: { readonly name: string };
  readonly output: { readonly name: string };
  readonly optimizedBy: string | null;
  /** What the task read from the model's card. */
  readonly details: unknown;
  /** Address of the module that exports the task's `thread`. */
  readonly thread: string;
  /** The thread's niceness, 0 to 19: the higher, the less of a crowded core it gets. */
  readonly niceness: number;
}

export type ToWorker = { readonly type: 'run'; readonly input: TaskInput } | { readonly type: 'quit' };

/** The answer to a run. */
export type RunMessage =
  /** With the input that it was given, to be filled again. */
  | {
      readonly type: 'done';
      readonly output: unknown;
      readonly prepareMs: number;
      readonly modelMs: number;
      readonly input: TaskInput;
    }
  | { readonly type: 'raised'; readonly error: string }
  /** The input's fault and not the model's. */
  | { readonly type: 'unfit'; readonly kind: ProblemKind; readonly detail: string };

export type FromWorker =
  | { readonly type: 'ready'; readonly modelMs: number }
  | { readonly type: 'refused'; readonly error: string; readonly isFinal: boolean }
  | RunMessage;
