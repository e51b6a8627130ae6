/** The faults of every task, as RFC 9457 problem details: code → status and title. A task adds its own. */
export const problems = {
  ROUTE_NOT_FOUND: { status: 404, title: 'Route not found' },
  KEY_REQUIRED: { status: 401, title: 'API key required' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'Method not allowed' },
  PARAMETER_INVALID: { status: 400, title: 'Parameter invalid' },
  UPLOAD_UNSUPPORTED: { status: 415, title: 'Upload unsupported' },
  UPLOAD_MALFORMED: { status: 400, title: 'Upload malformed' },
  UPLOAD_EMPTY: { status: 400, title: 'Upload empty' },
  UPLOAD_AMBIGUOUS: { status: 400, title: 'Upload ambiguous' },
  UPLOAD_TOO_LARGE: { status: 413, title: 'Upload too large' },
  UPLOAD_TIMEOUT: { status: 408, title: 'Upload timed out' },
  RATE_LIMITED: { status: 429, title: 'Rate limited' },
  BUSY: { status: 503, title: 'Busy' },
  PRIMARY_REQUIRED: { status: 503, title: 'Primary model required' },
  STARTING: { status: 503, title: 'Starting' },
  DEADLINE_EXCEEDED: { status: 504, title: 'Deadline exceeded' },
  INTERNAL: { status: 500, title: 'Internal error' },
  UNAVAILABLE: { status: 503, title: 'Unavailable' },
} as const satisfies ProblemTable;

export type ProblemTable = Readonly<Record<string, { readonly status: number; readonly title: string }>>;

export type ProblemCode = keyof typeof problems;

/** A fault that a task adds. */
export interface ProblemKind {
  readonly code: string;
  readonly status: number;
  readonly title: string;
}

/**
 * A fault with a stable code. `detail` is written for the client: limits and formats, never paths, stack traces or a
 * library's text; what a library said goes into `cause` and from there to the log.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: string;
  readonly status: number;
  readonly title: string;
  /** Headers the answer must carry, such as Allow or Retry-After. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    kind: ProblemCode | ProblemKind,
    detail: string,
    options: ErrorOptions & { headers?: Record<string, string> } = {},
  ) {
    super(detail, options);
    const { code, status, title } = typeof kind === 'string' ? { code: kind, ...problems[kind] } : kind;
    this.code = code;
    this.status = status;
    this.title = title;
    this.headers = options.headers ?? {};
  }

  /** INTERNAL says the same each time: the cause is in the log. */
  static internal(cause?: unknown): Problem {
    return new Problem('INTERNAL', 'The request could not be handled', { cause });
  }
}

/** The problem itself, or INTERNAL with the fault as its cause for anything unforeseen. */
export function asProblem(fault: unknown): Problem {
  return fault instanceof Problem ? fault : Problem.internal(fault);
}

/** Where the ingress explains a code: UPLOAD_EMPTY → /problems#upload-empty. */
export function problemType(code: string): string {
  return `/problems#${code.toLowerCase().replaceAll('_', '-')}`;
}

/** The body of an `application/problem+json` answer. */
export function toProblemJson(problem: Problem, requestId: string): Record<string, string | number> {
  return {
    type: problemType(problem.code),
    title: problem.title,
    status: problem.status,
    detail: problem.message,
    instance: requestId,
    code: problem.code,
  };
}
