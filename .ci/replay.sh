#!/usr/bin/env bash
# A replay is the same run bit for bit: programs of channels, selects, timers and preemption, with
# chaos, run twice on 1, 2, 4 and 8 CPUs with each of two seeds. The console (which tells guest
# times, and the hash of all switches since boot) and a trace of the last moments (which has the time
# of every event, and one instruction more anywhere before makes it another) must be equal; and
# another seed must make another run.
#
# What may differ between two runs is the host: both of a pair run at once beside a loop, each kept
# waiting by the others at other moments, and the second has a reader that leaves the console alone at
# first, until any pipe would be full. A thousand goroutines that sleep and wake catch a QEMU whose
# threads race (replay.c); the dump, a serial port that waits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=.ci/truths.sh
source .ci/truths.sh
image=$(.ci/executables.sh build --package gosched --bin gosched)
STAGE=$(.ci/executables.sh build --release --package gosched-boot)
export STAGE
unset CMDLINE REPLAY FILES TRACE
mkdir "$dir/first" "$dir/second"

programs='run pingpong 16 40; run rate_limiter; run pub_sub; run search; run lost'
programs+='; trace dump last; trace hash'

replay() { # SEED CPUS NAME
    ./run-qemu.sh --timeout 200 --replay "$1" --smp "$2" --files "$dir/$3" "$image" \
        -- chaos=30 slice_us=300 run="$programs" </dev/null 2>"$dir/$3/err"
}

# The hash that the run printed, if it came to its end.
hash_of() { # NAME
    sed -n 's/^\([0-9a-f]\{16\}\)$/\1/p' "$dir/$1/console" | tail -n 1
}

same() { # NAME NAME
    cmp "$dir/$1/console" "$dir/$2/console" >"$dir/log" 2>&1 &&
        cmp "$dir/$1/last" "$dir/$2/last" >"$dir/log" 2>&1
}

for cpus in 1 2 4 8; do
    hashes=()
    for seed in 1 2; do
        start=$SECONDS
        while :; do :; done &
        busy=$!
        replay "$seed" "$cpus" first >"$dir/first/console" &
        first=$!
        replay "$seed" "$cpus" second | { sleep 1; cat; } >"$dir/second/console" || true
        wait "$first" || true
        kill "$busy"
        wait "$busy" 2>/dev/null || true
        cat "$dir"/{first,second}/err >"$dir/log"
        hash=$(hash_of first)
        hashes+=("$hash")
        printf '%d CPUs, seed %d: hash %s, trace of %d bytes, %d s\n' "$cpus" "$seed" "$hash" \
            "$(stat -c %s -- "$dir/first/last")" "$((SECONDS - start))"
        result "$cpus CPUs, seed $seed: came to its end" test -n "$hash"
        result "$cpus CPUs, seed $seed: the same run" same first second
        rm -f -- "$dir/first/last" "$dir/second/last"
    done
    result "$cpus CPUs: another run with each seed" \
        test "$(printf '%s\n' "${hashes[@]}" | sort -u | wc -l)" = 2
done
sum_up
