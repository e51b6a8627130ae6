const severities = ['debug', 'info', 'warn', 'error', 'silent'] as const;

export type Severity = Exclude<(typeof severities)[number], 'silent'>;

export type Log = (severity: Severity, message: string, fields?: Readonly<Record<string, unknown>>) => void;

type Write = (line: string, isUrgent: boolean) => void;

/** A write wakes whoever reads the log, on the thread that answers clients: a hundred a second are enough. */
const gatherMs = 10;

/**
 * Hands lines on together, at the latest after `gatherMs` and at the exit, an urgent one at once with all before it. What
 * was gathered is lost only with a process that is killed.
 */
export function gatherLines(write: (text: string) => void): Write {
  let gathered = '';
  const flush = () => {
    if (gathered !== '') write(gathered);
    gathered = '';
  };
  process.on('exit', flush);
  return (line, isUrgent) => {
    if (gathered === '') setTimeout(flush, gatherMs).unref();
    gathered += line;
    if (isUrgent) flush();
  };
}

/**
 * Writes one JSON line a call to stdout, leaving out what is less severe than `level`; errors go out at once. An `error`
 * field keeps its stack.
 */
export function createLog(
  level: (typeof severities)[number],
  write: Write = gatherLines((text) => process.stdout.write(text)),
): Log {
  return (severity, message, fields = {}) => {
    if (severities.indexOf(severity) < severities.indexOf(level)) return;
    const line = `${JSON.stringify({ time: new Date().toISOString(), severity, message, ...fields }, replaceError)}\n`;
    write(line, severity === 'error');
  };
}

function replaceError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return value.cause === undefined ? value.stack : { stack: value.stack, cause: value.cause };
}
