#!/usr/bin/env bash
# Writes the deep copies of operator/api/v1alpha1 and the CRDs from Go types:
# ours, and those of the other APIs from the modules that go.mod names.
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

# Other projects' CRDs serve to validate what is read: no descriptions.
"$generator" crd:maxDescLen=0 \
  paths=github.com/projectcontour/contour/apis/projectcontour/v1 \
  "output:crd:dir=$crds"
