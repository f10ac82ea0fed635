#!/usr/bin/env bash
# The formatter has nothing to change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo fmt --all --check
