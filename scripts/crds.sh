#!/usr/bin/env bash
# Writes crds/ from the Rust types, by the golden test that compares them (`bailiwick crds` prints the same), and the chart's copy of
# them: Helm reads no file outside a chart.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"
cd "$ROOT"
use_pinned_toolchain
BAILIWICK_UPDATE_GOLDEN=1 cargo test --locked --quiet --package bailiwick-api --test crds
rm -f charts/bailiwick/files/crds/*.yaml
cp crds/*.yaml charts/bailiwick/files/crds/
say "crds/ and charts/bailiwick/files/crds/:"
ls crds
