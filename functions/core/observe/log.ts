const severities = ['debug', 'info', 'warn', 'error', 'silent'] as const;

export type Severity = Exclude<(typeof severities)[number], 'silent'>;

export type Log = (severity: Severity, message: string, fields?: Readonly<Record<string, unknown>>) => void;

type Write = (line: string, isUrgent: boolean) => void;

/** Writes as many bytes as the reader has room for and returns how many; never waits. */
type Sink = (bytes: Buffer) => number;

/** Each write costs the event loop, so lines are batched for 10 ms. */
const gatherMs = 10;

/** What is held while the reader stalls: some hundred lines, so that a pause of a second or two costs none. */
const maxHeldBytes = 256 * 1024;

/**
 * Hands lines on together, at the latest after `gatherMs` and at the exit, an urgent one at once with all before it. What the
 * reader has no room for is held and tried again; beyond `maxHeldBytes` lines are dropped, and a later line says how many.
 * What was gathered is lost only with a process that is killed.
 */
export function gatherLines(sink: Sink, maxBytes = maxHeldBytes): Write {
  let gathered = '';
  let rest: Buffer = Buffer.alloc(0);
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  function takeGathered(): Buffer {
    if (dropped > 0) gathered += lineOf('warn', 'log lines dropped', { count: dropped });
    const bytes = Buffer.from(gathered);
    gathered = '';
    dropped = 0;
    return bytes;
  }
  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    for (;;) {
      if (rest.length === 0) rest = takeGathered();
      if (rest.length === 0) return;
      rest = rest.subarray(sink(rest));
      if (rest.length > 0) break;
    }
    timer = setTimeout(flush, gatherMs).unref();
  }
  process.on('exit', flush);
  return (line, isUrgent) => {
    if (rest.length + gathered.length + line.length > maxBytes) {
      dropped += 1;
      return;
    }
    gathered += line;
    if (isUrgent) flush();
    else timer ??= setTimeout(flush, gatherMs).unref();
  };
}

/**
 * Writes one JSON line a call, leaving out what is less severe than `level`; errors go out at once. An `error`
 * field keeps its stack.
 */
export function createLog(level: (typeof severities)[number], write: Write): Log {
  return (severity, message, fields = {}) => {
    if (severities.indexOf(severity) < severities.indexOf(level)) return;
    write(lineOf(severity, message, fields), severity === 'error');
  };
}

function lineOf(severity: Severity, message: string, fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ time: new Date().toISOString(), severity, message, ...fields }, replaceError)}\n`;
}

function replaceError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return value.cause === undefined ? value.stack : { stack: value.stack, cause: value.cause };
}
