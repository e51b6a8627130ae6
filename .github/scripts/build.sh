#!/usr/bin/env bash
# Builds the images for this machine's platform. All in them is from 1970, so that the time of a build changes no layer.
source "$(dirname "$0")/common.sh"
SOURCE_DATE_EPOCH=0 IMAGE_TAG=$commit_tag IMAGE_PREFIX=$prefix BUILDER=buildah tests/cluster/images.sh
