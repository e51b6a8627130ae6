#!/bin/sh
# Removes from installed packages what the functions never load on Linux. Licenses and notices stay.
# usage: prune.sh NODE_MODULES ARCH     (ARCH as in Node's process.arch)
set -eu
modules=$1 arch=$2

# ONNX Runtime brings its library for every system.
kept=
for platform in "$modules"/onnxruntime-node/bin/napi-v*/*/*; do
  case $platform in
    */linux/"$arch") kept=$platform ;;
    *) rm -r "$platform" ;;
  esac
done
if [ ! -f "$kept/onnxruntime_binding.node" ]; then
  echo "Expected onnxruntime-node's library for linux/$arch but received none" >&2
  exit 1
fi

# valibot names the compiler as an optional companion, which npm installs.
rm -rf "$modules/typescript" "$modules/@typescript" "$modules/.bin/tsc"

# What bundlers take: Node.js loads dist-cjs. 25 MB become 6.
find "$modules/@aws-sdk" "$modules/@smithy" -type d -name dist-es -prune -exec rm -r {} +

# For people and compilers. What libvips is made of, and under which licenses, stands in @img's README files.
rm -rf "$modules"/[!@]*/test
find "$modules" -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.md' \) \
  ! -iname '*licen[cs]e*' ! -iname '*notice*' ! -path '*/@img/*' -exec rm {} +
