import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { runProgram } from './support/program.ts';
import { startProgram } from './support/started.ts';

const compiled = fileURLToPath(new URL('../', import.meta.url));
const scripts: Record<string, string> = JSON.parse(readFileSync('package.json', 'utf8')).scripts;

/** What a person may start: the scripts' own programs, and those that the pages name. */
const programs = [
  ...Object.values(scripts).flatMap((script) => /exec node dist\/(\S+)$/.exec(script)?.[1] ?? []),
  ...['lane', 'memory', 'overhead', 'start', 'wake', 'peers/report'].map((name) => `load/${name}.js`),
  ...['memory', 'pixels'].map((name) => `models/${name}.js`),
];

describe('the command lines', () => {
  it.each(programs)('%s tells its usage', (program) => {
    const { status, stdout, stderr } = runProgram(join(compiled, program), '--help');

    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: (npm |node dist\/)/);
    expect(stdout).not.toMatch(/\n\n$/);
  });

  it('take -h for --help', () => {
    const [program = ''] = programs;

    const [short, long] = ['-h', '--help'].map((option) => runProgram(join(compiled, program), option));

    expect(short).toEqual(long);
  });

  it.each(programs)('%s begins nothing with an option that it does not know', (program) => {
    const { status, stdout, stderr } = runProgram(join(compiled, program), '--frobnicate');

    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Unknown option '--frobnicate'.*\n\nUsage: (npm |node dist\/)/);
  });
});

describe('onInterrupt', () => {
  const program = `
    import { onInterrupt } from ${JSON.stringify(join(compiled, 'load/command.js'))};
    onInterrupt(() => console.log('stops'));
    setInterval(() => undefined, 1000);
    console.log('runs');`;

  it('takes the Ctrl-C that npm hands on for the one of the terminal, and ends at the next', async () => {
    const command = [process.execPath, '--input-type=module', '--eval', program] as const;
    const { child, exited, output, says } = startProgram([...command], { env: process.env });
    await says(/runs/);

    child.kill('SIGINT');
    await says(/stops/);
    child.kill('SIGINT');
    await sleep(600);
    expect(child.exitCode).toBeNull();
    child.kill('SIGINT');

    expect(await exited).toEqual([130, null]);
    expect(output()).toBe('runs\nstops\n');
  });
});
