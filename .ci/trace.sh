#!/usr/bin/env bash
# Execution traces, read by Go's own tools: one that is streamed, one of the flight recorder, one of a
# panic; and `trace hash` of replayed runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=.ci/truths.sh
source .ci/truths.sh
go=$(.ci/go.sh)

image_of() { # EXAMPLE
    .ci/executables.sh build --package gosched --example "$1" | grep "/examples/$1\$"
}

# Reads a trace; what Go's reader says is in parsed.
parses() { # NAME FILE
    local status=0
    "$go" tool trace -d=parsed "$2" >"$dir/parsed" 2>"$dir/log" || status=$?
    result "$1 is read by Go" test "$status" = 0 -a ! -s "$dir/log"
}

holds() { # NAME PATTERN...
    local name=$1 pattern
    shift
    for pattern in "$@"; do
        result "$name holds $pattern" grep -qE -e "$pattern" "$dir/parsed"
    done
}

traced=$(image_of traced)
for cpus in 1 4; do
    ./run-qemu.sh --smp "$cpus" --trace "$dir/stream" "$traced" >"$dir/log" 2>&1 || true
    result "traced runs on $cpus CPUs" grep -q '20 orders are paid' "$dir/log"
    parses "the stream of $cpus CPUs" "$dir/stream"
    holds "the stream of $cpus CPUs" 'TaskBegin .*Type="day"' 'TaskBegin .*Type="order"' TaskEnd \
        'RegionBegin .*Type="cooking"' 'RegionEnd .*Type="paying"' \
        'Log .*Category="order" Message="number 7"' 'Running->Waiting Reason="chan (receive|send)"' \
        'Running->Waiting Reason="sleep"' 'Waiting->Runnable' 'NotExist->Runnable' \
        'Running->NotExist' 'ProcID=0 .*Idle->Running|ProcID=0 .*Undetermined->Running' \
        'traced::work @' 'kernel/examples/traced.rs:[0-9]+'
done
# Every order begins and ends, and so nothing was lost.
result 'all tasks begin' test "$(grep -c 'TaskBegin .*Type="order"' "$dir/parsed")" = 20
result 'all tasks end' test "$(grep -c TaskEnd "$dir/parsed")" = 21
"$go" tool trace -pprof=sched "$dir/stream" >"$dir/sched.pprof" 2>"$dir/log" || true
result 'a profile of scheduling latency is made of it' test -s "$dir/sched.pprof"

./run-qemu.sh --files "$dir" -- run="run pingpong 8 500; run hog 6 1; run lost; trace dump flight" \
    >"$dir/log" 2>&1 </dev/null || true
parses 'the flight recorder' "$dir/flight"
holds 'the flight recorder' 'Reason="sleep"' 'transfer|lost::' 'Undetermined->Waiting'

./run-qemu.sh --files "$dir" "$(image_of panic)" >"$dir/log" 2>&1 || true
result 'a panic leaves its last moments' grep -q 'the last moments are in panic.trace' "$dir/log"
parses 'the trace of a panic' "$dir/panic.trace"
holds 'the trace of a panic' 'NotExist->Runnable' 'panic::main'

# Where the clock begins at boot, there is less of it than the picture shows.
./run-qemu.sh --icount --smp 1 -- run="trace show; top 60 1" >"$dir/log" 2>&1 </dev/null || true
result 'a picture of more time than has passed' grep -q '^CPU  0 \|CPU  0 .*%' "$dir/log"

hash_of() { # SEED CPUS
    ./run-qemu.sh --replay "$1" --smp "$2" -- run="run pingpong 32 500; run primes 100000 100; trace hash" </dev/null |
        grep -E '^[0-9a-f]{16}$'
}
for cpus in 1 4; do
    first=$(hash_of 7 "$cpus")
    result "the same seed has the same hash on $cpus CPUs" test -n "$first" -a "$first" = "$(hash_of 7 "$cpus")"
done
result 'another seed has another hash' test "$first" != "$(hash_of 8 4)"

sum_up
