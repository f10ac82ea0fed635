#!/usr/bin/env bash
# No warning of the compiler or of clippy, in any package and target, as image, host test and model.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo clippy --workspace --all-targets -- -D warnings
.ci/host-tests.sh clippy
.ci/loom.sh clippy
