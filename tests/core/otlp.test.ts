import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createExporter } from '../../functions/core/observe/otlp.ts';
import { makeSpanId, type Span } from '../../functions/core/observe/trace.ts';
import { type Collector, startCollector } from '../support/collector.ts';
import { until } from '../support/stack.ts';

let collector: Collector;
let ends: [outcome: string, count: number][];

beforeEach(async () => {
  collector = await startCollector();
  ends = [];
});
afterEach(() => collector.close());

function start(url = `${collector.url}/v1/traces`) {
  return createExporter({
    url,
    headers: { 'x-key': 'k' },
    resource: { 'service.name': 'test' },
    onEnd: (outcome, count) => ends.push([outcome, count]),
  });
}

function spans(count: number): Span[] {
  return Array.from({ length: count }, (_, i) => ({
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: makeSpanId(),
    parentId: undefined,
    name: `span ${i}`,
    kind: 'internal',
    startMs: 1_700_000_000_000.123,
    ms: 1.5,
    attributes: { whole: 3, part: 0.5, yes: true, text: 'a', none: undefined },
    isFailed: i === 0,
  }));
}
const untilEnded = (count: number) =>
  until(
    () => ends.length >= count,
    15_000,
    () => JSON.stringify(ends),
  );

describe('the exporter', () => {
  it('sends what was gathered within a second as one batch, on one connection', async () => {
    const exporter = start();

    exporter.add(spans(2));
    exporter.add(spans(1));
    const arrived = await collector.collect(3);

    expect(collector.batches).toEqual([3]);
    expect(collector.headers[0]).toMatchObject({ 'x-key': 'k', 'content-type': 'application/json' });
    expect(arrived[0]).toEqual({
      service: 'test',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      parentId: '',
      name: 'span 0',
      kind: 1,
      startMs: 1_700_000_000_000.123,
      endMs: 1_700_000_000_001.623,
      isFailed: true,
      attributes: { whole: 3, part: 0.5, yes: true, text: 'a' },
    });
    await untilEnded(1);
    expect(ends).toEqual([['sent', 3]]);
    await exporter.close(1000);
  });

  it('sends 512 at once without waiting, and the others after them', async () => {
    const exporter = start();

    exporter.add(spans(511));
    exporter.add(spans(2));
    await collector.collect(513);

    expect(collector.batches).toEqual([512, 1]);
    await exporter.close(1000);
  });

  it.each(['refuses', 'hangs'] as const)(
    'drops a batch where the collector %s, and tries no other for a while',
    async (behavior) => {
      collector.behave(behavior);
      const exporter = start();

      exporter.add(spans(1));
      await untilEnded(1);
      exporter.add(spans(600));
      await sleep(1500);

      expect(ends).toEqual([['dropped', 1]]);
      expect(collector.batches).toEqual([1]);
      collector.behave('answers');
      await exporter.close(1000);
      expect(ends).toEqual([
        ['dropped', 1],
        ['sent', 512],
        ['sent', 88],
      ]);
    },
  );

  it('drops what comes while no collector listens and 2,048 wait', async () => {
    const gone = `${collector.url}/v1/traces`;
    await collector.close();
    const exporter = start(gone);
    exporter.add(spans(1));
    await untilEnded(1);

    exporter.add(spans(2048));
    expect(ends).toEqual([['dropped', 1]]);
    exporter.add(spans(1));
    expect(ends).toEqual([
      ['dropped', 1],
      ['dropped', 1],
    ]);
    await exporter.close(1000);
  });

  it('sends all that is left when it is closed, and nothing afterwards', async () => {
    const exporter = start();
    exporter.add(spans(3));

    await exporter.close(1000);
    exporter.add(spans(1));

    expect(collector.batches).toEqual([3]);
    expect(ends).toEqual([
      ['sent', 3],
      ['dropped', 1],
    ]);
  });

  it('is closed in time by a collector that hangs', async () => {
    collector.behave('hangs');
    const exporter = start();
    exporter.add(spans(1));
    const startedMs = performance.now();

    await exporter.close(300);

    expect(performance.now() - startedMs).toBeGreaterThan(290);
    expect(ends).toEqual([['dropped', 1]]);
  });
});
