#!/usr/bin/env bash
# Makes all that the pipeline needs: a virtual environment in models/.venv with the command `models`, and the compiled service.
#
#     bash models/setup.sh [training] [clouds]
#
# training: PyTorch and what `models train`, `retrain` and `compare` need beside it. clouds: the same, and what
# `models train clouds` reads GeoTIFFs and runs its teachers with. What is there already stays.
# PYTHON names the interpreter, 3.11 or later.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

extras=$(IFS=,; echo "$*")

for extra in "$@"; do
  if [ "$extra" != training ] && [ "$extra" != clouds ]; then
    echo "Expected training, clouds or nothing for an argument but received $extra" >&2
    exit 2
  fi
done
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Expected Python 3.11 or later for PYTHON but received $("$python" --version 2>&1)" >&2
  exit 1
fi

environment=models/.venv
wanted=$(cat models/pyproject.toml && echo "$*")
if [ ! -f $environment/installed.txt ] || [ "$(cat $environment/installed.txt)" != "$wanted" ]; then
  echo "installs models/${extras:+[$extras]} into $environment"
  "$python" -m venv $environment
  # Python compiles what is used when it is used first.
  $environment/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable "models/${extras:+[$extras]}"
  printf '%s' "$wanted" >$environment/installed.txt # last: what was interrupted is done again
fi
[ -d node_modules ] || npm ci
npm run --silent build
$environment/bin/models --help
