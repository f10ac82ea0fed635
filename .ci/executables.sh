#!/usr/bin/env bash
# Builds by cargo with the given arguments and prints the paths of what is executable, one a line.
# cargo tells them itself, so that every way of choosing a target folder works.
set -euo pipefail
cargo "$@" --quiet --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
