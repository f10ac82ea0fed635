#!/usr/bin/env bash
# The library's unit tests, on the host: the same source with cfg(test), over std.
#
# RUSTFLAGS replaces the flags of .cargo/config.toml, which are those of an image, and `env` the
# runner, which would boot what is built. The target folder is another one, so that the two kinds
# of build do not undo each other.
#
# With the argument `clippy`, clippy goes over that build instead. What follows `test` is for cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTFLAGS=-Cforce-frame-pointers=yes
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=env
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-host"
case ${1:-test} in
clippy) cargo clippy --package gosched --lib --profile test -- -D warnings ;;
test) cargo test --package gosched --lib "${@:2}" ;;
*)
    echo "host-tests.sh: '$1' is neither test nor clippy" >&2
    exit 2
    ;;
esac
