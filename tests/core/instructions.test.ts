import { describe, expect, it } from '@jest/globals';
import { allowedInstructions, instructionsOf } from '../../functions/core/card/instructions.ts';

const cpuinfo = (flags: string) => `processor\t: 0\nmodel name\t: x\nflags\t\t: fpu ${flags} bmi1\nbugs\t\t: none\n\n`;

describe('instructionsOf', () => {
  // Which flags make which classes: tests/models/pipeline.test.ts, by the table that the pipeline is held to as well.
  it('goes by the first processor of several', () => {
    expect(instructionsOf('x64', cpuinfo('avx2') + cpuinfo('avx2 avx512f'))).toEqual(['x64-avx2']);
  });

  it('of arm64 is its one class, whatever the system tells', () => {
    expect(instructionsOf('arm64', 'Features\t: fp asimd\n')).toEqual(['arm64']);
  });

  it('is none where the system tells nothing', () => {
    expect(instructionsOf('x64', '')).toEqual([]);
  });
});

describe('allowedInstructions', () => {
  it('are classes of this architecture, the more special one first', () => {
    const classes = allowedInstructions();

    expect(classes.filter((name) => !name.startsWith(process.arch))).toEqual([]);
    expect(classes).toEqual(classes.toSorted((one, other) => other.length - one.length));
  });
});
