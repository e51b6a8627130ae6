#!/usr/bin/env bash
# Moves the tags that people pull, after everything else: edge for the main branch; 1.2.3, 1.2 and 1 for v1.2.3, the last two unless git
# has a higher version of them; v1.2.3-rc.1 has only its own. It needs what index.sh left on this machine, and all tags of git.
#   GIT_REF   refs/heads/main or refs/tags/v1.2.3
source "$(dirname "$0")/common.sh"
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)

# is_newest 1.2: whether no v1.2.* is higher than this version
is_newest() {
  local newest
  newest=$({ git tag --list "v$1.*" | grep -Ex 'v[0-9]+\.[0-9]+\.[0-9]+' || true; echo "v$version"; } | sort -V | tail -n 1)
  [[ $newest == "v$version" ]]
}

case ${GIT_REF:-} in
  refs/heads/main) tags=(edge) ;;
  refs/tags/"v$version")
    tags=("$version")
    for shorter in "${version%.*}" "${version%%.*}"; do
      if [[ $version != *-* ]] && is_newest "$shorter"; then tags+=("$shorter"); fi
    done
    ;;
  *) fail "Expected refs/heads/main or refs/tags/v$version, as package.json has it, for GIT_REF but received ${GIT_REF:-none}" ;;
esac

# Before anything moves, what is here is compared with what was tried and signed.
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
declare -A digests=()
for name in "${images[@]}"; do
  digests[$name]=$(digest_of "$name" DIGESTS)
  buildah manifest push --quiet --digestfile "$folder/digest" "localhost/understudy-$name:$commit_tag" "dir:$folder/$name"
  received=$(<"$folder/digest")
  [[ $received == "${digests[$name]}" ]] || fail "Expected ${digests[$name]} for $name but received $received"
done
for name in "${images[@]}"; do
  for tag in "${tags[@]}"; do
    buildah manifest push --all --quiet "localhost/understudy-$name:$commit_tag" "docker://$prefix$name:$tag"
    echo "$prefix$name:$tag is ${digests[$name]}"
  done
done
