#!/usr/bin/env bash
# Installs schemathesis into a cache folder, once for each version of requirements.txt: half a minute, 93 MB. Where there is no Python
# with pip, or no package index, the tests that need it are skipped.
set -uo pipefail
here=${0%/*}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy/api
mark=$cache/$(cksum <"$here/requirements.txt" | tr ' ' -)
[[ ! -e $mark ]] || exit 0
mkdir -p "$cache"
printf 'installs schemathesis\n'
{
  python3 -m venv "$cache/python" &&
    "$cache/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" &&
    touch "$mark"
} >"$cache/log" 2>&1 || { rm -rf "$cache/python" && printf 'leaves schemathesis out: see %s\n' "$cache/log"; }
