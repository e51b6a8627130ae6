#!/usr/bin/env bash
# Logs in to the registry of IMAGE_PREFIX as REGISTRY_USER with REGISTRY_PASSWORD.
source "$(dirname "$0")/common.sh"
user=${REGISTRY_USER:?Expected a name for REGISTRY_USER but received none}
printf %s "${REGISTRY_PASSWORD:?Expected a password or token for REGISTRY_PASSWORD but received none}" |
  buildah login --username "$user" --password-stdin "${prefix%%/*}"
