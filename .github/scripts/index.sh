#!/usr/bin/env bash
# Puts each image's platforms under one digest, pushed under the commit's tag: sha-0123456789ab.
#   PLATFORMS   amd64, arm64 or both, in any notation; amd64 by default
source "$(dirname "$0")/common.sh"
read -ra platforms <<<"$(tr -cs a-z0-9 ' ' <<<"${PLATFORMS:-amd64}")"
file=$(mktemp)
trap 'rm "$file"' EXIT
digests=()
for name in "${images[@]}"; do
  list=localhost/understudy-$name:$commit_tag
  if buildah manifest inspect "$list" >/dev/null 2>&1; then buildah manifest rm "$list"; fi
  buildah manifest create "$list"
  for platform in "${platforms[@]}"; do
    digest=$(digest_of "$name" "DIGESTS_${platform^^}")
    buildah manifest add "$list" "docker://$prefix$name@$digest"
  done
  buildah manifest push --all --quiet --digestfile "$file" "$list" "docker://$prefix$name:$commit_tag"
  digests+=("$name@$(<"$file")")
done
(IFS=, && echo "DIGESTS=${digests[*]}") | tee digests.env
# As sha256sum writes it, for GitHub's attestation.
for entry in "${digests[@]}"; do echo "${entry#*@sha256:}  $prefix${entry%@*}"; done >digests.sha256
