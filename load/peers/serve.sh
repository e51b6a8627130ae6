#!/usr/bin/env bash
# Serves the shipped Wide ResNet with a reference server on two cores, in the foreground, until it is ended.
#
#     bash load/peers/serve.sh fastapi|litserve|bentoml|ray PORT [PHOTO...]
#
# PEER_IN_FLIGHT bounds the requests in flight. 0 starts the server as its makers ship it. Where it is not set, capacity.py
# measures the bound with the photos, or with the test images.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "Expected the name of a server and a port but received: $*" >&2
  exit 2
fi
name=$1 port=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- "$here"/../../tests/images/test_image_{1,2,3}.jpg
mapfile -t photos < <(realpath -- "$@")
cd "$here"
bin=build/venvs/$name/bin
if [ ! -x "$bin/python" ]; then
  echo "Expected $bin in load/peers but received nothing: run \"bash load/peers/setup.sh $name\" first" >&2
  exit 1
fi
PEER_MODEL=$(realpath ../../models/wide-resnet)
export PEER_MODEL PEER_PORT=$port PEER_LANES=2 PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1
# No usage reports while a server is measured.
export BENTOML_DO_NOT_TRACK=True BENTOML_HOME=$PWD/build/bentoml RAY_USAGE_STATS_ENABLED=0
export PEER_IN_FLIGHT=${PEER_IN_FLIGHT:-$("$bin/python" capacity.py "${photos[@]}")}
case $name in
  fastapi)
    workers=()
    [ "$PEER_IN_FLIGHT" -eq 0 ] || workers=(--workers "$PEER_LANES")
    exec "$bin/uvicorn" serve_fastapi:app --host 127.0.0.1 --port "$port" "${workers[@]}"
    ;;
  bentoml) exec "$bin/bentoml" serve serve_bentoml:WideResnet --host 127.0.0.1 --port "$port" --working-dir . ;;
  *) exec "$bin/python" "serve_$name.py" ;;
esac
