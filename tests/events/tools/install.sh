#!/usr/bin/env bash
# Installs the servers that the tests of events need into a cache folder, once: a Kafka broker by Maven (half a minute, 43 MB) and an S3
# server by Go (two to three minutes). Where Maven with Java 17, or Go, is missing, it is left out, and its tests are skipped.
set -uo pipefail
cd "$(dirname "$0")" || exit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/understudy
mkdir -p "$cache/bin" "$cache/log"

# server NAME MARK COMMAND...: by a command that leaves it in the cache; the mark has its version
server() {
  local name=$1 mark=$2
  shift 2
  [[ ! -e $mark ]] || return 0
  printf 'installs %s\n' "${mark##*/}"
  "$@" >"$cache/log/$name" 2>&1 && touch "$mark" || printf 'leaves %s out: see %s\n' "$name" "$cache/log/$name"
}

# Into a folder of its own first: a download that was cut short leaves no half a broker.
kafka() {
  rm -rf "$cache/kafka"
  nice -n 10 mvn --batch-mode --quiet dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$cache/kafka/libs.part" && java -version && mv "$cache/kafka/libs.part" "$cache/kafka/libs"
}

versitygw() {
  GOBIN=$cache/bin CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 10 \
    go install -trimpath -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@v1.8.0
}

server kafka "$cache/kafka/kafka@4.4.0" kafka
server versitygw "$cache/bin/versitygw@1.8.0" versitygw
