#!/usr/bin/env bash
# Deploys an overlay with the images of DIGESTS, and waits until it is ready: deploy.sh development
#   KUBE_CONTEXT_DEV, KUBE_CONTEXT_PROD   the context of kubectl for each overlay; the current one by default
#   KUBE_CONFIG                           the content of a kubeconfig, where there is no file
source "$(dirname "$0")/common.sh"
overlay=${1:-}
case $overlay in
  development) context=${KUBE_CONTEXT_DEV:-} ;;
  production) context=${KUBE_CONTEXT_PROD:-} ;;
  *) fail "Expected development or production for the overlay but received ${overlay:-none}" ;;
esac
kubectl=(kubectl)
[[ -z $context ]] || kubectl+=(--context "$context")
# Beside the overlays, since kustomize takes only relative paths.
folder=$(mktemp -d knative/overlays/.deploy-XXXXXX)
trap 'rm -r "$folder"' EXIT
if [[ -n ${KUBE_CONFIG:-} ]]; then
  export KUBECONFIG=$folder/kubeconfig # mktemp's folder is readable for its owner alone
  printf '%s\n' "$KUBE_CONFIG" >"$KUBECONFIG"
fi

# The overlay's own name of each image becomes the digest that was tested.
images_of() { sed -n 's/^ *\(- \)\?image: //p' | sort --unique; }
used=$(kubectl kustomize "knative/overlays/$overlay" | images_of)
{
  printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' "resources: [../$overlay]" 'images:'
  for image in $used; do
    image=${image%%[@:]*} name=${image##*understudy-}
    digest=$(digest_of "$name" DIGESTS)
    echo "  - {name: $image, newName: $prefix$name, digest: \"$digest\"}"
  done
} >"$folder/kustomization.yaml"
kubectl kustomize "$folder" >"$folder/rendered.yaml"
# kustomize passes over names that it does not find, without a word.
for image in $(images_of <"$folder/rendered.yaml"); do
  [[ $image =~ ^"$prefix"[a-z]+@sha256:[0-9a-f]{64}$ ]] || fail "Expected ${prefix}NAME@sha256:... for each image but received $image"
done

namespace=$(sed -n 's/^  namespace: //p' "$folder/rendered.yaml" | sort --unique)
"${kubectl[@]}" apply --filename "$folder/rendered.yaml"
"${kubectl[@]}" wait --namespace "$namespace" ksvc --all --for condition=Ready --timeout 300s
"${kubectl[@]}" rollout status --namespace "$namespace" deployment/ingress --timeout 180s
