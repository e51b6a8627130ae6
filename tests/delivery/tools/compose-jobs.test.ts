import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { kafkaLibraries, versitygw } from '../../events/tools/cache.ts';
import { at, parse, paths, readFiles } from '../files.ts';
import { describeWith, findBases, run } from './bench.ts';
import { openProject, type Project } from './podman.ts';

jest.setTimeout(40 * 60_000); // six images and those of Kafka and the S3 server, on two slow cores

const services = at(parse(readFiles(), paths.composeJobs), 'services');
const bases = await findBases();
const hasServers = [kafkaLibraries, versitygw].every(existsSync) && process.getuid?.() === 0; // as debootstrap wants it
const tools = ['podman', 'podman-compose', 'runc', 'registry', 'buildah', 'debootstrap'];

(bases === undefined || !hasServers ? describe.skip : describeWith(tools))(
  'compose.jobs.yaml, run by podman with stand-ins for the images of Kafka and the S3 server',
  () => {
    const digit = readFileSync('tests/images/digit.png');
    let project: Project;

    beforeAll(async () => {
      project = await openProject(bases, [paths.compose, paths.composeJobs]);
      const { status, output } = await run('tests/delivery/tools/jobs.sh', []);
      if (status !== 0) throw new Error(output);
      for (const [, name, made = ''] of output.matchAll(/^(KAFKA|S3)=(.*)$/gm)) await stand(String(name), made);
    });

    afterAll(() => project?.close());

    /** Gives an image of this machine to the project, by the name that the file has for the service. */
    async function stand(name: string, made: string): Promise<void> {
      const pushed = `${project.registry.prefix}${name.toLowerCase()}:test`;
      await must('buildah', run('buildah', ['push', '--quiet', made, `docker://${pushed}`], project.registry.env));
      await must('podman', project.podman('pull', '--quiet', pushed));
      await must('podman', project.podman('tag', pushed, String(at(services, name.toLowerCase()).image)));
    }

    async function must(program: string, ran: ReturnType<typeof run>): Promise<void> {
      const { status, output } = await ran;
      if (status !== 0) throw new Error(`${program}: ${output}`);
    }

    /** Asks until the answer has this status, two minutes at most: Kafka takes its time. @returns the last answer */
    async function ask(expected: number, path: string, request?: RequestInit): Promise<Response | undefined> {
      let answer: Response | undefined;
      for (const end = Date.now() + 120_000; Date.now() < end && answer?.status !== expected; await sleep(500))
        answer = await fetch(project.url + path, request).catch(() => undefined);
      return answer;
    }

    /** Has a job run. @returns its path and its result */
    async function order(key: string): Promise<readonly [path: string, result: string | undefined]> {
      const headers = { 'content-type': 'image/png', prefer: 'respond-async', 'idempotency-key': key };
      const accepted = await ask(202, '/predict', { method: 'POST', headers, body: digit });
      const path = String(accepted?.headers.get('location'));
      const answer = await ask(200, `${path}/result`);
      return [path, await answer?.text()];
    }

    const up = async () => {
      const { status, output } = await project.compose('up', '--detach');
      expect({ status, output: status === 0 ? '' : output }).toEqual({ status: 0, output: '' });
    };

    let path: string;
    let result: string | undefined;

    it('runs a job in the function of events after one command', async () => {
      await up();

      [path, result] = await order('before');

      expect(result).toContain('"digit":');
      const { output } = await project.podman('logs', `${project.name}_events_1`);
      expect(output).toContain(`"job":"${path.replace('/jobs/', '')}"`);
    });

    it('finds events healthy, and the consumer a program of its image', async () => {
      const { status } = await project.podman('healthcheck', 'run', `${project.name}_events_1`);
      const { output } = await project.podman('logs', `${project.name}_consume_1`);

      expect(status).toBe(0);
      expect(output).toContain('"message":"consuming"');
    });

    it('has the result, and runs the next job, after all containers were removed and made again', async () => {
      await project.compose('down');
      await up();

      const answer = await ask(200, `${path}/result`);
      expect(await answer?.text()).toBe(result);
      const [next, nextResult] = await order('after');
      expect(next).not.toBe(path);
      expect(nextResult).toBe(result);
    });
  },
);
