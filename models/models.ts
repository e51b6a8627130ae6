import { rmSync } from 'node:fs';
import { disableTelemetry } from '../functions/core/config.ts';
import { onInterrupt } from '../ingress/command.ts';
import { type AddOptions, add } from './add.ts';
import { readAddOptions, usage } from './add-options.ts';
import { isPipelineCommand, runPipeline } from './python.ts';
import { runTool } from './tool.ts';

async function addAndTell(options: AddOptions): Promise<void> {
  const lines = await add(options, (folder) => {
    onInterrupt(() => {
      rmSync(folder, { recursive: true });
      process.exit(130);
    });
  });
  process.stdout.write(`${lines.join('\n')}\n`);
}

const words = process.argv.slice(2);
if (isPipelineCommand(words[0])) {
  process.exitCode = runPipeline(words);
} else {
  disableTelemetry();
  await runTool(usage, () => readAddOptions(words), addAndTell);
}
