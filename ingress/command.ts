import { type ParseArgsConfig, parseArgs } from 'node:util';

/** npm hands a Ctrl-C on that the terminal has already sent to everyone: that is one Ctrl-C, not two. */
const sameSignalMs = 500;

/**
 * The command line. With --help the usage is printed, and the process ends with 0; what is not understood is told, with the
 * usage, and it ends with 2.
 */
export function readCommand<const Config extends ParseArgsConfig>(
  usage: string,
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    const help = { type: 'boolean', short: 'h' } as const;
    const parsed = parseArgs({ ...config, options: { ...config.options, help } });
    const { values } = parsed as { readonly values: { readonly help?: boolean } };
    if (!values.help) return parsed as unknown as ReturnType<typeof parseArgs<Config>>;
  } catch (fault) {
    refuse(`${(fault as Error).message}\n\n${usage.trimEnd()}`);
  }
  process.stdout.write(`${usage.trimEnd()}\n`);
  process.exit(0);
}

/** Ends with what the person at the terminal has to change about the command line. */
export function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}

/** Calls `stop` at the first Ctrl-C, end of the terminal (SIGHUP) or other signal to end; a second one ends the process at once. */
export function onInterrupt(stop: () => void): void {
  let since: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (since !== undefined && Date.now() - since > sameSignalMs) process.exit(130);
      if (since === undefined) stop();
      since ??= Date.now();
    });
  }
}
