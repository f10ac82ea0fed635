#!/usr/bin/env bash
# Models of the scheduler's protocol objects: loom tries all interleavings (kernel/models).
#
# RUSTFLAGS replaces the flags of .cargo/config.toml, which are those of an image, and `env` the
# runner. Optimised, since loom runs each model many thousand times, but not as one whole with its
# dependencies, as a release of the image is: that takes longer than it saves.
#
# With the argument `clippy`, clippy goes over that build instead. What follows `test` is for cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTFLAGS='--cfg loom'
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=env
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-loom"
case ${1:-test} in
clippy) cargo clippy --package gosched-models --lib --profile test -- -D warnings ;;
test) cargo test --package gosched-models --lib --release "${@:2}" ;;
*)
    echo "loom.sh: '$1' is neither test nor clippy" >&2
    exit 2
    ;;
esac
