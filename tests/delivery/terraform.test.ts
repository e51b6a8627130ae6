import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type Bed, missingPrograms, openBed } from './terraform/bed.ts';
import { faults, misspellings } from './terraform/faults.ts';

jest.setTimeout(60_000);

const missing = missingPrograms();
const count = 3 + faults.length + misspellings.length;
if (missing.length > 0)
  process.stdout.write(`No ${missing.join(', ')} in PATH: ${count} tests of terraform/ skipped\n`);

(missing.length > 0 ? describe.skip : describe)('terraform/', () => {
  let bed: Bed;

  beforeAll(() => {
    bed = openBed();
  }, 20 * 60_000);

  afterAll(() => bed?.close());

  it('is formatted', () => {
    expect(bed.terraform(['fmt', '-check', '-recursive', '-diff'])).toEqual({ code: 0, output: '' });
  });

  it('has the names and types of the provider', () => {
    expect(bed.terraform(['validate', '-no-color'])).toMatchObject({ code: 0 });
  });

  it('passes its own tests', () => {
    const { code, output } = bed.terraform(['test', '-no-color']);

    expect(output).toMatch(/\nSuccess! \d+ passed, 0 failed\.\n/);
    expect(code).toBe(0);
  });

  it.each(faults.map((fault) => [fault.name, fault] as const))('finds %s', (_, fault) => {
    const { code, output } = bed.terraform(['test', '-no-color', `-filter=tests/${fault.by}.tftest.hcl`], [fault]);

    expect(code).toBe(1);
    expect(output.replace(/\s+/g, ' ')).toContain(fault.words);
  });

  it.each(misspellings.map((fault) => [fault.name, fault] as const))('refuses %s', (_, fault) => {
    const { code, output } = bed.terraform(['validate', '-no-color'], [fault]);

    expect(code).toBe(1);
    expect(output.replace(/[│\s]+/g, ' ')).toContain(fault.words);
  });
});
