#!/usr/bin/env bash
# The scheduler's tests under every scheduler and every kind of preemption, and with chaos.
#
# The tests read the mode and assert what must hold in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run() { # COMMAND-LINE SUITE...
    local words=$1 suites=()
    shift
    for suite in "$@"; do suites+=(--test "$suite"); done
    printf '%s\n' "-- $words"
    CMDLINE=$words cargo test --package gosched "${suites[@]}" --no-fail-fast
}

status=0
run 'sched=global' sched locked world spawn chan sync time preempt \
    goroutine park local coro || status=1
run 'sched=single' sched locked world spawn chan sync time preempt \
    goroutine park local coro || status=1
run 'preempt=coop' sched locked world chan sync preempt goroutine park local coro || status=1
run 'preempt=off' sched locked world chan sync preempt goroutine park local coro || status=1
run 'slice_us=200' sched locked world chan sync time goroutine park local coro || status=1
for seed in 1 2 3; do
    run "chaos=30 seed=$seed" sched locked world chan sync time goroutine park local coro || status=1
done
exit "$status"
