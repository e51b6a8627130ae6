import { readTextStart } from '../files.ts';

/** Of /proc/cpuinfo, which says the same of each processor in a paragraph of 1.5 kB. */
const cpuinfoBytes = 8192;

/**
 * The instruction-set classes whose files this process may run, as model cards name them, the best first; none where the system
 * does not tell.
 */
export function allowedInstructions(): readonly string[] {
  return instructionsOf(process.arch, readTextStart('/proc/cpuinfo', cpuinfoBytes) ?? '');
}

/**
 * The same, from Node's name of the architecture and the text of /proc/cpuinfo. AVX-512 lays convolutions out in blocks of 16 and
 * AVX2 in blocks of 8, so a file of the one class is never run on a processor of the other, not even where it could be.
 */
export function instructionsOf(arch: string, cpuinfo: string): readonly string[] {
  if (arch === 'arm64') return ['arm64'];
  if (arch !== 'x64') return [];
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' '));
  if (flags.has('avx512f')) return flags.has('avx512_vnni') ? ['x64-avx512-vnni', 'x64-avx512'] : ['x64-avx512'];
  if (!flags.has('avx2')) return [];
  return flags.has('avx_vnni') ? ['x64-avx2-vnni', 'x64-avx2'] : ['x64-avx2'];
}
