import { describe, expect, it, jest } from '@jest/globals';
import { useCluster } from './support/cluster.ts';
import { kubectl, run } from './support/command.ts';
import { runInside } from './support/inside.ts';
import { imageOf, readImages, scaling } from './support/overlay.ts';
import { listPods, untilPods } from './support/pods.ts';

/** A request to the API takes a moment; longer tests have their own limit. */
jest.setTimeout(60_000);

/** What a process can read about its own container. */
interface Findings {
  readonly user: number;
  readonly group: number;
  readonly capabilities: string;
  readonly mayGainPrivileges: boolean;
  readonly hasSeccomp: boolean;
  readonly hasToken: boolean;
  readonly writable: readonly string[];
}

const nobody = 65_532;

const awake = scaling('classify-fallback', { 'min-scale': '1' });

describe('a pod', () => {
  const cluster = useCluster('security', [awake]);

  it.each(['classify-primary', 'classify-fallback'])(
    'of %s runs without root, capabilities or a token, and writes only to /tmp',
    async (name) => {
      const [pod] = await untilPods(cluster.namespace, name, 1);
      const where = { pod: pod?.metadata.name ?? '', container: 'function' };

      const findings = await runInside(cluster.namespace, lookAround, undefined, where);

      expect(findings).toEqual({
        user: nobody,
        group: nobody,
        capabilities: '0000000000000000',
        mayGainPrivileges: false,
        hasSeccomp: true,
        hasToken: false,
        writable: ['/tmp'],
      });
    },
  );

  it("of the ingress runs without root, capabilities or a token, and writes only to nginx's folder", async () => {
    const [pod] = await listPods(cluster.namespace, 'app.kubernetes.io/name=ingress');
    const inside = ['exec', pod?.metadata.name ?? '', '-c', 'ingress', '--', 'sh', '-c', lookAroundByShell];

    const findings = await kubectl(['-n', cluster.namespace, ...inside]);

    expect(findings.trim().split('\n')).toEqual([
      `user ${nobody}`,
      `group ${nobody}`,
      'CapEff: 0000000000000000',
      'NoNewPrivs: 1',
      'Seccomp: 2',
      'writes to /run/understudy',
    ]);
  });

  it.each(['primary', 'fallback', 'clouds', 'digits', 'ingress'])(
    'of the image of %s is refused as root',
    async (part) => {
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'as-root' },
        spec: { containers: [{ name: part, image: imageOf(part, readImages()), securityContext: { runAsUser: 0 } }] },
      };

      const { code, stderr } = await run(
        'kubectl',
        ['-n', cluster.namespace, 'create', '--dry-run=server', '-f', '-'],
        {
          input: JSON.stringify(pod),
        },
      );

      expect([code, stderr]).toEqual([1, expect.stringContaining('violates PodSecurity "restricted')]);
    },
  );
});

/** Runs in a function's container. Files of the container runtime below /dev do not count. */
async function lookAround(): Promise<Findings> {
  const { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } = await import('node:fs');
  const status = readFileSync('/proc/self/status', 'latin1');
  const line = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? '';
  const below = (folder: string): readonly string[] => {
    try {
      const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      return entries.map(({ name }) => `${folder === '/' ? '' : folder}/${name}`);
    } catch {
      return []; // not readable
    }
  };
  const isWritable = (folder: string) => {
    try {
      writeFileSync(`${folder}/probe`, '');
      rmSync(`${folder}/probe`);
      return true;
    } catch {
      return false;
    }
  };
  const roots = below('/').filter((folder) => !['/dev', '/proc', '/sys'].includes(folder));
  const folders = ['/', ...roots, ...roots.flatMap(below)];
  return {
    user: process.getuid?.() ?? 0,
    group: process.getgid?.() ?? 0,
    capabilities: line('CapEff'),
    mayGainPrivileges: line('NoNewPrivs') !== '1',
    hasSeccomp: line('Seccomp') === '2',
    hasToken: existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token'),
    writable: folders.filter(isWritable),
  };
}

/** The same where there is a shell and no Node. */
const lookAroundByShell = `
echo "user $(id -u)"
echo "group $(id -g)"
sed -n '/^CapEff:\\|^NoNewPrivs:\\|^Seccomp:/{s/[[:blank:]][[:blank:]]*/ /;p;}' /proc/self/status
if [ -e /var/run/secrets/kubernetes.io/serviceaccount/token ]; then echo 'has a token'; fi
for folder in / /* /*/*; do
  case $folder in /dev* | /proc* | /sys*) continue ;; esac
  if [ -d "$folder" ] && (: >"$folder/probe") 2>/dev/null; then
    rm "$folder/probe"
    echo "writes to $folder"
  fi
done
`;
