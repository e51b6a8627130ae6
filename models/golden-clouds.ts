import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { disableTelemetry } from '../functions/core/config.ts';
import { digestOfFile } from '../functions/core/files.ts';
import { answerBy, loadModel } from '../functions/core/pool/session.ts';
import type { CloudsModel } from '../functions/tasks/clouds/card.ts';
import { type Answered, thread } from '../functions/tasks/clouds/thread.ts';
import { readCommand } from '../ingress/command.ts';
import { runTool } from './tool.ts';

const usage = `Usage: node dist/models/golden-clouds.js FOLDER [options]

Completes the card of a model that finds clouds: writes the SHA-256 of its file, and runs the generated patch by the service's own steps for
the logits of its golden case.

  --tolerance N  what each logit may be off by (default 0.01)`;

interface Options {
  readonly folder: string;
  readonly tolerance: number;
}

async function complete({ folder, tolerance }: Options): Promise<void> {
  const path = join(folder, 'model.json');
  const card = JSON.parse(readFileSync(path, 'utf8'));
  const file = join(folder, card.file);
  const details: CloudsModel = { input: card.input, golden: { logits: [], tolerance } };
  const model = await loadModel({ path: file, input: card.input, output: card.output, optimizedBy: null });
  const { body } = (await answerBy(model, thread, details)(thread.golden(details))) as Answered;
  const logits = Array.from(new Float32Array(body.buffer as ArrayBuffer), (logit) => Number(logit.toPrecision(6)));
  const completed = { ...card, sha256: digestOfFile(file)?.sha256, golden: { logits, tolerance } };
  const text = JSON.stringify(completed, null, 2).replace(/\[[^[\]{}]*\]/g, (list) => list.replace(/\s+/g, ' '));
  writeFileSync(path, `${text}\n`);
}

/** @throws TypeError about the command line */
function readOptions(): Options {
  const { values, positionals } = readCommand(usage, {
    options: { tolerance: { type: 'string', default: '0.01' } },
    allowPositionals: true,
  });
  const [folder, ...more] = positionals;
  if (folder === undefined || more.length > 0) throw new TypeError('Expected one folder but received another number');
  const tolerance = Number(values.tolerance);
  if (tolerance > 0) return { folder, tolerance };
  throw new TypeError(`Expected a number above 0 for --tolerance but received "${values.tolerance}"`);
}

disableTelemetry();
await runTool(usage, readOptions, complete);
