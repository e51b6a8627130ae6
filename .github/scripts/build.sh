#!/usr/bin/env bash
# Builds the images for this machine's platform. The same commit gives the same digests.
source "$(dirname "$0")/common.sh"
IMAGE_TAG=$commit_tag IMAGE_PREFIX=$prefix BUILDER=buildah tests/cluster/images.sh "${images[@]}"
