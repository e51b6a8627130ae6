#!/usr/bin/env bash
# Builds the images, prints their sizes, and hands them to a cluster.
#   IMAGE_TAG=v1 [IMAGE_PREFIX=local.test/understudy-] [IMPORT='kind load image-archive'] tests/cluster/images.sh [NAME]...
#   tests/cluster/images.sh --list      tells the names of all images
# NAME: all by default. The images are called IMAGE_PREFIX + NAME + : + IMAGE_TAG.
#   IMPORT                              a command that gets the path of each image's archive as its last argument
#   BUILDER                             buildah, podman or docker; the first that is found by default
#   BUILD_BASE, RUN_BASE, NGINX_BASE    base images other than the Dockerfiles' own
#   MODELS                              folder of model folders, for other models than the embedded ones
#   PRIMARY_MODEL, FALLBACK_MODEL, CLOUDS_MODEL, DIGITS_MODEL   which of them, NAME or NAME@VERSION
#   NPMRC                               file with npm's settings, such as a registry or a certificate; no layer keeps it
#   SOURCE                              the repository's address, a label
#   SOURCE_DATE_EPOCH                   the time that everything in the images is from, in seconds; by default the last commit's
set -euo pipefail
cd "$(dirname "$0")/../.."

# The one list: the pipelines ask for it, and tests hold compose.yaml and the overlays to it.
images=(primary fallback clouds digits events ingress)
if [[ ${1:-} == --list ]]; then echo "${images[@]}" && exit; fi

prefix=${IMAGE_PREFIX:-local.test/understudy-}
tag=${IMAGE_TAG:?Expected a tag for IMAGE_TAG but received none}
[[ $tag != latest ]] || { echo 'Expected a tag other than latest for IMAGE_TAG: Kubernetes would pull it anew' >&2; exit 1; }
builder=${BUILDER:-$(for name in buildah podman docker; do command -v "$name" && break; done)}
[[ -n $builder ]] || { echo 'Expected buildah, podman or docker in PATH but received none' >&2; exit 1; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json) revision=$(git describe --always --abbrev=40 --dirty --exclude "*")
# As labels, too: buildah takes a LABEL out of its cache although its argument has changed.
options=(--build-arg "VERSION=$version" --label "org.opencontainers.image.version=$version"
  --build-arg "REVISION=$revision" --label "org.opencontainers.image.revision=$revision"
  --build-arg "SOURCE=${SOURCE:-unknown}" --label "org.opencontainers.image.source=${SOURCE:-unknown}")
for argument in BUILD_BASE RUN_BASE NGINX_BASE PRIMARY_MODEL FALLBACK_MODEL CLOUDS_MODEL DIGITS_MODEL; do
  [[ -z ${!argument:-} ]] || options+=(--build-arg "$argument=${!argument}")
done
[[ -z ${MODELS:-} || -d $MODELS ]] || { echo "Expected a folder for MODELS but received $MODELS" >&2; exit 1; }
[[ -z ${MODELS:-} ]] || options+=(--build-context "models=$MODELS")
[[ -z ${NPMRC:-} ]] || options+=(--secret "id=npmrc,src=$NPMRC")
# BuildKit takes the time from the environment; the others want to be told, also to keep what each step made.
[[ ${builder##*/} == docker ]] || options+=(--timestamp "$SOURCE_DATE_EPOCH" --layers)

archives=$(mktemp -d)
trap 'rm -rf "$archives"' EXIT

# build NAME FILE [OPTION]...
build() {
  local name=$1 file=$2 image=$prefix$1:$tag archive=$archives/$1.tar
  shift 2
  "$builder" build --file "$file" --tag "$image" "${options[@]}" "$@" . >"$archives/log" 2>&1 || {
    cat "$archives/log" >&2
    return 1
  }
  case ${builder##*/} in
    buildah) buildah push --quiet "$image" "docker-archive:$archive:$image" ;;
    *) "$builder" save --output "$archive" "$image" ;;
  esac >/dev/null
  local bytes compressed
  bytes=$(stat --format %s "$archive")
  compressed=$(gzip --fast <"$archive" | wc -c)
  printf '%s: %d MB, %d MB compressed\n' "$image" $((bytes / 1000000)) $((compressed / 1000000))
  if [[ -n ${IMPORT:-} ]]; then $IMPORT "$archive"; fi
  rm "$archive"
}

[[ $# -gt 0 ]] || set -- "${images[@]}"
for name in "$@"; do
  case " ${images[*]} " in
    *" $name "*) ;;
    *) echo "Expected one of ${images[*]} for NAME but received $name" >&2 && exit 1 ;;
  esac
  case $name in
    ingress) build ingress ingress/Dockerfile ;;
    *)
      # Up to the image's own stage: buildah gives --label to the last stage of a file, whatever --target says.
      awk -v name="$name" '/^FROM / { if (found) exit; found = $NF == name } { print }' functions/Dockerfile >"$archives/Dockerfile"
      build "$name" "$archives/Dockerfile" --target "$name"
      ;;
  esac
done
