#!/usr/bin/env bash
# Installs the client libraries into a cache folder, once for each list of versions: some 30 s with Python 3 and npm. What cannot be had is
# left out, and its tests are skipped.
set -uo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy/clients
here=${0%/*}
mkdir -p "$cache"

# part NAME LIST COMMAND...: unless NAME was installed from this LIST before
part() {
  local mark=$cache/$1.list list=$2
  ! cmp --silent "$list" "$mark" || return 0
  printf 'installs the clients of %s\n' "$1"
  "${@:3}" >"$cache/$1.log" 2>&1 && cp "$list" "$mark" || printf 'leaves the clients of %s out: see %s\n' "$1" "$cache/$1.log"
}

python_clients() {
  rm -rf "$cache/python" && python3 -m venv "$cache/python" &&
    "$cache/python/bin/pip" install --quiet --requirement "$here/requirements.txt"
}

javascript_clients() {
  mkdir -p "$cache/javascript" && cp "$here/javascript.json" "$cache/javascript/package.json" &&
    npm install --silent --ignore-scripts --no-package-lock --prefix "$cache/javascript"
}

part python "$here/requirements.txt" python_clients
part javascript "$here/javascript.json" javascript_clients
