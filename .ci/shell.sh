#!/usr/bin/env bash
# The shell scripts pass shellcheck.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files -z '*.sh' .ci/run .ci/soak | xargs -0 shellcheck
