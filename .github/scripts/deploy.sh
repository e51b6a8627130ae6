#!/usr/bin/env bash
# Deploys an overlay with the images of DIGESTS, and waits until it is ready: deploy.sh development|production|gke|kubernetes
#   KUBE_CONTEXT_DEV, KUBE_CONTEXT_PROD   the context of kubectl, the former for development; the current one by default
#   KUBE_CONFIG                           the content of a kubeconfig, where there is no file
# It also runs in images with BusyBox, whose sort and the like have no long options.
source "$(dirname "$0")/common.sh"
overlay=${1:-}
case $overlay in
  development) context=${KUBE_CONTEXT_DEV:-} ;;
  production | gke | kubernetes) context=${KUBE_CONTEXT_PROD:-} ;;
  *) fail "Expected development, production, gke or kubernetes for the overlay but received ${overlay:-none}" ;;
esac
# Beside the overlays, since kustomize takes only relative paths; the kubeconfig outside the checkout, since others read that.
folder=$(mktemp -d knative/overlays/.deploy-XXXXXX) private=$(mktemp -d)
trap 'rm -r "$folder" "$private"' EXIT
if [[ -n ${KUBE_CONFIG:-} ]]; then
  export KUBECONFIG=$private/kubeconfig # mktemp's folder is readable for its owner alone
  printf '%s\n' "$KUBE_CONFIG" >"$KUBECONFIG"
fi
kubectl=(kubectl)
if [[ -n $context ]]; then
  kubectl+=(--context "$context")
elif ! kubectl config current-context >/dev/null 2>&1; then
  fail "Expected a context of kubectl for $overlay, from KUBE_CONFIG or a kubeconfig, but received none"
fi
"${kubectl[@]}" version --request-timeout 20s >"$private/said" 2>&1 ||
  fail "Expected a cluster that answers for ${context:-the current context} but received: $(tail -n 1 "$private/said")"

# The overlay's own name of each image becomes the digest that was tested.
images_of() { sed -n 's/^ *\(- \)\?image: //p' | sort -u; }
used=$(kubectl kustomize "knative/overlays/$overlay" | images_of)
{
  printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1beta1' 'kind: Kustomization' "resources: [../$overlay]" 'images:'
  for image in $used; do
    image=${image%%[@:]*} name=${image##*understudy-}
    digest=$(digest_of "$name" DIGESTS)
    echo "  - {name: $image, newName: $prefix$name, digest: \"$digest\"}"
  done
} >"$folder/kustomization.yaml"
rendered=$private/rendered.yaml
kubectl kustomize "$folder" >"$rendered"
# kustomize passes over names that it does not find, without a word.
for image in $(images_of <"$rendered"); do
  [[ $image =~ ^"$prefix"[a-z]+@sha256:[0-9a-f]{64}$ ]] || fail "Expected ${prefix}NAME@sha256:... for each image but received $image"
done

namespace=$(sed -n 's/^  namespace: //p' "$rendered" | sort -u)
"${kubectl[@]}" apply --filename "$rendered"
deployments=deployment/ingress
if grep -q '^apiVersion: serving\.knative\.dev/' "$rendered"; then
  "${kubectl[@]}" wait --namespace "$namespace" ksvc --all --for condition=Ready --timeout 300s
  # Only an overlay with base/events has one; without its topics and brokers jobs are accepted, and nothing runs them.
  if grep -q '^kind: KafkaSource$' "$rendered"; then
    "${kubectl[@]}" wait --namespace "$namespace" kafkasource --all --for condition=Ready --timeout 300s
  fi
else
  deployments=$("${kubectl[@]}" get --namespace "$namespace" deployment --output name)
fi
# Not "wait --for condition=Available", which the pods of before fulfill.
for deployment in $deployments; do
  "${kubectl[@]}" rollout status --namespace "$namespace" "$deployment" --timeout 300s
done
