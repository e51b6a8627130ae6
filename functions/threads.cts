// libuv makes its threads when the first of them is needed, and that is when an ES module is read. So this runs before, by --require.
{
  const { availableParallelism } = require('node:os') as typeof import('node:os');
  const most = 64;
  const workers = Number(process.env.WORKERS);
  const decoders = workers >= 1 && workers <= most ? workers : Math.min(most, availableParallelism());
  process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, decoders)); // its own 4 are the least: files and names need some, too
  process.on('SIGHUP', () => {}); // which would end the process until serve.ts has been read
}
