#!/usr/bin/env bash
# The boot stage's tests, with the default image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kernel=$(.ci/executables.sh build --package gosched --bin gosched)
boot=$(.ci/executables.sh build --package gosched-boot --release)
boot/tests.sh "$kernel" "$boot"
