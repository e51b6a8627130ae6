# shellcheck shell=bash disable=SC2034 # the scripts that source it use them
# What the scripts share. GitHub, GitLab and Azure call them in this order; a step hands over by the file digests.env:
#   lint, test | setup, login, build, push, verify | login, index, sign (on GitHub), tag | deploy OVERLAY
#   IMAGE_PREFIX     begins the name of every image: docker.io/me/understudy-
#   DIGESTS_AMD64, DIGESTS_ARM64   by push.sh: NAME@sha256:... of each image, separated by commas
#   DIGESTS          by index.sh, likewise: what is signed, tagged and deployed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

list=$(tests/cluster/images.sh --list)
read -ra images <<<"$list"
prefix=${IMAGE_PREFIX:?Expected the beginning of the names of the images for IMAGE_PREFIX but received none}
commit_tag=sha-$(git rev-parse --short=12 HEAD)
# Needs neither a container runtime nor a bridge, so that it also works in the container of a GitLab job.
export BUILDAH_ISOLATION=chroot
# shellcheck source=/dev/null
if [[ -f digests.env ]]; then source ./digests.env; fi

fail() {
  echo "$*" >&2
  exit 1
}

# digest_of IMAGE VARIABLE: out of a list of digests
digest_of() {
  local entry list=${!2:-}
  for entry in ${list//,/ }; do
    if [[ $entry =~ ^$1@(sha256:[0-9a-f]{64})$ ]]; then echo "${BASH_REMATCH[1]}" && return; fi
  done
  fail "Expected $1@sha256:... for $2 but received ${list:-none}"
}
