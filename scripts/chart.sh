#!/usr/bin/env bash
# What is made from the chart, and from what the chart is made: its copy of crds/, the plain manifests in deploy/, and the goldens of
# tests/chart/*.values.yaml.
#
#   scripts/chart.sh           writes them
#   scripts/chart.sh --check   compares them; says what differs, and ends with the number of comparisons: `passed failed`
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tests/cluster/lib.sh"
# shellcheck source=tests/cluster/build.sh
source "$CLUSTER/build.sh"
cd "$ROOT"

check=''
if [[ ${1:-} == --check ]]; then check=1; fi
passed=0 failed=0

# The one that the test cluster has, built from its Go module where the cache lacks it.
build_locked helm >&2
helm=$(program_path helm)

# Writes standard input to the file $1, or compares the two.
golden() {
  local made
  made=$(cat; printf x)
  made=${made%x}
  if [[ -z $check ]]; then
    printf '%s' "$made" >"$1"
  elif diff -u "$1" <(printf '%s' "$made") >&2; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    say "$1 is not what the chart makes: scripts/chart.sh writes it" >&2
  fi
}

# Without the definitions of resources, which are compared with their source.
render() { "$helm" template bailiwick charts/bailiwick --namespace bailiwick-system --set crds.install=false "$@"; }

copy_definitions() {
  local file
  for file in crds/*.yaml; do golden "charts/bailiwick/files/$file" <"$file"; done
  for file in charts/bailiwick/files/crds/*.yaml; do
    if [[ -e crds/${file##*/} ]]; then continue; fi
    if [[ -z $check ]]; then rm "$file"; else failed=$((failed + 1)); say "$file has no source" >&2; fi
  done
}

plain_manifests() {
  cat <<'TEXT'
# Bailiwick without Helm, rendered from charts/bailiwick by scripts/chart.sh: do not edit.
#
#   kubectl apply --server-side -f crds/ && kubectl apply --server-side -f deploy/bailiwick.yaml
---
apiVersion: v1
kind: Namespace
metadata:
  name: bailiwick-system
TEXT
  render --no-hooks --kube-version 1.33.0 |
    sed -e '/^ *helm.sh\/chart: /d' -e '/^ *app.kubernetes.io\/managed-by: /d' -e 's/^# Source: bailiwick\//# charts\/bailiwick\//'
}

copy_definitions
plain_manifests | golden deploy/bailiwick.yaml
for values in tests/chart/*.values.yaml; do
  read -ra arguments < <(sed -n 's/^# arguments: //p' "$values")
  render --values "$values" "${arguments[@]}" | golden "${values%.values.yaml}.golden.yaml"
done
if [[ -n $check ]]; then
  say "$passed $failed"
  ((failed == 0))
fi
