#!/usr/bin/env bash
# Installs Knative Serving and Kourier on the cluster of a kubeconfig context: terraform/knative/install.sh CONTEXT
# It fetches the files that release.sha256 names, refuses those that differ, and applies them with kustomization.yaml. Again, it updates.
#   RELEASES    where the files are
set -euo pipefail
[[ $# -eq 1 && -n $1 && $1 != -* ]] || { echo "Expected a context of the kubeconfig but received \"$*\"" >&2; exit 2; }
releases=${RELEASES:-https://storage.googleapis.com/knative-releases}
here=$(cd "$(dirname "$0")" && pwd)
kubectl=(kubectl --context "$1")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$here/kustomization.yaml" "$folder"
while read -r expected path; do
  file=$folder/${path##*/}
  curl --fail --silent --show-error --location --retry 3 --max-time 120 --output "$file" "$releases/$path"
  received=$(sha256sum <"$file")
  [[ ${received%% *} == "$expected" ]] || { echo "Expected $expected for $path but received ${received%% *}" >&2; exit 1; }
done <"$here/release.sha256"

"${kubectl[@]}" apply --filename "$folder/serving-crds.yaml"
"${kubectl[@]}" wait --for condition=Established --timeout 60s --filename "$folder/serving-crds.yaml"
"${kubectl[@]}" apply --kustomize "$folder"
for namespace in knative-serving kourier-system; do
  "${kubectl[@]}" wait deployment --all --namespace "$namespace" --for condition=Available --timeout 300s # images are pulled first
done
