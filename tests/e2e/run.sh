#!/usr/bin/env bash
# The end-to-end tests: starts the test cluster, installs the chart with the images of this tree, and runs the tests.
#
#   tests/e2e/run.sh [prepare] [NAME…]
#
# `prepare` ends after the installation. NAME is a part of a test's name; without one all run: `calm` and `hostile` side by side, then
# `storms` one at a time. BAILIWICK_E2E_KEEP=1 leaves the tests' namespaces. BAILIWICK_IMAGE_PROFILE as
# in scripts/images.sh; image-test where it is not set.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$ROOT"
use_pinned_toolchain
export BAILIWICK_IMAGE_PROFILE=${BAILIWICK_IMAGE_PROFILE:-image-test}

export BAILIWICK_E2E_CLUSTER=$ROOT/tests/cluster/cluster.sh
export BAILIWICK_E2E_NAMESPACE=bailiwick-system

only_prepare=''
if [[ ${1:-} == prepare ]]; then
  only_prepare=1
  shift
fi

tell() { say "-- $(printf '%4d' "$SECONDS") s: $*"; }

# Images that the nodes have already are not loaded again.
load_images() {
  local image archive wanted=() key
  for image in operator sidecar demo; do
    archive=$ROOT/target/images/bailiwick-$image.tar
    key=$(digest <"$archive")
    if [[ $(cat "$BAILIWICK_CLUSTER_STATE/loaded-$image" 2>/dev/null) == "$key" ]]; then continue; fi
    wanted+=("$archive")
    say "$key" >"$BAILIWICK_CLUSTER_STATE/loaded-$image.new"
  done
  if ((${#wanted[@]})); then bash "$BAILIWICK_E2E_CLUSTER" load "${wanted[@]}"; fi
  for image in operator sidecar demo; do
    if [[ -e $BAILIWICK_CLUSTER_STATE/loaded-$image.new ]]; then
      mv "$BAILIWICK_CLUSTER_STATE/loaded-$image.new" "$BAILIWICK_CLUSTER_STATE/loaded-$image"
    fi
  done
}

# As a user installs it. The annotation has pods of an image with the same name and another content replaced.
install_chart() {
  local images
  images=$(cat "$BAILIWICK_CLUSTER_STATE"/loaded-{operator,sidecar} | digest)
  helm upgrade --install bailiwick charts/bailiwick --namespace "$BAILIWICK_E2E_NAMESPACE" --create-namespace \
    --set-string "operator.podAnnotations.tests/images=i$images" --wait --timeout 180s >"$BAILIWICK_CLUSTER_STATE/helm.log" 2>&1 && return
  cat "$BAILIWICK_CLUSTER_STATE/helm.log"
  kubectl -n "$BAILIWICK_E2E_NAMESPACE" get pods -o wide || true
  kubectl -n "$BAILIWICK_E2E_NAMESPACE" get events --sort-by=.lastTimestamp | tail -n 15 || true
  kubectl -n "$BAILIWICK_E2E_NAMESPACE" logs -l app.kubernetes.io/component=operator --tail=30 --prefix || true
  return 1
}

tell "the images of this tree"
bash scripts/images.sh
tell "the cluster"
bash "$BAILIWICK_E2E_CLUSTER" up
# shellcheck source=/dev/null
source <(bash "$BAILIWICK_E2E_CLUSTER" env)
bash "$BAILIWICK_E2E_CLUSTER" tools
load_images
tell "helm install"
install_chart
tell "the tests and the command line"
cargo build --locked --quiet --package bailiwick-cli --package bailiwick-e2e --bins --tests
BAILIWICK_E2E_CLI=${CARGO_TARGET_DIR:-$ROOT/target}/debug/bailiwick
export BAILIWICK_E2E_CLI
if [[ -n $only_prepare ]]; then
  say "ready: source <(tests/cluster/cluster.sh env)"
  exit 0
fi

# Runs the tests of one binary that match. $1: suites, $2: how many at once, the rest: names.
run_suites() {
  local suites=$1 width=$2 filter suite
  shift 2
  filter=''
  for suite in $suites; do filter+="${filter:+ | }binary($suite)"; done
  if have cargo-nextest; then
    cargo nextest run --locked --package bailiwick-e2e --profile e2e --test-threads "$width" --no-tests pass \
      --filterset "$filter" ${BAILIWICK_E2E_NEXTEST:-} -- "$@"
  else
    for suite in $suites; do cargo test --locked --package bailiwick-e2e --test "$suite" -- --test-threads "$width" "$@"; done
  fi
}

code=0
run_suites "calm hostile" "${BAILIWICK_E2E_WIDTH:-3}" "$@" || code=$?
run_suites storms 1 "$@" || code=$?
tell "done"
exit "$code"
