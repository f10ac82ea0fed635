#!/usr/bin/env bash
# The host tests that share memory between threads, under ThreadSanitizer: memory, the ring of the
# trace, the mutex's word, run queue, timers, and a small scheduler of all the scheduler's parts
# (sched/stress.rs). Needs a nightly compiler, since the sanitizer is no part of stable; std stays as
# it is. What rests on fences is left to loom: ThreadSanitizer does not know them. So are properties
# and a hundred thousand stacks to the host tests: they have one thread. Arguments are for cargo, in
# place of the choice of tests.
#
# RUSTFLAGS replaces the flags of .cargo/config.toml, which are those of an image, and `env` the
# runner.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTFLAGS='-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer -Cforce-frame-pointers=yes'
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=env
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-tsan"
export TSAN_OPTIONS="suppressions=$PWD/.ci/tsan.suppressions ${TSAN_OPTIONS:-}"
(($# > 0)) || set -- -- sched:: mem:: base::trace_ring sync:: \
    --skip properties --skip a_hundred_thousand_stacks
cargo +nightly test --package gosched --lib "$@"
