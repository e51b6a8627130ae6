#!/usr/bin/env bash
# Pushes the images under a tag of this commit and platform, which no page names, and leaves their digests in digests.env.
source "$(dirname "$0")/common.sh"
case $(uname -m) in
  x86_64) platform=amd64 ;;
  aarch64) platform=arm64 ;;
  *) fail "Expected x86_64 or aarch64 for this machine but received $(uname -m)" ;;
esac
file=$(mktemp)
trap 'rm "$file"' EXIT
digests=()
for name in "${images[@]}"; do
  buildah push --quiet --digestfile "$file" "$prefix$name:$commit_tag" "docker://$prefix$name:$commit_tag-$platform"
  digests+=("$name@$(<"$file")")
done
(IFS=, && echo "DIGESTS_${platform^^}=${digests[*]}") | tee digests.env
