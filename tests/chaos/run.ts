import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { onInterrupt, readCommand, refuse } from '../../ingress/command.ts';
import { machineFaults } from './faults/machine.ts';
import { modelFaults } from './faults/models.ts';
import { networkFaults } from './faults/network.ts';
import { overloadFaults } from './faults/overload.ts';
import { processFaults } from './faults/processes.ts';
import { perform } from './perform.ts';
import type { Row } from './row.ts';
import { closeStage, openStage } from './stage.ts';
import { type Skipped, toMarkdown } from './table.ts';

/** Two cores can run the stack, the driver and a fault at this rate. */
const defaultRate = '45';
/** 73 faults make 50,000 requests. */
const defaultSeconds = '18';

const usage = `Usage: npm run chaos -- [options]

Steady traffic for the whole stack and one fault after another. Ends with 1 when a request had no answer that should.

  --rate N                requests a second (default ${defaultRate})
  --seconds-per-fault N   at least (default ${defaultSeconds})
  --only NAMES            faults whose key or name contains one of these, separated by commas (default all)
  --out FOLDER            for the table and the output of the programs (default dist/chaos)`;

const { values } = readCommand(usage, {
  options: {
    rate: { type: 'string', default: defaultRate },
    'seconds-per-fault': { type: 'string', default: defaultSeconds },
    only: { type: 'string', default: '' },
    out: { type: 'string', default: 'dist/chaos' },
  },
});

const all = { ...processFaults, ...modelFaults, ...machineFaults, ...networkFaults, ...overloadFaults };
const wanted = values.only.split(',');
const chosen = Object.entries(all).filter(([key, { name }]) => wanted.some((part) => `${key} ${name}`.includes(part)));
const rate = Number(values.rate);
const shortestMs = Number(values['seconds-per-fault']) * 1000;
if (!(rate > 0) || !(shortestMs >= 0) || chosen.length === 0) {
  refuse(`Expected a rate, seconds and the name of a fault but received ${JSON.stringify(values)}`);
}

const ending = new AbortController();
onInterrupt(() => ending.abort()); // a second one ends at once and leaves stopped processes

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const startedAt = new Date();
const rows: Row[] = [];
const skipped: Skipped[] = [];
const stage = await openStage(rate, ending.signal);
try {
  for (const [, fault] of chosen) {
    const why = fault.impossible?.();
    if (why !== undefined) {
      skipped.push({ fault: fault.name, why });
      say(`not run: ${fault.name}: ${why}`);
      continue;
    }
    const row = await perform(fault, stage, { quietMs: 1000, shortestMs });
    rows.push(row);
    say(
      `${row.faults.length === 0 ? 'ok' : 'FAILED'}: ${row.fault}: ${row.requests} requests, ${row.nonAnswers} non-answers`,
    );
    for (const text of row.faults) say(`  ${text}`);
    if (row.faults.length > 0) writeLastWords(row);
  }
} catch (fault) {
  if (!ending.signal.aborted) throw fault;
  say('ended early');
} finally {
  await closeStage(stage);
}

const machine = `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Linux ${release()}, Node ${process.version}`;
const latestMs = Math.round(stage.driver.latestMs());
const heading = `${startedAt.toISOString()}, ${machine}, ${rate} requests a second; the driver was at most ${latestMs} ms late.`;
const markdown = `${heading}\n\n${toMarkdown(rows, skipped)}\n`;
mkdirSync(values.out, { recursive: true });
writeFileSync(join(values.out, 'chaos.md'), markdown);
writeFileSync(
  join(values.out, 'chaos.json'),
  `${JSON.stringify({ startedAt, machine, rate, latestMs, rows, skipped }, null, 2)}\n`,
);
process.stdout.write(markdown);
if (ending.signal.aborted || rows.some(({ faults }) => faults.length > 0)) process.exitCode = 1;

function writeLastWords({ fault }: Row): void {
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, `${fault.replace(/\W+/g, '-')}.log`), stage.stack.lastWords());
}
