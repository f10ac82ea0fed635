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

channels=(chan chan_ops chan_values chan_timers chan_close)
selects=(select_go select_park select_object select_nil)
syncs=(sync_mutex sync_rwlock sync_condvar sync_once sync_groups sync_permits)
always=(sched locked world goroutine park local coro)
always+=("${channels[@]}" "${selects[@]}" "${syncs[@]}")

status=0
run 'sched=global' "${always[@]}" spawn time preempt || status=1
run 'sched=single' "${always[@]}" spawn time preempt || status=1
run 'preempt=coop' "${always[@]}" preempt || status=1
run 'preempt=off' "${always[@]}" preempt || status=1
run 'slice_us=200' "${always[@]}" time || status=1
for seed in 1 2 3; do
    run "chaos=30 seed=$seed" "${always[@]}" time || status=1
done
exit "$status"
