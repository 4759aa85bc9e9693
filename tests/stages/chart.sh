#!/usr/bin/env bash
# The chart: strict lint, goldens, values that must be refused, and what no rendering may hold.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
have go || skip_stage "Helm is built from its Go module, and Go is missing"

passed=0 failed=0
# $1: what should hold; the rest: the command.
expect() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    say "not so: $what"
    say "$output"
  fi
}

refuses() { ! "$@"; }

counts=$(bash scripts/chart.sh --check) || true
read -r compared differ <<<"${counts##*$'\n'}"
passed=$((passed + compared)) failed=$((failed + differ))

# shellcheck source=tests/cluster/lib.sh
source "$ROOT/tests/cluster/lib.sh"
# shellcheck source=tests/cluster/build.sh
source "$ROOT/tests/cluster/build.sh"
helm=$(program_path helm)
chart=charts/bailiwick
render() { "$helm" template bailiwick "$chart" --namespace bailiwick-system --kube-version 1.37.2 "$@"; }

for values in tests/chart/*.values.yaml; do
  expect "$values passes the strict lint" "$helm" lint --strict "$chart" --values "$values" --set crds.install=false
done

# A typo, a wrong type, a value out of bounds: each is refused, never ignored.
while read -r wrong; do
  expect "--set $wrong is refused" refuses render --set "$wrong"
done <<'WRONG'
replica=3
replicas=0
injection.exemt[0].namespace=shop
injection.exempt[0].namespace=shop
injection.bundle=secret
sidecar.user=0
sidecar.resources.requests.cpu=lots
sidecar.resources.limits.cpu=1
image.pullPolicy=Sometimes
operator.log.format=xml
uninstall.force=please
trustDomain=Prod.Example
crds.instal=false
WRONG
expect "an older cluster is refused" refuses "$helm" template bailiwick "$chart" --kube-version 1.32.9

definitions() { [[ $(render "${@:2}" | grep -c '^kind: CustomResourceDefinition$') == "$1" ]]; }
kept() { [[ $(render "${@:2}" | grep -c 'helm.sh/resource-policy: keep$') == "$1" ]]; }
all=$(find crds -name '*.yaml' | wc -l)
expect "every definition is installed" definitions "$all"
expect "every definition is kept" kept "$all"
expect "crds.keep=false keeps none" kept 0 --set crds.keep=false
expect "crds.install=false installs none" definitions 0 --set crds.install=false

no_wildcards() { ! render --set crds.install=false | awk '/^kind: / { role = /Role$/ } role' | grep -n "'\*'\|\"\*\"\|\[\*\]\|- \*$"; }
no_cluster_secrets() { ! render --set crds.install=false | awk '/^kind: / { role = /ClusterRole$/ } role' | grep -n secrets; }
no_bundle() { ! render | grep -n 'caBundle:'; }
expect "no role has a wildcard" no_wildcards
expect "no cluster role reads Secrets" no_cluster_secrets
expect "the field that the operator writes is not rendered" no_bundle

say "$passed $failed 0" >"$STAGE_COUNTS"
say "$passed passed, $failed failed"
((failed == 0))
