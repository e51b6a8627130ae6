import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { send } from '../support/client.ts';
import { changeCard, makeModelsDir, replaceModel } from '../support/models.ts';
import { isRunning, removeFolder, type Stack, startCommand, until, useStack } from '../support/stack.ts';

jest.setTimeout(180_000);

const photo = readFileSync('tests/images/test_image_1.jpg');
const { start } = useStack();
const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) removeFolder(dir);
});

function modelsDir(...folders: Parameters<typeof makeModelsDir>): string {
  const dir = makeModelsDir(...folders);
  dirs.push(dir);
  return dir;
}

/** A lead model that is the Wide ResNet or the MobileNet, and calls its classes by its version. */
function publish(dir: string, version: string, network: string, spoil: (folder: string) => void = () => {}): void {
  replaceModel(dir, 'wide-resnet', 'real', (folder) => {
    cpSync(join('models', network), folder, { recursive: true });
    const labels = JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8')) as { label: string }[];
    const own = labels.map(({ label, ...rest }) => ({ ...rest, label: `${label} ${version}` }));
    writeFileSync(join(folder, 'labels.json'), JSON.stringify(own));
    changeCard(folder, (card) => ({ ...card, name: 'wide-resnet', version }));
    spoil(folder);
  });
}

interface Outcome {
  readonly sentMs: number;
  readonly endedMs: number;
  readonly status: number | string;
  readonly version: string;
  readonly degraded: boolean;
  /** The predictions as they were sent. */
  readonly told: string;
}

/** Answered by the lead model, or not at all. */
const strict = { prefer: 'handling=strict' };

async function ask({ port }: Stack, headers = {}): Promise<Outcome> {
  const sentMs = performance.now();
  const answered = await send(`http://127.0.0.1:${port}`, { body: photo, headers }).catch((fault: Error) => fault);
  const endedMs = performance.now();
  const lost = { version: '', degraded: true, told: '' };
  if (answered instanceof Error) return { sentMs, endedMs, status: String(answered), ...lost };
  const { version, degraded, predictions } = JSON.parse(answered.text);
  return { sentMs, endedMs, status: answered.status, version, degraded, told: JSON.stringify(predictions) };
}

/** Four clients that ask for one photo after the other, two of them strictly. */
function askAtLength(stack: Stack) {
  const outcomes: Outcome[] = [];
  let isOver = false;
  const clients = [strict, strict, {}, {}].map(async (headers) => {
    while (!isOver) outcomes.push(await ask(stack, headers));
  });
  return {
    /** Settles when so many more were answered. */
    async more(count: number): Promise<void> {
      const goal = outcomes.length + count;
      await until(
        () => outcomes.length >= goal,
        90_000,
        () => `Expected ${goal} answers but received ${outcomes.length}`,
      );
    },
    async end(): Promise<readonly Outcome[]> {
      isOver = true;
      await Promise.all(clients);
      return outcomes;
    },
  };
}

/** Waits until the primary has logged so many lines with this message. */
async function logged({ output }: Stack, message: string, count: number): Promise<void> {
  const lines = () => output().match(new RegExp(`"message":"${message}","model":"wide-resnet"`, 'g')) ?? [];
  await until(
    () => lines().length >= count,
    60_000,
    () => `Expected ${count} lines "${message}" but received:\n${output()}`,
  );
}

const ready = /ready, ends with Ctrl-C/;
/** So that the standby model answers nothing for want of time, however busy the machine is. */
const patient = { DEADLINE_MS: '30000', PRIMARY_BUDGET_MS: '25000' };

describe('new versions under load', () => {
  it('take the place of former ones, and lose no request and no label; a broken one is refused', async () => {
    const dir = modelsDir({ 'wide-resnet': 'real', mobilenet: 'real' });
    publish(dir, '1', 'wide-resnet');
    const stack = await start({ MODELS_DIR: dir, ...patient });
    await stack.says(ready);
    await logged(stack, 'worker ready', 1);
    const hangUp = () => stack.child.kill('SIGHUP');
    const references = [await ask(stack)];
    const load = askAtLength(stack);
    await load.more(60);

    publish(dir, '2', 'mobilenet');
    hangUp();
    await logged(stack, 'model swapped', 1);
    await load.more(60);
    publish(dir, 'broken', 'wide-resnet', (folder) =>
      changeCard(folder, (card) => {
        for (const { golden } of [card, ...card.variants]) golden.logits[7] += 1;
        return card;
      }),
    );
    hangUp();
    await logged(stack, 'former model stays', 1);
    await load.more(60);
    publish(dir, '3', 'wide-resnet');
    hangUp();
    await logged(stack, 'former model closed', 2);
    await load.more(60);
    const outcomes = await load.end();

    expect(outcomes.filter(({ status }) => status !== 200)).toEqual([]);
    const ofLead = outcomes.filter(({ degraded }) => !degraded);
    expect([...new Set(ofLead.map(({ version }) => version))]).toEqual(['1', '2', '3']);
    const told = (version: string) => [
      ...new Set(ofLead.filter((one) => one.version === version).map((one) => one.told)),
    ];
    // The third version is the first one's network.
    expect(told('1')).toEqual([references[0]?.told]);
    expect(told('3')).toEqual([references[0]?.told.replaceAll(' 1"', ' 3"')]);
    expect(told('2')).toEqual([expect.stringMatching(/goldfish 2"/)]);
    expect(told('2')[0]).not.toBe(references[0]?.told.replaceAll(' 1"', ' 2"'));
    const relapses = ofLead.filter(({ sentMs, version }) =>
      ofLead.some((other) => other.endedMs < sentMs && other.version > version),
    );
    expect(relapses).toEqual([]);
  });
});

describe('npm start -- --watch', () => {
  it('serves a folder that has changed, without a signal', async () => {
    const dir = modelsDir({ 'wide-resnet': 'real', mobilenet: 'real' });
    const stack = await start({ MODELS_DIR: dir, ...patient }, [...startCommand, '--watch']);
    await stack.says(ready);
    await logged(stack, 'worker ready', 1);

    publish(dir, '2', 'mobilenet');
    await logged(stack, 'model swapped', 1);

    expect(await ask(stack)).toMatchObject({ status: 200, version: '2', degraded: false });
    await sleep(2500); // a look and another
    expect(stack.output().match(/read their model folders again/g)).toHaveLength(1);
  });
});

describe('a terminal', () => {
  it('ends npm start when it is closed, and leaves a SIGHUP its meaning until then', async () => {
    const dir = modelsDir({ 'wide-resnet': 'moody', mobilenet: 'moody' });
    const line = `exec ${startCommand.join(' ')}`;
    const stack = await start({ MODELS_DIR: dir }, ['script', '--quiet', '--return', '--command', line, '/dev/null']);
    await stack.says(ready);
    const pids = stack.pids();
    const [terminal, program] = pids as [number, number];

    process.kill(program, 'SIGHUP');
    await stack.says(/"message":"model unchanged"/);
    process.kill(terminal, 'SIGKILL');

    await until(
      () => !pids.some(isRunning),
      20_000,
      () => `Expected the end of all but received ${pids.filter(isRunning)}`,
    );
  });
});
