#!/usr/bin/env bash
# The walls between the crates and the size budgets (CONTRIBUTING.md): crates/testkit/tests/walls.rs. First of the tests, since it
# needs little of the workspace to compile. It runs again among the unit tests, so it counts as one here.
set -euo pipefail
# shellcheck source=tests/stages/lib.sh
source "$(dirname "$0")/lib.sh"
cargo test --locked --quiet --workspace --test walls
