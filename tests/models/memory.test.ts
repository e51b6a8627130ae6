import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { changeCard, makeModelsDir } from '../support/models.ts';
import { runProgram } from '../support/program.ts';

const program = fileURLToPath(new URL('../../models/memory.js', import.meta.url));
const modelsDir = makeModelsDir({ moody: 'moody', short: 'moody', unproven: 'moody' });
truncateSync(join(modelsDir, 'short', 'model.onnx'), 9);
changeCard(join(modelsDir, 'unproven'), (card) => ({ ...card, golden: { logits: [1, 3], tolerance: 0.1 } }));
afterAll(() => rmSync(modelsDir, { recursive: true }));

const memory = (...args: string[]) => runProgram(program, '--models-dir', modelsDir, ...args);

describe('memory', () => {
  it('tells what the process takes with the model in so many workers, of which no page counts twice', () => {
    const { status, stdout } = memory('--model', 'moody', '--workers', '2');

    const [, resident, once] = /^moody portable, 2 workers: (\d+) MB resident, (\d+) MB with /.exec(stdout) ?? [];
    expect(status).toBe(0);
    expect(Number(once)).toBeGreaterThan(0);
    expect(Number(once)).toBeLessThanOrEqual(Number(resident) + 1); // read a moment later, and rounded
  });

  it.each([
    ['a folder that is not there', ['--model', 'none'], 'Expected a file but received nothing'],
    ['a file that is not the card’s', ['--model', 'short'], 'Expected SHA-256'],
    ['a golden case that is not met', ['--model', 'unproven'], 'of the golden case but received'],
    [
      'a variant that is not there',
      ['--model', 'moody', '--variant', 'x'],
      'Expected one of portable of moody for --variant but received "x"',
    ],
  ])('ends with status 1 and a sentence for %s', (_circumstance, args, message) => {
    const { status, stdout, stderr } = memory(...args);

    expect({ status, stdout, lines: stderr.trim().split('\n').length }).toEqual({ status: 1, stdout: '', lines: 1 });
    expect(stderr).toContain(message);
  });

  it.each([
    ['no folder', [], 'a folder for --model'],
    ['no worker', ['--model', 'moody', '--workers', '0'], 'from 1 to 99 for --workers'],
    ['a hundred workers', ['--model', 'moody', '--workers', '100'], 'from 1 to 99 for --workers'],
    ['an unknown option', ['--model', 'moody', '--frob'], '--frob'],
  ])('answers %s with its usage and status 2', (_circumstance, args, message) => {
    const { status, stderr } = memory(...args);

    expect(stderr).toContain(message);
    expect(stderr).toContain('Usage: node dist/models/memory.js');
    expect(status).toBe(2);
  });
});
