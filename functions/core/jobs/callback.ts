import { createHmac } from 'node:crypto';
import { type LookupAddress, lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Problem } from '../problem.ts';
import type { Job } from './job.ts';

/** Networks that are not part of the internet: RFC 6890, and what maps addresses of IPv4 into IPv6. One list would mix the families. */
const unreachable = {
  ipv4: listOf(
    'ipv4',
    '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 ' +
      '198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4',
  ),
  ipv6: listOf(
    'ipv6',
    '::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001:db8::/32 2002::/16 fc00::/7 fe80::/10 ff00::/8',
  ),
};

function listOf(family: 'ipv4' | 'ipv6', networks: string): BlockList {
  const list = new BlockList();
  for (const network of networks.split(' ')) {
    const [address = '', bits] = network.split('/');
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** Whether an address is of the internet: neither of this machine nor of a network behind it. */
export function isPublic(address: string): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  return isIP(address) !== 0 && !unreachable[family].check(address, family);
}

/** The address to call when a job has ended. @throws Problem PARAMETER_INVALID for one that is not of a host in `hosts` */
export function readCallbackUrl(text: string | string[] | undefined, hosts: readonly string[]): string | undefined {
  if (text === undefined) return undefined;
  const url = typeof text === 'string' && text.length <= 2048 && URL.canParse(text) ? new URL(text) : undefined;
  const isRight = url?.protocol === 'https:' && url.username === '' && url.password === '' && hosts.includes(url.host);
  if (url && isRight) return url.href;
  const expected = hosts.length > 0 ? `an https URL of ${hosts.join(' or ')}` : 'none';
  throw new Problem('PARAMETER_INVALID', `Expected ${expected} for X-Callback-Url but received another`);
}

export interface CallOptions {
  readonly secret: string;
  /** Addresses that may be called. @default isPublic */
  readonly isAllowed?: (address: string) => boolean;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** From the connection to the end of the answer, of which only the status counts. */
const patienceMs = 10_000;

/**
 * Tells the job's callback URL that it has ended: a CloudEvent without the result, signed with the secret over time and body. A 2xx is
 * success; redirects are none, and are not followed. The address is judged where the connection is made, whatever the name said before.
 * @throws Error
 */
export async function call(job: Job, { secret, isAllowed = isPublic, now = Date.now }: CallOptions): Promise<void> {
  const url = new URL(String(job.callbackUrl));
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !isAllowed(host)) throw notAllowed(host);
  const body = JSON.stringify(eventOf(job));
  const time = Math.floor(now() / 1000);
  const signature = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex');
  const headers = {
    'content-type': 'application/cloudevents+json',
    'content-length': Buffer.byteLength(body),
    'x-understudy-signature': `t=${time},v1=${signature}`,
    'x-request-id': job.requestId,
  };
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  const signal = AbortSignal.timeout(patienceMs);
  const status = await new Promise<number>((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers, agent: false, signal, lookup: lookupAllowed(isAllowed) });
    sent.on('error', reject).on('response', (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    sent.end(body);
  });
  if (status < 200 || status > 299) throw new Error(`Expected a 2xx of the callback but received ${status}`);
}

function eventOf({ id, task, state, createdAt, endedAt = createdAt, problem }: Job): object {
  return {
    specversion: '1.0',
    id,
    source: '/jobs',
    type: 'io.understudy.job.ended.v1',
    time: new Date(endedAt).toISOString(),
    datacontenttype: 'application/json',
    data: { id, task, state, location: `/jobs/${id}`, code: problem?.code },
  };
}

/** Resolves a name to those of its addresses that may be called. */
function lookupAllowed(isAllowed: (address: string) => boolean): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (fault, addresses: LookupAddress[] = []) => {
      const allowed = addresses.filter(({ address }) => isAllowed(address));
      const [first] = allowed;
      if (fault || !first) callback(fault ?? notAllowed(host), '', 0);
      else if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

function notAllowed(host: string): Error {
  return new Error(`Expected a public address for ${host} but received others`);
}
