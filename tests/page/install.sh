#!/usr/bin/env bash
# Installs Chromium, once, where apt can do that without asking; else the tests that need it are skipped.
set -uo pipefail
if command -v chromium chromium-browser google-chrome >/dev/null; then exit; fi
if command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
  log=$(mktemp)
  echo 'installs chromium'
  # With a font: a page without one has no letters.
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1 && exit
  tail -3 "$log"
fi
echo 'Expected chromium in PATH but received none: the tests of the page are skipped (Debian: apt-get install chromium)'
