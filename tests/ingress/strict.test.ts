import { beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Answer } from '../support/client.ts';
import {
  busy,
  deadline,
  expectProblem,
  type Fault,
  noOutages,
  outages,
  own,
  plain,
  problemJson,
  refused,
  strictRefusal,
  useIngress,
  whileFaulty,
} from '../support/ingress.ts';
import { answer } from '../support/upstream.ts';

jest.setTimeout(30_000);

const ingress = useIngress();
const ask = (prefer = 'handling=strict'): Promise<Answer> => ingress.post({ headers: { prefer } });

describe('strict requests', () => {
  beforeAll(() => ingress.start());

  it.each([
    'handling=strict',
    'Handling=STRICT',
    'handling = strict',
    'handling="strict"',
    'respond-async, handling=strict',
    'handling=strict, handling=lenient',
    'x="a, b", handling=strict',
    'x="a\\", b", handling=strict',
    'a=1,, b, handling=strict',
    'respond-async,handling=strict;why=exact, wait=10',
  ])('go to the primary alone: Prefer: %s', async (prefer) => {
    ingress.primary.behave(plain(503));

    expectProblem(await ask(prefer), 'PRIMARY_REQUIRED');
    expect(ingress.primary.received[0]?.headers.prefer).toBe(prefer);
    expect(ingress.fallback.received).toHaveLength(0);
  });

  it.each([
    'handling=lenient',
    'handling=lenient, handling=strict',
    'handling=stricter',
    'handling',
    'respond-async',
    'mishandling=strict',
    'x="a, handling=strict"',
    'x="a\\", handling=strict"',
    'x="a, handling=strict',
    'a; handling=strict',
    '',
  ])('are not those with Prefer: %s', async (prefer) => {
    ingress.primary.behave(busy);

    expect((await ask(prefer)).headers['x-tier']).toBe('fallback');
  });

  it.each([
    ['503 PRIMARY_REQUIRED', strictRefusal],
    ['503 BUSY', busy],
    ['504 DEADLINE_EXCEEDED', deadline],
    ['500 INTERNAL', own('INTERNAL')],
    ['422 UPLOAD_MALFORMED', own('UPLOAD_MALFORMED')],
    ['200', answer(200, { 'content-type': 'application/json', 'preference-applied': 'handling=strict' }, '{}')],
  ])("get the primary's own %s unchanged", async (_name, behavior) => {
    ingress.primary.behave(behavior);

    const { status, headers, body: text } = behavior;
    expect(await ask()).toMatchObject({ status, headers, text });
    expect(ingress.fallback.received).toHaveLength(0);
  });

  it.each([...outages, ...noOutages].filter(([, fault]) => !isOwn(fault)))(
    'get 503 PRIMARY_REQUIRED on %s',
    async (_name, fault) => {
      const answered = await whileFaulty(ingress.primary, fault, ask);

      expectProblem(answered, 'PRIMARY_REQUIRED');
      expect(answered.headers['retry-after']).toBe('5');
      expect(ingress.fallback.received).toHaveLength(0);
    },
  );

  it.each(['?features=1', '?top=3&features=1', '?features=1&top=3'])(
    'are those for the embedding: %s',
    async (query) => {
      ingress.primary.behave(plain(503));

      expectProblem(await ingress.post({ path: `/classify${query}` }), 'PRIMARY_REQUIRED');
      expect(ingress.primary.received[0]?.url).toBe(`/classify${query}`);
      expect(ingress.fallback.received).toHaveLength(0);
    },
  );

  it.each(['?features=0', '?features=11', '?features', '?xfeatures=1', '?FEATURES=1', '?top=1'])(
    'are not those with %s',
    async (query) => {
      ingress.primary.behave(busy);

      expect((await ingress.post({ path: `/classify${query}` })).headers['x-tier']).toBe('fallback');
    },
  );

  it('never open the breaker of the others', async () => {
    for (let i = 0; i < 10; i += 1) await whileFaulty(ingress.primary, refused, ask);
    ingress.primary.behave(answer(200));

    expect(await ingress.tiersOf(1)).toEqual(['primary']);
  });

  it('reach a primary that the breaker skips for the others', async () => {
    ingress.primary.behave(own('INTERNAL'));
    await ingress.tiersOf(4);
    ingress.primary.behave(answer(200));

    expect((await ask()).headers['x-tier']).toBe('primary');
    expect(await ingress.tiersOf(1)).toEqual(['fallback']);
  });
});

function isOwn(fault: Fault): boolean {
  return fault !== refused && fault.kind === 'answer' && fault.headers?.['content-type'] === problemJson;
}
