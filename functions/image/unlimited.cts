// For warm.ts, by --require: threads without limits of their heap, whose garbage collector then does not run before all is compiled.
// V8 leaves four bytes of a generator's bytecode as it finds them; in memory that was never used they are zero in every build.
{
  const threads = require('node:worker_threads') as typeof import('node:worker_threads');
  const { syncBuiltinESMExports } = require('node:module') as typeof import('node:module');
  class Unlimited extends threads.Worker {
    constructor(...[script, { resourceLimits: _, ...options } = {}]: ConstructorParameters<typeof threads.Worker>) {
      super(script, options);
    }
  }
  Object.assign(threads, { Worker: Unlimited });
  syncBuiltinESMExports();
}
