const severities = ['debug', 'info', 'warn', 'error', 'silent'] as const;

export type Severity = Exclude<(typeof severities)[number], 'silent'>;

export type Log = (severity: Severity, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** Writes one JSON line a call to stdout, leaving out what is less severe than `level`. An `error` field keeps its stack. */
export function createLog(
  level: (typeof severities)[number],
  write: (line: string) => void = (line) => process.stdout.write(line),
): Log {
  return (severity, message, fields = {}) => {
    if (severities.indexOf(severity) < severities.indexOf(level)) return;
    write(`${JSON.stringify({ time: new Date().toISOString(), severity, message, ...fields }, replaceError)}\n`);
  };
}

function replaceError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return value.cause === undefined ? value.stack : { stack: value.stack, cause: value.cause };
}
