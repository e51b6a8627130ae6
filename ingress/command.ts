import { type ParseArgsConfig, parseArgs } from 'node:util';

/** npm forwards a Ctrl-C that the terminal has already sent to the whole group: two signals, one Ctrl-C. */
const sameSignalMs = 500;

/** Parses the command line. --help prints the usage and exits with 0; an unknown option prints it and exits with 2. */
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

/** Exits with 2 after a sentence about what is wrong with the command line. */
export function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}

/** Calls `stop` at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. One that `isOther` does not count. */
export function onInterrupt(
  stop: (signal: NodeJS.Signals) => void,
  isOther: (signal: NodeJS.Signals) => boolean = () => false,
): void {
  let since: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (isOther(signal)) return;
      if (since !== undefined && Date.now() - since > sameSignalMs) process.exit(130);
      if (since === undefined) stop(signal);
      since ??= Date.now();
    });
  }
}
