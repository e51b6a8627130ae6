import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * No cluster: a program of that name in `folder`, whose kustomize is real, and which keeps what would go to the cluster.
 * @returns what it has kept: its arguments, KUBECONFIG's content, and the images of what is applied; a line each
 */
export function writeKubectl(folder: string): () => string {
  const log = join(folder, 'kubectl.log');
  const real = execFileSync('sh', ['-c', 'command -v kubectl'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh
case $1 in kustomize) exec ${real} "$@" ;; esac
{
  printf '%s ' "$@" && echo
  [ ! -f "$KUBECONFIG" ] || sed 's/^/kubeconfig /' "$KUBECONFIG"
  for last; do :; done
  case " $* " in *' apply '*) grep ' image: ' "$last" ;; esac
} >>${log}
`;
  writeFileSync(join(folder, 'kubectl'), script);
  chmodSync(join(folder, 'kubectl'), 0o755);
  return () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
}
