#!/usr/bin/env bash
# Makes what the comparison needs below build/: a virtual environment for each peer, and the two models (with torch, in one more).
#
#     bash load/peers/setup.sh [fastapi|litserve|bentoml|ray|models ...]
#
# Without arguments: all of them. What is there already stays. PYTHON names the interpreter, 3.11.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3.11}

environment() {
  local folder=build/venvs/$1 wanted=requirements-$1.txt
  if cmp --silent "$wanted" "$folder/installed.txt"; then return; fi
  echo "installs $wanted"
  "$python" -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
  "$folder/bin/python" -m pip check
  cp "$wanted" "$folder/installed.txt" # last: what was interrupted is done again
}

[ $# -gt 0 ] || set -- fastapi litserve bentoml ray models
for name in "$@"; do
  case $name in
    fastapi | litserve | bentoml | ray) environment "$name" ;;
    models)
      if [ -f build/models/mobilenet/model.json ] && [ models.py -ot build/models/mobilenet/model.json ]; then continue; fi
      environment models
      build/venvs/models/bin/python models.py --out build/models
      ;;
    *)
      echo "Expected fastapi, litserve, bentoml, ray or models for an argument but received $name" >&2
      exit 1
      ;;
  esac
done
