import { describe, expect, it } from '@jest/globals';
import type { ModelChain } from '../../functions/core/chain/chain.ts';
import { refuseHopeless } from '../../functions/core/chain/hopeless.ts';
import type { Run } from '../../functions/core/pool/queue.ts';
import type { Problem } from '../../functions/core/problem.ts';
import { ask, chainOf, done, type Lane } from '../support/chain.ts';

/** What comes of a request before its upload: the code of its problem, or that it may be answered. */
function outcomeOf(chain: ModelChain, { patienceMs = 5000, arriving = 0 } = {}) {
  try {
    refuseHopeless(chain, { strict: false, deadlineMs: performance.now() + patienceMs, arriving });
    return 'answered';
  } catch (fault) {
    return (fault as Problem).code;
  }
}

describe('answer', () => {
  describe('by prediction', () => {
    const busyLane = (predictedMs: number): Lane => ({ end: done, predictedMs, isIdle: false });

    it('decodes once, as cheaply as can be, when it is known before that the lead model is left out', async () => {
      const { chain, precisions } = chainOf([busyLane(1500), done], { keys: ['one', 'other'] });

      expect((await ask(chain)).model).toBe('mobilenet');
      expect(precisions).toEqual(['reduced']);
    });

    it('counts the wait for a decoder before it decides', async () => {
      const { chain, precisions } = chainOf([busyLane(300), { end: done, predictedMs: 5 }], { decodeMs: 480 });

      expect((await ask(chain)).model).toBe('wide-resnet');
      const slower = chainOf([busyLane(600), { end: done, predictedMs: 5 }], { decodeMs: 480 });
      expect((await ask(slower.chain)).model).toBe('mobilenet');
      expect([...precisions, ...slower.precisions]).toEqual(['exact', 'reduced']);
    });

    it.each([
      ['below', 890, 0, 'answered'],
      ['above', 910, 0, 'BUSY'],
      ['above, with those that arrive,', 700, 3, 'BUSY'],
    ])(
      'refuses before the upload what would wait %s nine tenths of the budget: %d ms, %d',
      (_where, ms, arriving, outcome) => {
        const { chain } = chainOf([busyLane(2000), { ...busyLane(ms), meanMs: 0 }]);
        const predictMs = (before = 0) => before * 100;
        const busyDecoder = { ...chain, decoder: { ...chain.decoder, predictMs } };

        expect(outcomeOf(busyDecoder, { arriving })).toBe(outcome);
      },
    );

    it.each([
      ['below', 400, 'answered'],
      ['above', 470, 'BUSY'],
    ])(
      'refuses before the upload what would take %s nine tenths of a short patience: %d ms of 500',
      (_where, ms, outcome) => {
        const { chain } = chainOf([busyLane(900), busyLane(ms)]);

        expect(outcomeOf(chain, { patienceMs: 500 })).toBe(outcome);
      },
    );

    it.each([
      [4, 'answered'],
      [6, 'BUSY'],
    ])('counts the runs of %d uploads that arrive before it', (arriving, outcome) => {
      const { chain } = chainOf([busyLane(2000), { ...busyLane(400), meanMs: 100 }]);

      expect(outcomeOf(chain, { arriving })).toBe(outcome);
    });

    it.each([
      ['asked', 100, 'answered'],
      ['not asked, since a queue stands before the last one', 0, 'BUSY'],
    ])('counts on an idle lead model only where it is %s', (_whether, allowedMs, outcome) => {
      const { chain } = chainOf([done, busyLane(2000)], { allowedMs });

      expect(outcomeOf(chain)).toBe(outcome);
    });

    it('counts no uploads that arrive while the last model has hardly answered', () => {
      const { chain } = chainOf([busyLane(9000), { ...busyLane(400), meanMs: 1000 }], { isSettled: [true, false] });

      expect(outcomeOf(chain, { arriving: 9 })).toBe('answered');
    });

    it('asks the last model for what is decoded if its answer is in time on average, for clients of little patience', async () => {
      const failing: Lane = { end: { status: 'error', cause: '' }, predictedMs: 0 };
      const { chain } = chainOf([failing, { ...busyLane(6000), expectedMs: 400 }]);

      expect((await ask(chain, { deadlineMs: performance.now() + 1000 })).model).toBe('mobilenet');
      await expect(ask(chain, { deadlineMs: performance.now() + 1100 })).rejects.toMatchObject({ code: 'BUSY' });
    });

    it('refuses by what is expected on average, but a strict request by what is on the safe side of its patience', () => {
      const { chain } = chainOf([{ ...busyLane(900), expectedMs: 890 }, busyLane(2000)]);
      const refusing = (strict: boolean, patienceMs: number) => () =>
        refuseHopeless(chain, { strict, deadlineMs: performance.now() + patienceMs });

      expect(refusing(false, 5000)).not.toThrow();
      expect(refusing(true, 1000)).not.toThrow();
      expect(refusing(true, 800)).toThrow(expect.objectContaining({ code: 'PRIMARY_REQUIRED' }));
    });

    it.each([
      ['the decoder', { isDecoderSettled: false }, 4900, 'answered'],
      ['the last model', { isSettled: [true, false] }, 4900, 'answered'],
      ['the last model', { isSettled: [true, false] }, 5100, 'BUSY'],
      ['only the lead model', { isSettled: [false, true] }, 4900, 'BUSY'],
    ])('counts the whole patience while %s has hardly answered: %j, %d ms of 5,000', (_who, unsettled, ms, outcome) => {
      const { chain } = chainOf([busyLane(9000), busyLane(ms)], unsettled);

      expect(outcomeOf(chain)).toBe(outcome);
    });

    it('counts what decoding took against the budget of a model that others wait for', async () => {
      const { chain } = chainOf([busyLane(900), done], { takesMs: 150 });

      expect((await ask(chain)).reason).toBe('overload');
    });

    it('does not decode what no model can answer in time, and says when to come again', async () => {
      const { chain, decodes } = chainOf([busyLane(7000), busyLane(5200)], { decodeMs: 1000 });

      await expect(ask(chain)).rejects.toMatchObject({
        code: 'BUSY',
        headers: { 'retry-after': expect.stringMatching(/^[789]$/), 'x-reason': 'busy' },
      });
      expect(decodes()).toBe(0);
    });

    it('does not decode when the decoders alone take too long', async () => {
      const { chain, decodes } = chainOf([done, done], { decodeMs: 6000, isDecoderIdle: false });

      await expect(ask(chain)).rejects.toMatchObject({ code: 'BUSY' });
      expect(decodes()).toBe(0);
    });

    it('tries when nobody waits, so that a prediction that is too dark is found out', async () => {
      const { chain } = chainOf([{ end: done, predictedMs: 9000 }]);

      expect((await ask(chain)).model).toBe('wide-resnet');
    });

    it('answers BUSY when the last model has become too slow while the image was decoded', async () => {
      const { chain, runs } = chainOf([
        { end: { status: 'error', cause: '' }, predictedMs: 0 },
        { end: done, predictedMs: 6000, isIdle: false },
      ]);
      const decodedMeanwhile = { ...chain, decoder: { ...chain.decoder, isIdle: () => true, predictMs: () => -6000 } };

      await expect(ask(decodedMeanwhile)).rejects.toMatchObject({ code: 'BUSY' });
      expect(runs.map(({ model }) => model)).toEqual(['wide-resnet']);
    });

    it('lets a strict request wait for as long as its client does', async () => {
      const { chain } = chainOf([busyLane(950), busyLane(950)]);

      expect((await ask(chain, { strict: true })).model).toBe('wide-resnet');
      await expect(ask(chain)).rejects.toMatchObject({ code: 'BUSY' });
    });

    it('refuses a strict request that the primary model cannot answer in time, before it decodes', async () => {
      const { chain, decodes } = chainOf([busyLane(5600), done]);

      await expect(ask(chain, { strict: true })).rejects.toMatchObject({
        code: 'PRIMARY_REQUIRED',
        headers: { 'retry-after': expect.stringMatching(/^[678]$/) },
      });
      expect(decodes()).toBe(0);
    });
  });

  describe('with a breaker', () => {
    it('does not ask a lead model that is taken out', async () => {
      const { chain, runs } = chainOf([{ end: done, failures: 3 }, done]);

      expect(await ask(chain)).toMatchObject({ model: 'mobilenet', reason: 'error' });
      expect(runs.map(({ model }) => model)).toEqual(['mobilenet']);
    });

    it('asks a model that is taken out when no other one is there', async () => {
      const { chain } = chainOf([{ end: done, failures: 3 }]);

      expect((await ask(chain)).model).toBe('wide-resnet');
    });

    it('refuses strict requests before they are decoded and says when it tries again', async () => {
      const { chain, decodes } = chainOf([{ end: done, failures: 3 }, done]);

      await expect(ask(chain, { strict: true })).rejects.toMatchObject({
        code: 'PRIMARY_REQUIRED',
        headers: { 'retry-after': expect.stringMatching(/^[567]$/) },
      });
      expect(decodes()).toBe(0);
    });

    it.each<[string, Run, number, boolean]>([
      ['raises', { status: 'error', cause: '' }, 5000, false],
      ['overstays its budget', { status: 'timeout', cause: '', overstayed: true }, 5000, false],
      ['waits until its time is over', { status: 'timeout', cause: '', overstayed: false }, 5000, true],
      [
        'overstays the deadline of a client with a short deadline',
        { status: 'timeout', cause: '', overstayed: true },
        500,
        true,
      ],
      ['answers', done, 5000, true],
    ])('after three requests whose model %s it is closed: %j', async (_what, end, patienceMs, isClosed) => {
      const { chain } = chainOf([end, done]);
      // An error makes the fake pool unready; the real one stays ready when a model raises.
      const models = chain.models.map((model) => ({ ...model, pool: { ...model.pool, isReady: () => true } }));

      for (let i = 0; i < 3; i += 1) {
        await ask({ ...chain, models } as unknown as ModelChain, { deadlineMs: performance.now() + patienceMs });
      }

      expect(chain.models[0].breaker.isClosed()).toBe(isClosed);
    });
  });
});
