// libuv makes its threads when the first of them is needed, and that is when an ES module is read. So this runs before, by --require.
{
  const { availableParallelism } = require('node:os') as typeof import('node:os');
  const most = 64;
  const workers = Number(process.env.WORKERS);
  const decoders = workers >= 1 && workers <= most ? workers : Math.min(most, availableParallelism());
  const syncs = process.env.JOBS_STORE ? 4 : 0; // core/jobs/directory.ts has as many wait for the disk: no decoding waits with them
  process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, decoders + syncs)); // its own 4 are the least: files and names need some, too
  process.on('SIGHUP', () => {}); // which would end the process until serve.ts has been read
}
