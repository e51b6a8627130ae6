import { describe, expect, it } from '@jest/globals';
import { allowedInstructions, instructionsOf } from '../../functions/core/card/instructions.ts';

const cpuinfo = (flags: string) => `processor\t: 0\nmodel name\t: x\nflags\t\t: fpu ${flags} bmi1\nbugs\t\t: none\n\n`;

describe('instructionsOf', () => {
  it.each([
    ['avx avx2 avx512f avx512_vnni', ['x64-avx512-vnni', 'x64-avx512']],
    ['avx avx2 avx512f', ['x64-avx512']],
    ['avx avx2 avx_vnni avx512f', ['x64-avx512']],
    ['avx avx2 avx_vnni', ['x64-avx2-vnni', 'x64-avx2']],
    ['avx avx2', ['x64-avx2']],
    ['avx', []],
    ['avx512_vnni', []],
    ['avx_vnni', []],
  ])('of an x64 processor with %s is %j', (flags, classes) => {
    expect(instructionsOf('x64', cpuinfo(flags))).toEqual(classes);
  });

  it('goes by the first processor of several', () => {
    expect(instructionsOf('x64', cpuinfo('avx2') + cpuinfo('avx2 avx512f'))).toEqual(['x64-avx2']);
  });

  it('of arm64 is its one class, whatever the system tells', () => {
    expect(instructionsOf('arm64', '')).toEqual(['arm64']);
    expect(instructionsOf('arm64', 'Features\t: fp asimd\n')).toEqual(['arm64']);
  });

  it('is none where the system tells nothing, and on other architectures', () => {
    expect(instructionsOf('x64', '')).toEqual([]);
    expect(instructionsOf('ia32', cpuinfo('avx2'))).toEqual([]);
  });
});

describe('allowedInstructions', () => {
  it('are classes of this architecture, the more special one first', () => {
    const classes = allowedInstructions();

    expect(classes.filter((name) => !name.startsWith(process.arch))).toEqual([]);
    expect(classes).toEqual(classes.toSorted((one, other) => other.length - one.length));
  });
});
