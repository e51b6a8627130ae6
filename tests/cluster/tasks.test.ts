import { readFileSync } from 'node:fs';
import { describe, expect, it, jest } from '@jest/globals';
import { taskNames, tasks } from '../../load/k6/tasks.ts';
import { send } from '../support/client.ts';
import { useCluster } from './support/cluster.ts';
import { listPods, podsOf, untilZero } from './support/pods.ts';

/** A Service that was just deployed stays awake for its window, its retention and a drain. */
jest.setTimeout(300_000);

describe('a task without a second tier', () => {
  const cluster = useCluster('tasks');

  it.each(taskNames.filter((name) => name !== 'classify'))(
    'wakes from zero and answers through nginx: %s',
    async (name) => {
      const { path, files, contentType, judgeContent } = tasks[name];
      await untilZero(cluster.namespace, name);
      const body = readFileSync(`tests/images/${files[0]}`);

      const { status, headers, text } = await send(cluster.door.origin, {
        path,
        headers: { 'content-type': contentType },
        body,
      });

      expect([status, headers['x-tier'], headers['content-type']]).toEqual([200, 'primary', 'application/json']);
      expect(judgeContent(JSON.parse(text)).fault).toBeUndefined();
      expect(await listPods(cluster.namespace, podsOf(name))).toHaveLength(1);
    },
  );
});
