#!/usr/bin/env bash
# No warning of rustdoc. Private items are in: the design is written in module docs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
