#!/bin/sh
# Copies the model folders of an image out of all there are.
# usage: select.sh FROM EMBEDDED TO [FOLDER DEFAULT]...
# FOLDER comes from FROM. The embedded model DEFAULT comes along, from EMBEDDED: the function serves it where FOLDER is missing or
# refused.
set -eu
from=$1 embedded=$2 to=$3
shift 3
mkdir -p "$to"
while [ $# -gt 0 ]; do
  if [ -d "$from/$1" ]; then
    cp -r "$from/$1" "$to"
  elif [ "$1" != "$2" ]; then
    echo "Expected a model folder for $1 but received none: the image serves $2 in its place" >&2
  fi
  [ -d "$to/$2" ] || cp -r "$embedded/$2" "$to"
  shift 2
done
