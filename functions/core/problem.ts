/** Every fault a client can meet, as RFC 9457 problem details. The table is the documentation: code → status and title. */
export const problems = {
  ROUTE_NOT_FOUND: { status: 404, title: 'Route not found' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'Method not allowed' },
  PARAMETER_INVALID: { status: 400, title: 'Parameter invalid' },
  UPLOAD_UNSUPPORTED: { status: 415, title: 'Upload unsupported' },
  UPLOAD_MALFORMED: { status: 400, title: 'Upload malformed' },
  UPLOAD_EMPTY: { status: 400, title: 'Upload empty' },
  UPLOAD_AMBIGUOUS: { status: 400, title: 'Upload ambiguous' },
  UPLOAD_TOO_LARGE: { status: 413, title: 'Upload too large' },
  UPLOAD_TIMEOUT: { status: 408, title: 'Upload timed out' },
  IMAGE_UNSUPPORTED: { status: 422, title: 'Image unsupported' },
  IMAGE_UNREADABLE: { status: 422, title: 'Image unreadable' },
  IMAGE_TOO_MANY_PIXELS: { status: 422, title: 'Image has too many pixels' },
  RATE_LIMITED: { status: 429, title: 'Rate limited' },
  BUSY: { status: 503, title: 'Busy' },
  PRIMARY_REQUIRED: { status: 503, title: 'Primary model required' },
  STARTING: { status: 503, title: 'Starting' },
  DEADLINE_EXCEEDED: { status: 504, title: 'Deadline exceeded' },
  INTERNAL: { status: 500, title: 'Internal error' },
  UNAVAILABLE: { status: 503, title: 'Unavailable' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/**
 * A fault with a stable code. `detail` is written for the client: limits and formats, never paths, stack traces or a
 * library's text; what a library said goes into `cause` and from there to the log.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly status: number;
  /** Headers the answer must carry, such as Allow or Retry-After. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ProblemCode, detail: string, options: ErrorOptions & { headers?: Record<string, string> } = {}) {
    super(detail, options);
    this.code = code;
    this.status = problems[code].status;
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

/** The body of an `application/problem+json` answer. */
export function toProblemJson(problem: Problem, requestId: string): Record<string, string | number> {
  return {
    type: `urn:understudy:problem:${problem.code}`,
    title: problems[problem.code].title,
    status: problem.status,
    detail: problem.message,
    instance: requestId,
    code: problem.code,
  };
}
