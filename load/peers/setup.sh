#!/usr/bin/env bash
# Makes a virtual environment for each reference server below build/.
#
#     bash load/peers/setup.sh [fastapi|litserve|bentoml|ray ...]
#
# Without arguments: all of them. What is up to date stays. PYTHON names the interpreter, 3.11.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3.11}

[ $# -gt 0 ] || set -- fastapi litserve bentoml ray
for name in "$@"; do
  folder=build/venvs/$name wanted=requirements-$name.txt
  if [ ! -f "$wanted" ]; then
    echo "Expected fastapi, litserve, bentoml or ray but received $name" >&2
    exit 2
  fi
  if cmp --silent "$wanted" "$folder/installed.txt"; then continue; fi
  echo "installs $wanted"
  "$python" -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
  "$folder/bin/python" -m pip check
  cp "$wanted" "$folder/installed.txt" # last, so that an interrupted installation is made again
done
