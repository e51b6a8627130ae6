#!/usr/bin/env bash
# Pulls what push.sh pushed, by digest, starts it as one system on this machine, and asks each function for an answer through the
# ingress; then stops the primary and asks again. There is no Kafka: `events` gets the event of a job that it does not know, and
# `consume`, the other program of its image, waits for brokers.
#   VERIFY_PORT   the first of six free ports on loopback, 18080 by default
source "$(dirname "$0")/common.sh"
port=${VERIFY_PORT:-18080}
pushed=(DIGESTS_AMD64 DIGESTS_ARM64)
[[ -n ${DIGESTS_AMD64:-} ]] || pushed=(DIGESTS_ARM64)
logs=$(mktemp -d)
containers=()
declare -A running=()

# With all that it has started: buildah ends without nginx's workers, which would keep the port.
stop() {
  kill -- "-${running[$1]}" 2>/dev/null && wait "${running[$1]}" 2>/dev/null || true
  unset "running[$1]"
}

finish() {
  for name in "${!running[@]}"; do stop "$name"; done
  ((${#containers[@]} == 0)) || buildah rm "${containers[@]}" >/dev/null
  rm -r "$logs"
}
trap finish EXIT

refuse() {
  tail --lines 20 "$logs"/* >&2
  fail "$*"
}

# Whether all that was started still runs: else another program on its port may have answered.
check_running() {
  local name
  for name in "${!running[@]}"; do
    kill -0 "${running[$name]}" 2>/dev/null || refuse "Expected $name to run until it is stopped, but it ended"
  done
}

# start IMAGE [VARIABLE=VALUE]...: its own command as its own user; `consume` is a program of the image `events`
start() {
  local name=$1 image=${1/#consume/events} digest container command
  shift
  digest=$(digest_of "$image" "${pushed[0]}")
  container=$(buildah from --quiet --pull-always "docker://$prefix$image@$digest")
  containers+=("$container")
  read -ra command <<<"$(buildah inspect --format '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}' "$container")"
  [[ $name == "$image" ]] || command=(node "dist/functions/$name.js")
  setsid buildah run "${@/#/--env=}" "$container" -- "${command[@]}" >"$logs/$name" 2>&1 &
  running[$name]=$!
  echo "$name runs from $prefix$image@$digest"
}

# ask WHAT PORT/PATH OPTION...: until the answer has WHAT in it, 60 s at most
ask() {
  local expected=$1 url=http://127.0.0.1:$2 answer end=$((SECONDS + 60))
  shift 2
  until answer=$(curl --silent --show-error --max-time 10 "$@" "$url" 2>&1) && [[ $answer == *"$expected"* ]]; do
    ((SECONDS < end)) || refuse "Expected $expected from $url but received $answer"
    sleep 0.5
  done
  echo "$url answers $expected"
}

start primary PORT=$((port + 1))
start fallback PORT=$((port + 2))
start clouds PORT=$((port + 3))
start digits PORT=$((port + 4))
start events PORT=$((port + 5)) JOBS_STORE=/jobs WORKERS=1
start consume KAFKA_BROKERS=127.0.0.1:9 EVENTS_URL=http://127.0.0.1:$((port + 5))
start ingress RUN_DIR=/tmp/run LISTEN="127.0.0.1:$port" WAKE_LISTEN=unix:/tmp/run/wake.sock WORKERS=1 WORKER_CONNECTIONS=1024 ACCESS_LOG=off \
  PRIMARY_ADDRESS=127.0.0.1:$((port + 1)) PRIMARY_HOST=primary PRIMARY_MAX_CONNS=16 \
  FALLBACK_ADDRESS=127.0.0.1:$((port + 2)) FALLBACK_HOST=fallback FALLBACK_MAX_CONNS=16 \
  CLOUDS_ADDRESS=127.0.0.1:$((port + 3)) CLOUDS_HOST=clouds CLOUDS_MAX_CONNS=16 \
  DIGITS_ADDRESS=127.0.0.1:$((port + 4)) DIGITS_HOST=digits DIGITS_MAX_CONNS=16 RATE=50 BURST=100 CONNECTIONS=50 TRACE_SHARE=0

photo=(--form image=@tests/images/test_image_1.jpg)
event=(--header 'Content-Type: application/cloudevents+json' --data @functions/image/event.json --write-out 'status %{http_code}')
ask '"label":"goldfish"' "$port/classify" "${photo[@]}" --header 'Prefer: handling=strict'
ask '"digit":' "$port/predict" --form image=@tests/images/digit.png
ask '"cloudFraction":' "$port/infer?format=rle" --form image=@tests/images/patch.tif
ask 'status 204' "$((port + 5))/" "${event[@]}"
check_running
stop primary
ask '"tier":"fallback"' "$port/classify" "${photo[@]}"
check_running
