#!/usr/bin/env bash
# Gets Prometheus and promtool out of Debian's package into a cache folder, once, without installing a service. Elsewhere it does
# nothing: PATH may have them, or their tests are skipped.
set -uo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy/observability
[[ ! -x $cache/usr/bin/promtool ]] || exit 0
command -v apt-get dpkg >/dev/null || exit 0
mkdir -p "$cache" && cd "$cache" || exit 0
printf 'gets Prometheus\n'
{ apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } >log 2>&1 &&
  dpkg -x prometheus_*.deb . >>log 2>&1 || printf 'leaves Prometheus out: see %s\n' "$cache/log"
rm -f prometheus_*.deb
