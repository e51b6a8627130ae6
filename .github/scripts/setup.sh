#!/usr/bin/env bash
# Installs buildah from the packages of Debian or Ubuntu, where the machine lacks it.
set -euo pipefail
if command -v buildah; then exit; fi
sudo=()
((EUID == 0)) || sudo=(sudo)
"${sudo[@]}" apt-get update --quiet=2
"${sudo[@]}" apt-get install --quiet=2 --yes --no-install-recommends buildah
