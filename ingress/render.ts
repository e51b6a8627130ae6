import { fileURLToPath } from 'node:url';

/** One tier as the ingress sees it. */
export interface TierSettings {
  /** Host and port or `unix:PATH`; with a resolver also `name:port resolve`, which needs nginx 1.27.3. */
  readonly address: string;
  /** The Host header by which a gateway tells the tiers apart. */
  readonly host: string;
}

/** What differs between one place where the ingress runs and another; everything else stands in nginx.conf. */
export interface IngressSettings {
  /** Folder for sockets, pid and bodies, absolute or as nginx sees it from where it works; exists, belongs to this process. */
  readonly runDir: string;
  /** As in nginx' `listen`: a port, or address and port. */
  readonly listen: string;
  /** The same, for a primary that asks for the fallback to be woken; only pods of the primary should reach it. */
  readonly wakeListen: string;
  readonly workers: number | 'auto';
  /** Connections a worker: four a request, one an idle client. */
  readonly workerConnections: number;
  /** A path, or `off`. */
  readonly accessLog: string;
  /** Name server for addresses with `resolve`; empty where there are none. */
  readonly resolver: string;
  /** Networks whose X-Forwarded-For names the client, such as a load balancer's; empty where clients connect directly. */
  readonly trustedProxies: readonly string[];
  readonly primary: TierSettings & {
    /** Requests in flight at the primary beyond which the next one goes to the fallback. */
    readonly maxConnections: number;
  };
  readonly fallback: TierSettings & {
    /** Requests in flight at the fallback beyond which the next one is refused. */
    readonly maxConnections: number;
  };
  /** Networks to whose addresses the limits do not apply. */
  readonly unlimited: readonly string[];
  /** Per client: an IPv4 address or an IPv6 network of 64 bits. */
  readonly limits: { readonly requestsPerSecond: number; readonly burst: number; readonly connections: number };
}

/** Path of the template, from the compiled file and from the source alike. */
export const templatePath = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './nginx.conf' : '../../ingress/nginx.conf', import.meta.url),
);

/** The settings of the stack on this machine, once the caller says where it runs and where the functions listen. */
export function localSettings(place: {
  readonly runDir: string;
  readonly port: number;
  readonly primaryPort: number;
  readonly fallbackPort: number;
}): IngressSettings {
  return {
    runDir: place.runDir,
    listen: `127.0.0.1:${place.port}`,
    wakeListen: `unix:${place.runDir}/wake.sock`, // asked by nobody: the fallback here never sleeps
    workers: 2, // the second accepts while the first copies a large upload
    workerConnections: 8192, // ten times what all limits of nginx.conf let in, so that probes and idle clients find room
    accessLog: '/dev/stdout',
    resolver: '',
    trustedProxies: [],
    primary: {
      address: `127.0.0.1:${place.primaryPort}`,
      host: 'classify-primary.local',
      maxConnections: 48, // what MobileNet answers in half a second on half of the cores: what exceeds it is refused and not late
    },
    fallback: {
      address: `127.0.0.1:${place.fallbackPort}`,
      host: 'classify-fallback.local',
      maxConnections: 24, // half as many: it shares the cores with the primary, which leads
    },
    unlimited: ['127.0.0.0/8', '::1'], // the first thing that a user does is to point a load tool at it
    limits: { requestsPerSecond: 50, burst: 100, connections: 50 }, // what one page of photos may send at once
  };
}

/** The configuration for nginx. @throws Error naming the settings that nginx could misread, or variables without a value or a place */
export function renderIngress(template: string, settings: IngressSettings): string {
  const { runDir, primary, fallback, limits } = settings;
  const faults: string[] = [];

  // nginx has no escape that is safe in every place a value goes to: only what needs none is let through.
  function word(name: string, value: string): string {
    if (!/^[A-Za-z0-9_./:@[\]+,-]+$/.test(value)) {
      faults.push(`Expected letters, digits and _./:@[]+,- for ${name} but received ${JSON.stringify(value)}`);
    }
    return value;
  }

  function address(name: string, value: string): string {
    word(name, value.replace(/ resolve$/, ''));
    return value;
  }

  function accessLog(value: string): string {
    return word('accessLog', value) === 'off' ? value : `${value} request`;
  }

  function count(name: string, value: number): string {
    if (!Number.isSafeInteger(value) || value < 1) {
      faults.push(`Expected a positive integer for ${name} but received ${value}`);
    }
    return String(value);
  }

  function exempt(networks: readonly string[]): string {
    return networks.map((network) => `${word('unlimited', network)} 0;`).join(' ');
  }

  function realIp(networks: readonly string[]): string {
    if (networks.length === 0) return '';
    const trusted = networks.map((network) => `set_real_ip_from ${word('trustedProxies', network)};`);
    return `${trusted.join(' ')} real_ip_header X-Forwarded-For; real_ip_recursive on;`;
  }

  const variables: Record<string, string> = {
    RUN_DIR: word('runDir', runDir),
    LISTEN: word('listen', settings.listen),
    WAKE_LISTEN: word('wakeListen', settings.wakeListen),
    WORKERS: word('workers', String(settings.workers)),
    WORKER_CONNECTIONS: count('workerConnections', settings.workerConnections),
    ACCESS_LOG: accessLog(settings.accessLog),
    RESOLVER: settings.resolver && `resolver ${word('resolver', settings.resolver)} valid=10s;`,
    REAL_IP: realIp(settings.trustedProxies),
    PRIMARY_ADDRESS: address('primary.address', primary.address),
    PRIMARY_HOST: word('primary.host', primary.host),
    PRIMARY_MAX_CONNS: count('primary.maxConnections', primary.maxConnections),
    FALLBACK_ADDRESS: address('fallback.address', fallback.address),
    FALLBACK_HOST: word('fallback.host', fallback.host),
    FALLBACK_MAX_CONNS: count('fallback.maxConnections', fallback.maxConnections),
    UNLIMITED: exempt(settings.unlimited),
    RATE: count('limits.requestsPerSecond', limits.requestsPerSecond),
    BURST: count('limits.burst', limits.burst),
    CONNECTIONS: count('limits.connections', limits.connections),
  };
  if (faults.length > 0) throw new Error(faults.join('\n'));
  return fillTemplate(template, variables);
}

/** The template with every `${NAME}` replaced. @throws Error naming each variable without a value and each value without a place */
export function fillTemplate(template: string, variables: Readonly<Record<string, string>>): string {
  const wanted = new Set([...template.matchAll(/\$\{([A-Z][A-Z_]*)\}/g)].map((match) => match[1] as string));
  const missing = [...wanted].filter((name) => variables[name] === undefined);
  const unknown = Object.keys(variables).filter((name) => !wanted.has(name));
  const faults = [
    ...missing.map((name) => `Expected a value for ${name} but received none`),
    ...unknown.map((name) => `Expected a place in the template for ${name} but received none`),
  ];
  if (faults.length > 0) throw new Error(faults.join('\n'));
  return template.replace(/\$\{([A-Z][A-Z_]*)\}/g, (text, name: string) => variables[name] ?? text);
}
