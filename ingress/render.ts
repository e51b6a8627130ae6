import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FunctionName } from '../functions/launch.ts';

/** The variables that entrypoint.sh reads, by name; ingress/README.md lists them. */
export type IngressVariables = Readonly<Record<string, string>>;

const script = fileURLToPath(new URL('../../ingress/entrypoint.sh', import.meta.url));

/** The site's folder in nginx's working folder. */
export const siteName = 'site';

/** Path of the template. */
export const templatePath = fileURLToPath(new URL('../../ingress/nginx.conf', import.meta.url));

/** The variables of the stack on this machine, given its folder, its port and those of the functions that run. */
export function localVariables(place: {
  readonly runDir: string;
  readonly port: number;
  readonly functions: Readonly<Partial<Record<FunctionName, number>>>;
}): IngressVariables {
  const addressOf = (name: FunctionName) => {
    const port = place.functions[name];
    return port === undefined ? '' : `127.0.0.1:${port}`;
  };
  return {
    RUN_DIR: place.runDir,
    SITE: `${place.runDir}/${siteName}`,
    LISTEN: `127.0.0.1:${place.port}`,
    WAKE_LISTEN: `unix:${place.runDir}/wake.sock`, // unused: the fallback on one machine is never scaled to zero
    WORKERS: '2', // the second accepts while the first copies a large upload
    WORKER_CONNECTIONS: '8192', // ten times what the limits of nginx.conf let in: room for probes and idle clients
    ACCESS_LOG: '/dev/stdout',
    LOG_SERVER: '',
    RESOLVER: '',
    TRUSTED_PROXIES: '',
    PRIMARY_ADDRESS: addressOf('primary'),
    PRIMARY_HOST: 'classify-primary.local',
    PRIMARY_MAX_CONNS: '72', // what MobileNet answers in half a second on half of the cores, and what waits for the lead model when it takes over
    FALLBACK_ADDRESS: addressOf('fallback'),
    FALLBACK_HOST: 'classify-fallback.local',
    FALLBACK_MAX_CONNS: '24', // fewer: it shares the cores with the primary
    CLOUDS_ADDRESS: addressOf('clouds'),
    CLOUDS_HOST: 'clouds.local',
    CLOUDS_MAX_CONNS: '48', // the index test answers as many in half a second, and nginx lets in 16 of 4 MB or more
    DIGITS_ADDRESS: addressOf('digits'),
    DIGITS_HOST: 'digits.local',
    DIGITS_MAX_CONNS: '24', // as the fallback, which decodes the same photos and runs a larger model
    UNLIMITED: '127.0.0.0/8,::1', // users point a load tool at it first
    RATE: '50', // this and the next two: what one page of photos may send at once
    BURST: '100',
    CONNECTIONS: '50',
    TRACE_SHARE: '100', // of what a collector gets, where there is one
    CORS_ORIGINS: '',
    API_KEYS_FILE: '',
  };
}

/** The configuration for nginx. @throws Error with a line for each wrong variable, or for each variable without a value or a place */
export function renderIngress(variables: IngressVariables): string {
  const env = { PATH: process.env.PATH, ...variables };
  const { status, stdout, stderr, error } = spawnSync('/bin/sh', [script, 'render'], { env, encoding: 'utf8' });
  if (status !== 0) throw error ?? new Error(stderr.trimEnd());
  return stdout;
}
