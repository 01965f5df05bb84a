#!/usr/bin/env bash
# Writes the deep copies of operator/api/v1alpha1 and the CRDs: ours, with its
# reference docs/envoyfleet.md, and Contour's from their Go types, the Gateway
# API's from what its module ships, all of the modules that
# go.mod names.
# Usage: [CONTROLLER_GEN=path] operator/api/generate.sh [folder for the CRDs]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export GOTOOLCHAIN=auto

generator=${CONTROLLER_GEN:-controller-gen}
crds=${1:-operator/api/crds}
mkdir -p "$crds"

if [[ $# -eq 0 ]]; then
  "$generator" object paths=./operator/api/v1alpha1
fi

"$generator" crd paths=./operator/api/v1alpha1 "output:crd:dir=$crds"
if [[ $# -eq 0 ]]; then
  # Helm takes no file from outside of a chart.
  cp "$crds/operator.signetproxy.io_envoyfleets.yaml" charts/signet/files/
  reference=$(go run ./operator/api/reference/cmd "$crds/operator.signetproxy.io_envoyfleets.yaml")
  printf '%s\n' "$reference" > docs/envoyfleet.md
fi

# Other projects' CRDs serve to validate what is read: no descriptions.
"$generator" crd:maxDescLen=0 \
  paths=github.com/projectcontour/contour/apis/projectcontour/v1 \
  "output:crd:dir=$crds"

# What the Gateway API ships, without descriptions: blocks that are indented
# deeper than their key. No property has the name "description". Routes of which
# fields of the experimental channel are served have its schema, but for a field
# that is not served, and for a pattern of header values that the standard
# channel has not: what is valid there is valid here.
gateway=$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd
for kind in backendtlspolicies gatewayclasses gateways grpcroutes httproutes listenersets \
  referencegrants tcproutes tlsroutes udproutes; do
  file=gateway.networking.k8s.io_$kind.yaml
  channel=standard without=descriptions
  if [[ $kind == grpcroutes || $kind == httproutes ]]; then
    channel=experimental without='descriptions, useDefaultGateways and the pattern of header values'
  fi
  {
    echo "# sigs.k8s.io/gateway-api (Apache-2.0), config/crd/$channel, without $without."
    awk '{ match($0, /^ */) }
      skip && ($0 ~ /^ *$/ || RLENGTH > depth) { next }
      { skip = 0 }
      /^ *(description|useDefaultGateways):/ { skip = 1; depth = RLENGTH; next }
      /^ *pattern: \^\[!-~\]/ { next }
      { print }' "$gateway/$channel/$file"
  } > "$crds/$file"
done
