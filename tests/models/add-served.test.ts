import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { addGraph, expectedScores, picture, pixel } from '../support/add.ts';
import { scoresOf } from '../support/colors.ts';
import { until, useStack } from '../support/stack.ts';

jest.setTimeout(60_000);

const { start } = useStack();

interface Answered {
  readonly model: string;
  readonly degraded: boolean;
  readonly predictions: readonly { readonly label: string; readonly score: number }[];
}

async function ask(port: number): Promise<Answered> {
  const body = new Uint8Array(readFileSync(picture));
  const response = await fetch(`http://127.0.0.1:${port}/classify?top=3`, { method: 'POST', body });
  return (await response.json()) as Answered;
}

describe('a model that was added, behind nginx', () => {
  it('answers with its own labels; the standby model answers with those of its own in its place', async () => {
    const { modelsDir } = await addGraph({
      graph: { layout: 'NHWC', order: 'BGR', ending: 'Softmax' },
      args: ['--channels', 'BGR'],
    });
    cpSync('models/mobilenet', join(modelsDir, 'mobilenet'), { recursive: true });
    const stack = await start({ MODELS_DIR: modelsDir, PRIMARY_MODEL: 'colors' });
    await stack.says(/ready, ends with Ctrl-C/); // both functions, since the primary is killed below
    const answers: Answered[] = [];
    await until(
      async () => answers.push(await ask(stack.port)) > 0 && answers.at(-1)?.degraded === false,
      20_000,
      () => JSON.stringify(answers.at(-1)),
    );
    const answered = answers.at(-1) as Answered;

    for (const pid of stack.programs('FUNCTION_TARGET=primary')) process.kill(pid, 'SIGKILL');
    const instead = await ask(stack.port);

    expect(answered.model).toBe('colors');
    expect(Object.fromEntries(answered.predictions.map(({ label, score }) => [label, score]))).toEqual(
      expectedScores(scoresOf([...pixel], (value) => value / 255, 'softmax')),
    );
    expect(instead).toMatchObject({ model: 'mobilenet', degraded: true });
    expect(instead.predictions.map(({ label }) => label)).not.toContain('red');
  });
});
