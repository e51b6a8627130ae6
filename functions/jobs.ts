import { parseArgs } from 'node:util';
import { ConfigError, loadJobs } from './core/config.ts';
import { isJobId, type Job } from './core/jobs/job.ts';
import { openQueue, openStore } from './core/jobs/open.ts';
import { listJobs, type Operation, purgeJob, retryJob, showJob } from './core/jobs/operate.ts';

const usage = `Usage: npm run jobs -- COMMAND

Looks at the jobs of the store that JOBS_STORE names (default .jobs, as with npm start), whether functions run or not.

  list              a line for each job: id, task, state, attempts, when it was accepted, and why it failed
  show ID           all that is known of a job
  retry --dead      has the jobs run again that failed too often and whose upload is still there
  retry ID          the same for one of them
  purge             removes all jobs that have ended, with their results`;

const commands: Readonly<Record<string, (operation: Operation, id: string, isDead: boolean) => Promise<string>>> = {
  async list(operation) {
    const lines: string[] = [];
    for await (const job of listJobs(operation)) lines.push(lineOf(job));
    return lines.sort().join('\n');
  },
  async show(operation, id) {
    const job = await showJob(operation, id);
    if (!job) throw new ConfigError('Expected the id of a job but received another');
    return JSON.stringify(job, null, 2);
  },
  async retry(operation, id, isDead) {
    const ids = isDead ? await idsOfDead(operation) : [id];
    let count = 0;
    for (const one of ids) count += Number(await retryJob(operation, one));
    return `${count} of ${ids.length} will run again`;
  },
  async purge(operation) {
    let count = 0;
    for await (const job of listJobs(operation)) count += Number(await purgeJob(operation, job));
    return `${count} removed`;
  },
};

async function idsOfDead(operation: Operation): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id, isDead } of listJobs(operation)) if (isDead) ids.push(id);
  return ids;
}

function lineOf({ id, task, state, attempts, createdAt, problem, isDead }: Job): string {
  const accepted = new Date(createdAt).toISOString();
  const tried = `${attempts} attempt${attempts === 1 ? '' : 's'}`;
  return [accepted, id, task, state, tried, problem?.code, isDead && 'dead'].filter(Boolean).join('  ');
}

/** Ends with 2, as all programs do that were called wrongly. */
function refuse(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}

function readArguments() {
  const options = { help: { type: 'boolean', short: 'h' }, dead: { type: 'boolean' } } as const;
  try {
    return parseArgs({ allowPositionals: true, options });
  } catch (fault) {
    return refuse(`${(fault as Error).message}\n\n${usage}`);
  }
}

const { values, positionals } = readArguments();
const [name = '', id = '', ...rest] = positionals;
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
const isDead = values.dead ?? false;

try {
  if (values.help) process.stdout.write(`${usage}\n`);
  else if (!command || rest.length > 0 || (id !== '' && !isJobId(id))) refuse(usage);
  else if (name === 'retry' && !isDead && id === '') refuse('Expected --dead or an id for retry but received neither');
  else {
    const config = loadJobs();
    const store = openStore(config);
    const queue = openQueue(config, store, () => {});
    const text = await command({ store, queue }, id, isDead).finally(() => queue.close());
    if (text !== '') process.stdout.write(`${text}\n`);
  }
} catch (fault) {
  process.stderr.write(`${fault instanceof ConfigError ? fault.message : (fault as Error).stack}\n`);
  process.exitCode = 1;
}
