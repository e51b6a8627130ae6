import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../../ingress/port.ts';
import { versitygw } from './cache.ts';
import { createServer, type Server } from './server.ts';

export interface S3 extends Server {
  /** What a process needs to reach the bucket. */
  readonly env: Readonly<Record<string, string>>;
  readonly bucket: string;
}

/** A server with one bucket, not started yet, whose objects are files of the folder. */
export async function createS3(folder: string): Promise<S3> {
  const [port, bucket] = [await freePort(), 'jobs'];
  const keys = { access: 'understudy', secret: 'understudy-secret' };
  mkdirSync(join(folder, 'buckets', bucket), { recursive: true });
  const address = `127.0.0.1:${port}`;
  const server = createServer({
    file: versitygw,
    args: ['--quiet', '--port', address, 'posix', join(folder, 'buckets')],
    env: { ROOT_ACCESS_KEY_ID: keys.access, ROOT_SECRET_ACCESS_KEY: keys.secret },
    port,
    logFile: join(folder, 's3.log'),
  });
  const env = {
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL_S3: `http://${address}`,
    AWS_ACCESS_KEY_ID: keys.access,
    AWS_SECRET_ACCESS_KEY: keys.secret,
  };
  return { ...server, env, bucket };
}
