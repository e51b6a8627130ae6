import type { IncomingHttpHeaders } from 'node:http';
import type { CardRules, ModelSpec } from './card/card.ts';

/** The function that answers: the primary, or the fallback that nginx turns to. */
export type Tier = 'primary' | 'fallback';

/** Why another model than the lead model answered. */
export type Reason = 'error' | 'timeout' | 'overload' | 'warming' | 'failover';

/** `exact` for the lead model; `reduced` for a standby model: as cheap as the upload's format allows. */
export type Precision = 'exact' | 'reduced';

/** A tensor of the graph's one input. */
export interface Tensor {
  readonly elementType: 'float32' | 'uint8';
  readonly data: Float32Array | Uint8Array;
  readonly dims: readonly number[];
}

/** The values of one of the graph's outputs, row by row. */
export type Values = Float32Array | Uint8Array | Int32Array | BigInt64Array;

/** What a worker makes a tensor of. Bytes in shared memory reach the worker as they are, others are copied first. */
export interface TaskInput {
  readonly data: Uint8Array;
  /** Whether the thread's `prepare` decodes it. @default false */
  readonly isEncoded?: boolean;
}

export interface Decoded<Input extends TaskInput = TaskInput> {
  readonly input: Input;
  /** Fields of the log line, such as the size of the picture. */
  readonly facts: Readonly<Record<string, number | string>>;
}

/** Which model answered, and why not the lead model. */
export interface Answer {
  readonly model: string;
  readonly version: string;
  readonly tier: Tier;
  readonly degraded: boolean;
  readonly reason: Reason | null;
}

export interface Encoded {
  readonly contentType: string;
  readonly body: string | Uint8Array;
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A place in the chain of models. */
export interface ModelSlot {
  /** The folder that this project ships, which answers where a chosen one cannot. */
  readonly embedded: string;
  /** The variable that names another folder, where one may be chosen. */
  readonly variable?: string;
}

/** A whole number of the environment within its bounds, or the default where the variable is absent. */
export type ReadInteger = (
  name: string,
  range: { readonly fallback: number; readonly min: number; readonly max: number },
) => number;

/** How a tensor is called by the Open Inference Protocol. */
export interface TensorInfo {
  readonly name: string;
  readonly datatype: 'FP32' | 'UINT8' | 'INT64' | 'BYTES';
  readonly shape: readonly number[];
}

/** A body that is no upload by itself and holds one, such as base64 in JSON. It may be as long as a form with the largest upload. */
export interface Envelope<Ask = unknown> {
  /** @throws Problem */
  open(body: Buffer, about: { readonly ask: Ask; readonly headers: IncomingHttpHeaders }): Opened<Ask>;
}

export interface Opened<Ask = unknown> {
  readonly bytes: Buffer;
  /** What is asked, with what the body adds to it. */
  readonly ask: Ask;
  /** What the body adds as parameters of a query: a job keeps these. @default none */
  readonly query?: Readonly<Record<string, string>>;
}

/** Another way into a task, in the shapes that existing clients send and expect. */
export interface Door<Ask = unknown, Details = unknown, Output = unknown> {
  /** One word, for the log and for jobs. */
  readonly name: string;
  /** Opens such bodies; others are uploads by themselves. @default the task's */
  envelopeFor?(headers: IncomingHttpHeaders): Envelope<Ask> | undefined;
  /** Whether a request may become a job: all that its bodies ask must be in their `query`. @default false */
  readonly takesJobs?: boolean;
  /** Whether a problem repeats its detail as `error`, which is where these clients look for it. @default false */
  readonly tellsError?: boolean;
  /** The body of a 200. */
  encode(output: Output, about: About<Ask, Details>): Encoded | Promise<Encoded>;
}

/** To whom an answer goes, and from whom it is. */
export interface About<Ask = unknown, Details = unknown> {
  readonly answer: Answer;
  readonly ask: Ask;
  readonly details: Details;
}

/**
 * What one kind of requests needs beside the core: how its uploads become inputs and its outputs become answers. `Ask` is what a client
 * may choose, `Details` what a model's card says, `Output` what a run gives, `Settings` what the environment sets.
 */
export interface Task<
  Ask = unknown,
  Details = unknown,
  Output = unknown,
  Settings = unknown,
  Input extends TaskInput = TaskInput,
> {
  /** One word, for the log. */
  readonly name: string;
  /** Where it is POSTed to. */
  readonly path: string;
  /** Media types of a raw body and of a form's file; `image/*` is any image. */
  readonly mediaTypes: readonly string[];
  /** The lead model first; the last one is alone in a fallback function. A model without a variable is left out where it is chosen above. */
  readonly models: readonly [ModelSlot, ...ModelSlot[]];
  readonly defaults: {
    /** Bytes of the largest upload. */
    readonly maxUploadBytes: number;
    readonly deadlineMs: number;
    /** Predicted time, waits included, for which the lead model is still chosen. */
    readonly primaryBudgetMs: number;
  };
  /** The module whose `thread` runs in the workers: see TaskThread. */
  readonly thread: URL;
  readonly card: CardRules<Details>;
  /** Reads the task's own variables. */
  settings(read: ReadInteger): Settings;
  /** What the client asks for. @throws Problem PARAMETER_INVALID */
  parse(query: URLSearchParams, headers: IncomingHttpHeaders): Ask;
  /** Whether only the primary model will do for what is asked, as with `Prefer: handling=strict`. @default false */
  needsPrimary?(ask: Ask): boolean;
  /** @throws Problem PARAMETER_INVALID for what the primary model, whose card says `details`, can never answer */
  check?(ask: Ask, details: Details): void;
  /** Models with the same key take the same decoded input. */
  keyOf(details: Details): string;
  /**
   * Upload to input, with little work on the event loop: the thread's `prepare` can do the rest. A reduced input of which that throws a
   * Problem is decoded anew, exactly. @throws Problem for an upload that cannot be decoded
   */
  decode(
    bytes: Uint8Array,
    how: { readonly details: Details; readonly ask: Ask; readonly settings: Settings; readonly precision: Precision },
  ): Promise<Decoded<Input>>;
  /** Whether a model takes this input; one that does not is passed over. The last model takes all. @default true */
  suits?(input: Input, details: Details): boolean;
  /** Draws an upload as most are, to be answered in advance: see `rehearse`. @default none */
  rehearsal?(): Promise<Uint8Array>;
  /** The body of a 200. */
  encode(output: Output, about: About<Ask, Details>): Encoded | Promise<Encoded>;
  /** The first guess in one word, by which the answers of two models are compared. */
  summarize(output: Output, details: Details): string;
  /** Whether answers are JSON, so that `?batch=1` can put those of several uploads into one array. @default false */
  readonly batches?: boolean;
  /** Opens bodies that hold an upload in a form of their own. @default none */
  envelopeFor?(headers: IncomingHttpHeaders): Envelope<Ask> | undefined;
  /** Other ways in, by path. @default none */
  readonly doors?: Readonly<Record<string, Door<Ask, Details, Output>>>;
  /** What is inferred at `/v2/models/{task's name}/infer`, where that is one of the doors. */
  readonly inference?: { readonly inputs: readonly TensorInfo[]; readonly outputs: readonly TensorInfo[] };
  /** The tensors of a model as the Open Inference Protocol names them. */
  describe(spec: ModelSpec<Details>): {
    readonly inputs: readonly TensorInfo[];
    readonly outputs: readonly TensorInfo[];
  };
}

/** The part of a task that runs in a model's worker. */
export interface TaskThread<Details = unknown, Output = unknown, Input extends TaskInput = TaskInput> {
  /** One tensor for each run of the graph. `former` are those of the last input, to be written over. @throws Problem */
  prepare(input: Input, details: Details, former?: readonly Tensor[]): readonly Tensor[];
  /** Names of the graph's outputs that are fetched beside the one that the card calls `output`. @default none */
  further?(input: Input, details: Details): readonly string[];
  /**
   * What the runs gave for the input, of each run first the card's `output`, then those of `further`; typed arrays in it are transferred.
   * @throws Problem for an input that is at fault, Error for values that are no answer
   */
  read(outputs: readonly Values[], details: Details, input: Input): Output;
  /** The generated input of the card's golden case. */
  golden(details: Details): Input;
  /** @throws Error of one sentence when the output is not what the card's golden case says */
  prove(output: Output, details: Details): void;
}
