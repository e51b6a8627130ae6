import { setTimeout as sleep } from 'node:timers/promises';
import { describe, jest } from '@jest/globals';
import { kubectl } from './support/command.ts';
import { itAnswersThrough, type Loss, processLosses, useDrivenCluster } from './support/driven.ts';
import { forOneAddress, functionVariable, scaling } from './support/overlay.ts';
import { podsOf, untilPods, untilZero } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

/** Before each loss the fallback has to be at zero, so its last pod stays no longer than necessary. */
const changes = [forOneAddress, scaling('classify-fallback', { 'scale-to-zero-pod-retention-period': '0s' })];

const noModels = functionVariable('classify-primary', 'MODELS_DIR', '/nowhere');

describe('a cluster whose fallback is at zero', () => {
  const driven = useDrivenCluster('failover', changes);
  const { cluster } = driven;

  const primary = async () => {
    const [pod] = await untilPods(cluster.namespace, 'classify-primary', 1);
    if (pod === undefined) throw new Error('Expected a pod of the primary but received none');
    return pod;
  };

  const losses: readonly Loss[] = [
    {
      name: "the primary's pod is deleted at once",
      // The activator holds requests until there is another pod: mostly the primary itself answers.
      isAnsweredBy: ['primary'],
      async happen() {
        const now = ['--grace-period=0', '--force'];
        await kubectl(['-n', cluster.namespace, 'delete', 'pods', '-l', podsOf('classify-primary'), ...now]);
      },
    },
    ...processLosses(primary),
    {
      name: 'the primary is scaled to zero by force for 15 s',
      isAnsweredBy: ['fallback'],
      async happen() {
        const deployment = `deployment/${(await primary()).metadata.labels['serving.knative.dev/revision']}-deployment`;
        for (const endMs = performance.now() + 15_000; performance.now() < endMs; ) {
          await kubectl(['-n', cluster.namespace, 'scale', deployment, '--replicas=0']);
        }
      },
    },
    {
      name: "the primary's Service is deleted and applied again 10 s later",
      isAnsweredBy: ['fallback'],
      async happen() {
        await kubectl(['-n', cluster.namespace, 'delete', 'ksvc', 'classify-primary']);
        await sleep(10_000);
        await cluster.apply(changes);
      },
    },
    {
      name: "the primary's Service is deployed anew without models and put right after 20 s",
      isAnsweredBy: ['fallback'],
      async happen() {
        await kubectl(['-n', cluster.namespace, 'delete', 'ksvc', 'classify-primary']);
        await cluster.deploy([...changes, noModels]);
        await sleep(20_000);
        await cluster.apply(changes);
      },
    },
  ];

  itAnswersThrough(losses, 'answers every request, from zero, when %s', driven, async () => {
    await primary();
    await untilZero(cluster.namespace, 'classify-fallback');
  });
});
