#!/usr/bin/env bash
# Signs each image's digest by cosign, and the list of npm packages (CycloneDX) with that of each function. On GitHub only.
#   COSIGN_KEY, COSIGN_PASSWORD   a private key; without one the workflow's own identity signs
#   COSIGN_OPTIONS                more options, such as --tlog-upload=false, which keeps a private image out of the public log
source "$(dirname "$0")/common.sh"
npm sbom --package-lock-only --omit dev --sbom-format cyclonedx >sbom.cdx.json
read -ra options <<<"${COSIGN_OPTIONS:-}"
if [[ -n ${COSIGN_KEY:-} ]]; then
  options+=(--key env://COSIGN_KEY)
elif [[ -z ${ACTIONS_ID_TOKEN_REQUEST_URL:-} ]]; then
  echo 'Nothing is signed: there is neither COSIGN_KEY nor an identity of the workflow'
  exit
fi
# Docker Hub has another name for cosign than for buildah, so it needs its own login.
printf %s "${REGISTRY_PASSWORD:-}" | cosign login --username "${REGISTRY_USER:-}" --password-stdin "${prefix%%/*}"
for name in "${images[@]}"; do
  digest=$(digest_of "$name" DIGESTS)
  cosign sign --yes "${options[@]}" "$prefix$name@$digest"
  [[ $name == ingress ]] || cosign attest --yes "${options[@]}" --type cyclonedx --predicate sbom.cdx.json "$prefix$name@$digest"
done
