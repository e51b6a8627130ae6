import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, jest } from '@jest/globals';
import { runProgram } from './support/program.ts';

jest.setTimeout(60_000);

const compiled = fileURLToPath(new URL('../', import.meta.url));
const scripts: Record<string, string> = JSON.parse(readFileSync('package.json', 'utf8')).scripts;

/** What a person may start: the scripts' own programs, and those that the pages name. */
const programs = [
  ...Object.values(scripts).flatMap((script) => /exec node dist\/(\S+)$/.exec(script)?.[1] ?? []),
  ...['memory', 'overhead', 'start'].map((name) => `load/${name}.js`),
  ...['digit-photos/write', 'golden-clouds', 'pixels'].map((name) => `models/${name}.js`),
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

  it('end quietly when their reader leaves', () => {
    const program = join(compiled, 'load/run.js');

    const { stdout, stderr } = spawnSync('sh', ['-c', `node ${program} collapse --tables | head -1`], {
      encoding: 'utf8',
    });

    expect(stdout).not.toBe('');
    expect(stderr).toBe('');
  });

  it.each(programs)('%s begins nothing with an option that it does not know', (program) => {
    const { status, stdout, stderr } = runProgram(join(compiled, program), '--frobnicate');

    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Unknown option '--frobnicate'.*\n\nUsage: (npm |node dist\/)/);
  });
});

describe('onInterrupt', () => {
  const program = `
    import { onInterrupt } from ${JSON.stringify(join(compiled, 'ingress/command.js'))};
    onInterrupt(() => console.log('stops'));
    process.emit('SIGINT');
    process.emit('SIGINT');
    console.log('goes on');
    setTimeout(() => process.emit('SIGINT'), 600);
    setInterval(() => undefined, 1000);`;

  it('takes the Ctrl-C that npm hands on for the one of the terminal, and ends at the next', () => {
    const { status, stdout } = runProgram('--input-type=module', '--eval', program);

    expect({ status, stdout }).toEqual({ status: 130, stdout: 'stops\ngoes on\n' });
  });
});
