#!/usr/bin/env bash
# The host tests that share memory between threads, under ThreadSanitizer: run queue, timers, and
# memory. Needs a nightly compiler, since the sanitizer is no part of stable; std stays as it is.
# What rests on fences is left to loom: ThreadSanitizer does not know them. Arguments are for cargo,
# in place of the choice of tests.
#
# RUSTFLAGS replaces the flags of .cargo/config.toml, which are those of an image, and `env` the
# runner.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTFLAGS='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer -Cforce-frame-pointers=yes'
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=env
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-tsan"
export TSAN_OPTIONS="suppressions=$PWD/.ci/tsan.suppressions ${TSAN_OPTIONS:-}"
(($# > 0)) || set -- -- sched:: mem::
cargo +nightly test --package gosched --lib "$@"
