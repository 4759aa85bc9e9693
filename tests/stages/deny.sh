#!/usr/bin/env bash
# Licences, banned crates and who may use which, sources: deny.toml. Advisories need the network, so they are not in this list.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
have cargo-deny || skip_stage "cargo-deny is missing: make deps"
cargo deny --offline --locked --all-features --log-level error check licenses bans sources
