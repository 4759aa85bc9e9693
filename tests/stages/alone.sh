#!/usr/bin/env bash
# Crates that are used on their own also compile on their own. A build of the whole workspace unifies features, so a crate can lean
# there on a feature that only another crate asked for.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
for crate in policy wire compile sidecar operator; do
  cargo check --locked --quiet --package "bailiwick-$crate"
done
