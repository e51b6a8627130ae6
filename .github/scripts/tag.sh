#!/usr/bin/env bash
# Moves the tags that people pull, after everything else: edge for the main branch; 1.2.3, 1.2 and 1 for v1.2.3; v1.2.3-rc.1 has only its own.
# It needs what index.sh left on this machine.
#   GIT_REF   refs/heads/main or refs/tags/v1.2.3
source "$(dirname "$0")/common.sh"
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
case ${GIT_REF:-} in
  refs/heads/main) tags=(edge) ;;
  refs/tags/"v$version") tags=("$version") && if [[ $version != *-* ]]; then tags+=("${version%.*}" "${version%%.*}"); fi ;;
  *) fail "Expected refs/heads/main or refs/tags/v$version, as package.json has it, for GIT_REF but received ${GIT_REF:-none}" ;;
esac
file=$(mktemp)
trap 'rm "$file"' EXIT
for name in "${images[@]}"; do
  digest=$(digest_of "$name" DIGESTS)
  for tag in "${tags[@]}"; do
    buildah manifest push --all --quiet --digestfile "$file" "localhost/understudy-$name:$commit_tag" "docker://$prefix$name:$tag"
    [[ $(<"$file") == "$digest" ]] || fail "Expected $digest for $prefix$name:$tag but received $(<"$file")"
    echo "$prefix$name:$tag is $digest"
  done
done
