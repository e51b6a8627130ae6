import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./serve.js', import.meta.url));
const threads = fileURLToPath(new URL('./threads.cjs', import.meta.url));

// Pixels and uploads lie outside of V8's heap, which by itself thinks them too few to collect garbage for.
const flags = {
  // MiB of new objects, in place of 16: less is left lying about, and neither start nor answers take longer.
  primary: ['--max-semi-space-size=2'],
  // A quarter less memory than with the primary's, for a start that is 70 ms longer, which the primary's 500 ms have no room for.
  // One thread of V8's own in place of four: they would share collections too small to share, which costs 10 to 17 % of a photo's CPU.
  fallback: ['--optimize-for-size', '--v8-pool-size=1'],
  // As the fallback. Of a patch of 512x512 by the index test it takes 57 to 62 ms of CPU in place of 49, and 290 MiB in place of 320.
  clouds: ['--optimize-for-size', '--v8-pool-size=1'],
  digits: ['--optimize-for-size', '--v8-pool-size=1'],
  events: ['--optimize-for-size', '--v8-pool-size=1'],
} as const;

/** The functions, as FUNCTION_TARGET names them. */
export type FunctionName = keyof typeof flags;

/** Starts a function in a process of its own; the images' ENTRYPOINTs say the same. */
export function functionCommand(target: FunctionName): readonly [program: string, ...args: string[]] {
  return [process.execPath, ...flags[target], '--require', threads, script];
}

/** Starts the program that brings jobs from Kafka to `events`. */
export const consumeCommand = [process.execPath, fileURLToPath(new URL('./consume.js', import.meta.url))] as const;

/** Of what runs jobs: no thread of it comes before one that answers synchronous requests. */
export const jobsNiceness = 15;

/** Starts a program that gives way to all others on this machine. */
export function behindOthers(command: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return ['nice', '-n', String(jobsNiceness), ...command];
}

// Two malloc arenas, so threads reuse freed memory.
const arenas = { MALLOC_ARENA_MAX: '2' };
// Asks Linux for huge pages where it gives them on request: weights, activations and pixels then cost fewer page faults and look-ups.
// A run of Wide ResNet-50-2 takes 0.3 to 0.7 % less; resident memory stays as it is. glibc 2.35.
const hugePages = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };

// Bytes. glibc would raise this by itself, and weights and pixels that are freed would stay with the process, as gaps: 15 MiB, for
// which the fallback has no room. Tensors and activations of the embedded model lie below, so that their pages stay.
const small = { ...arenas, ...hugePages, MALLOC_MMAP_THRESHOLD_: '524288' };

const memory = {
  // Bytes. Above the 3 MB of the largest region that is resized for a crop of 500 pixels or less, and so much free is kept: decoding
  // a photo of 1024x768 into pages that are mapped anew each time takes 5.3 ms in place of 4.1. It is 12 MiB more for a primary that
  // nobody asks.
  primary: { ...arenas, ...hugePages, MALLOC_MMAP_THRESHOLD_: '4194304', MALLOC_TRIM_THRESHOLD_: '16777216' },
  fallback: small,
  clouds: small,
  digits: small,
  events: small,
} as const;

/** What glibc reads when a function's process starts; the images' ENV has the same. Elsewhere nothing comes of it. */
export function memoryVariables(target: FunctionName): Readonly<Record<string, string>> {
  return memory[target];
}
