/** What the command line has to say as well, or otherwise, as the work found out: status 2. */
export class QuestionError extends Error {
  override readonly name = 'QuestionError';
}

/**
 * Runs a command-line tool. Status 2 and the usage, when `readOptions` throws about the command line; status 2, when the work asks
 * for more; status 1, when it fails. Of any fault only the message is written.
 */
export async function runTool<Options>(
  usage: string,
  readOptions: () => Options,
  work: (options: Options) => Promise<void>,
): Promise<void> {
  let options: Options;
  try {
    options = readOptions();
  } catch (fault) {
    fail(fault, 2, `\n\n${usage}`);
    return;
  }
  await work(options).catch((fault: unknown) => fail(fault, fault instanceof QuestionError ? 2 : 1));
}

function fail(fault: unknown, exitCode: number, hint = ''): void {
  process.stderr.write(`${fault instanceof Error ? fault.message : fault}${hint}\n`);
  process.exitCode = exitCode;
}
