#!/usr/bin/env bash
# Base images for a machine that reaches no registry, of Debian's packages, the images' Node.js as npm has it (else this machine's) and
# this machine's certificates: once, as root, in buildah's store. Prints what images.sh reads: BUILD_BASE, RUN_BASE, NGINX_BASE, NPMRC. Debian 12's nginx lacks what
# ingress/nginx.conf needs, so the ingress has that of unstable. They are for tests: no published image has them.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy/delivery
mkdir -p "$cache"
# install.sh leaves it there. Before 22 there is no compile cache, which is a part of the images.
program=$cache/node/node_modules/node-linux-$(node -p process.arch)/bin/node
[[ -x $program ]] || program=$(readlink -f "$(command -v node)")
node=localhost/understudy-test-node:$("$program" --version) nginx=localhost/understudy-test-nginx:sid

# image NAME SUITE PACKAGES [COMMAND]: the command may change the root file system, which it gets as its argument
image() {
  ! buildah inspect --type image "$1" >/dev/null 2>&1 || return 0
  local root container
  root=$(mktemp -d)
  chmod 755 "$root"
  debootstrap --variant=minbase --include="$3" "$2" "$root" >"$cache/debootstrap-$2.log" 2>&1 || { tail -3 "$cache/debootstrap-$2.log" >&2; exit 1; }
  rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  ${4:-true} "$root"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah commit --quiet --rm "$container" "$1" >/dev/null
  rm -rf "$root"
}

add_node() {
  local npm
  npm=$(readlink -f "$(command -v npm)")
  install -m 755 "$program" "$1/usr/local/bin/node"
  mkdir -p "$1/usr/local/lib/node_modules"
  cp -r "${npm%/bin/*}" "$1/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"
  cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

image "$node" "$(. /etc/os-release && echo "$VERSION_CODENAME")" ca-certificates,libstdc++6 add_node >&2
image "$nginx" sid nginx,wget >&2
echo cafile=/etc/ssl/certs/ca-certificates.crt >"$cache/npmrc"
printf '%s\n' "BUILD_BASE=$node" "RUN_BASE=$node" "NGINX_BASE=$nginx" "NPMRC=$cache/npmrc"
