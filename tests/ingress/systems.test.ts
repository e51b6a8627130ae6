import { readFileSync } from 'node:fs';
import { describe, expect, it, jest } from '@jest/globals';
import { type TaskName, taskNames, tasks } from '../../load/k6/tasks.ts';
import { send } from '../support/client.ts';
import { type Stack, useStack } from '../support/stack.ts';

jest.setTimeout(60_000);

const ready = /ready, ends with Ctrl-C/;

const stack = useStack();
const start = (functions: string) => stack.start({ FUNCTIONS: functions });

/** Status of the answer to a task's upload. */
async function ask({ port }: Stack, name: TaskName): Promise<number> {
  const { path, files, contentType } = tasks[name];
  const body = readFileSync(`tests/images/${files[0]}`);
  return (await send(`http://127.0.0.1:${port}`, { path, headers: { 'content-type': contentType }, body })).status;
}

describe('npm start', () => {
  it.each([
    ['digits', ['digits']],
    [' clouds , digits', ['digits', 'clouds']],
    ['', ['primary', 'fallback', 'digits', 'clouds']],
  ])('starts, for FUNCTIONS=%j, the functions %j', async (value, functions) => {
    const running = await start(value);

    await running.says(ready);

    const started = [...running.output().matchAll(/understudy: (\w+) is process/g)].map(([, name]) => name);
    expect(started).toEqual([...functions, 'nginx']);
    const isThere = (name: TaskName) => functions.includes(name === 'classify' ? 'primary' : name);
    for (const name of taskNames) expect(await ask(running, name)).toBe(isThere(name) ? 200 : 404);
    const tried = [...running.output().matchAll(/^ {2}curl .*localhost:\d+(\/\w+)/gm)].map(([, path]) => path);
    expect(tried).toEqual(taskNames.filter(isThere).map((name) => tasks[name].path.replace(/\?.*/, '')));
  });

  it('opens for classify before the others can answer, and is ready with them', async () => {
    const running = await start('classify,digits');
    await running.says(/digits is process \d+/);
    const digits = Number(/digits is process (\d+)/.exec(running.output())?.[1]);
    process.kill(digits, 'SIGSTOP');

    await running.healthy();

    expect(await ask(running, 'classify')).toBe(200);
    expect(running.output()).not.toMatch(ready);
    process.kill(digits, 'SIGCONT');
    await running.says(ready);
    expect(await ask(running, 'digits')).toBe(200);
  });
});
