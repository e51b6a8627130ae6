import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import type { RunningFunction } from '../../support/function.ts';
import { cleanAfterAll } from '../../support/served.ts';
import { makeFolder, removeFolder, type Stack, startStack } from '../../support/stack.ts';
import { describeWithSchemathesis, type Examined, examine } from './examine.ts';
import { type Fault, type Passing, startProxy } from './proxy.ts';

jest.setTimeout(600_000);

const { start, later } = cleanAfterAll();

function expectNothingFound({ status, output }: Examined): void {
  const [, generated, passed] = /(\d+) generated, (\d+) passed$/m.exec(output) ?? [];
  if (status !== 0 || passed !== generated) throw new Error(output);
  expect(Number(passed)).toBeGreaterThan(100);
}

describeWithSchemathesis('a function', () => {
  it.each([
    ['primary', '/classify', 'digit.png'],
    ['digits', '/predict', 'digit.png'],
    ['clouds', '/infer', 'patch.tif'],
  ] as const)('answers as the document says: %s', async (name, path, sample) => {
    const fn = await start(name);
    await fn.ready();

    expectNothingFound(await examine(fn.url, { paths: [path], tags: ['function'] }, [sample]));
  });
});

describeWithSchemathesis('the ingress', () => {
  const folder = makeFolder();
  let stack: Stack;

  beforeAll(async () => {
    stack = await startStack(folder, { env: { FUNCTIONS: '' } });
    await stack.says(/ready, ends with Ctrl-C/);
  }, 60_000);

  afterAll(async () => {
    await stack.end();
    removeFolder(folder);
  }, 60_000);

  it('answers as the document says', async () => {
    const tags = ['photos', 'digits', 'clouds', 'ingress'];

    expectNothingFound(await examine(`http://127.0.0.1:${stack.port}`, { tags }, ['digit.png', 'patch.tif']));
  });
});

/** Alters the JSON of answers with this status. */
function alterJson(status: number, change: (value: Record<string, unknown>) => void): Fault {
  return {
    alter(passing: Passing) {
      if (passing.status !== status) return;
      const value = JSON.parse(passing.body);
      change(value);
      passing.body = JSON.stringify(value);
    },
  };
}

const faults: readonly (readonly [what: string, fault: Fault, found: string])[] = [
  [
    'takes any top',
    {
      redirect({ searchParams }) {
        const top = searchParams.get('top') ?? '5';
        if (!/^\d+$/.test(top) || Number(top) < 1 || Number(top) > 20) searchParams.delete('top');
      },
    },
    'ST201',
  ],
  [
    'gives six predictions for five',
    alterJson(200, (answer) => {
      const predictions = answer.predictions as unknown[] | undefined; // a batch has none of its own
      predictions?.push(predictions.at(-1));
    }),
    'Expected at most 5 predictions but received 6',
  ],
  [
    'answers problems without a code',
    alterJson(400, (problem) => {
      delete problem.code;
    }),
    'ST108',
  ],
  [
    'answers 500 to an empty form',
    {
      alter(passing) {
        if (passing.body.includes('UPLOAD_EMPTY')) passing.status = 500;
      },
    },
    'ST101',
  ],
  [
    'answers 405 without Allow',
    {
      alter({ headers }) {
        delete headers.allow;
      },
    },
    'ST204',
  ],
];

describeWithSchemathesis('a function that is wrong', () => {
  let fn: RunningFunction;

  beforeAll(async () => {
    fn = await start('primary');
    await fn.ready();
  });

  it.each(faults)('is found out: one that %s', async (_what, fault, found) => {
    const proxy = await startProxy(fn.url, fault);
    later(() => proxy.close());

    const { status, output } = await examine(proxy.url, { paths: ['/classify'] }, ['digit.png']);

    expect(status).toBe(1);
    expect(output).toContain(found);
  });

  it('is found out by nothing else: the proxy alone is right', async () => {
    const proxy = await startProxy(fn.url, {});
    later(() => proxy.close());

    expectNothingFound(await examine(proxy.url, { paths: ['/classify'] }, ['digit.png']));
  });
});
