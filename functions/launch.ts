import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./serve.js', import.meta.url));

// Pixels and uploads lie outside of V8's heap, which by itself thinks them too few to collect garbage for.
const flags = {
  // MiB of new objects, in place of 16: less is left lying about, and neither start nor answers take longer.
  primary: '--max-semi-space-size=2',
  // A quarter less memory than with the primary's, for a start that is 70 ms longer, which the primary's 500 ms have no room for.
  fallback: '--optimize-for-size',
} as const;

/** Starts a function in a process of its own; the images' ENTRYPOINTs say the same. */
export function functionCommand(target: 'primary' | 'fallback'): readonly [program: string, ...args: string[]] {
  return [process.execPath, flags[target], script];
}

/** What glibc reads when a function's process starts; the images' ENV has the same. Elsewhere nothing comes of it. */
export const memoryVariables = {
  // Not eight a core: what one thread has freed is of use to the others.
  MALLOC_ARENA_MAX: '2',
  // Bytes. glibc would raise this by itself, and weights and pixels that are freed would stay with the process, as gaps. Tensors and
  // activations of the embedded models lie below, so that their pages stay.
  MALLOC_MMAP_THRESHOLD_: '524288',
} as const;
