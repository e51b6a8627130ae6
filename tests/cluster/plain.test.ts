import { setTimeout as sleep } from 'node:timers/promises';
import { describe, jest } from '@jest/globals';
import { kubectl, until } from './support/command.ts';
import { itAnswersThrough, type Loss, processLosses, useDrivenCluster } from './support/driven.ts';
import { forOneAddress, functionVariable, unscaled } from './support/overlay.ts';
import { isReady, listPods } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

const changes = [forOneAddress, unscaled('classify-primary'), unscaled('classify-fallback')];

const noModels = functionVariable('classify-primary', 'MODELS_DIR', '/nowhere', 'Deployment');
const ofPrimary = 'app.kubernetes.io/name=classify-primary';

describe('a cluster without Knative', () => {
  const driven = useDrivenCluster('plain', changes, 'kubernetes');
  const { cluster } = driven;

  const inNamespace = (...args: readonly string[]) => kubectl(['-n', cluster.namespace, ...args]);
  const primary = () =>
    until('one pod of the primary, ready', async () => {
      const [pod, ...others] = await listPods(cluster.namespace, ofPrimary);
      return others.length === 0 && pod !== undefined && isReady(pod) ? pod : undefined;
    });

  const losses: readonly Loss[] = [
    {
      name: "the primary's pod is deleted at once",
      isAnsweredBy: ['fallback'], // no activator holds requests until there is another
      async happen() {
        await inNamespace('delete', 'pods', '-l', ofPrimary, '--grace-period=0', '--force');
      },
    },
    {
      name: "the primary's pod is evicted",
      isAnsweredBy: ['primary'],
      async happen() {
        await inNamespace('delete', 'pods', '-l', ofPrimary, '--wait=false'); // with its grace period
      },
    },
    ...processLosses(primary),
    {
      name: 'the primary is scaled to zero for 15 s',
      isAnsweredBy: ['fallback'],
      async happen() {
        await inNamespace('scale', 'deployment/classify-primary', '--replicas=0');
        await sleep(15_000);
        await inNamespace('scale', 'deployment/classify-primary', '--replicas=1');
      },
    },
    {
      name: "the primary's Deployment is deleted and applied again 10 s later",
      isAnsweredBy: ['fallback'],
      async happen() {
        await inNamespace('delete', 'deployment', 'classify-primary');
        await sleep(10_000);
        await cluster.apply(changes);
      },
    },
    {
      name: 'a primary without models is rolled out and taken back after 20 s',
      isAnsweredBy: ['primary'],
      async happen() {
        await cluster.deploy([...changes, noModels]);
        await sleep(20_000);
        await cluster.apply(changes);
      },
    },
  ];

  itAnswersThrough(losses, 'answers every request when %s', driven, primary);
});
