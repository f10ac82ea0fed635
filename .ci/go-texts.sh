#!/usr/bin/env bash
# The kernel's words against Go's: the same program in Go (.ci/go-texts/texts.go) and here
# (kernel/examples/texts.rs) ends in the same ways, and what each prints is compared to the letter.
# .ci/go-texts/normal.py takes out what may differ, and has the list of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh

go=$(.ci/go.sh)
mkdir -p target/go-texts
"$go" build -o target/go-texts/texts .ci/go-texts/texts.go
image=$(.ci/executables.sh build --package gosched --example texts)

# One scenario on both sides, by level of traceback.
same() { # SCENARIO LEVEL [throw]
    local go_status=0 throw=("${@:3}")
    GOTRACEBACK=$2 GODEBUG=tracebacklabels=1 timeout 60 target/go-texts/texts "$1" \
        >"$dir/go" 2>&1 </dev/null || go_status=$?
    boot "$1" -- "traceback=$2"
    why=''
    ((go_status == status)) || why="Go ends with status $go_status, the image with $status"
    python3 .ci/go-texts/normal.py go "${throw[@]}" <"$dir/go" >"$dir/go.normal" ||
        why="Go's text is not understood"
    python3 .ci/go-texts/normal.py gosched "${throw[@]}" <"$dir/out" >"$dir/out.normal" ||
        why="the kernel's text is not understood"
    diff -u --label Go --label gosched "$dir/go.normal" "$dir/out.normal" >"$dir/err" ||
        why=${why:-"the texts differ"}
    result "$1 $2" "$why"
}

for level in none single all; do
    for scenario in deadlock deadlock_all goexit goexit_blocked panic_main panic_others \
        locked_main locked_other unlock_mutex negative_group; do
        same "$scenario" "$level"
    done
done
for scenario in deadlock_self deadlock_select deadlock_named panic_lines panic_goroutine \
    unlock_read unlock_write; do
    same "$scenario" single
done
for scenario in deadlock deadlock_all panic_main panic_others locked_other; do
    same "$scenario" system
done
for scenario in panic_printing overflow overflow_goroutine; do same "$scenario" single throw; done

# The lines of schedtrace: their kinds, with the names of the fields in their order.
for detail in 0 1; do
    GODEBUG="schedtrace=100,scheddetail=$detail" target/go-texts/texts schedtrace \
        >"$dir/go" 2>&1 </dev/null
    boot schedtrace -- schedtrace=100 "scheddetail=$detail"
    why=''
    for side in go out; do
        python3 .ci/go-texts/normal.py schedtrace <"$dir/$side" >"$dir/$side.normal" ||
            why="$side: the lines are not understood"
    done
    [[ -s $dir/out.normal ]] || why="there are no lines"
    diff -u --label Go --label gosched "$dir/go.normal" "$dir/out.normal" >"$dir/err" ||
        why=${why:-"the lines differ"}
    result "schedtrace scheddetail=$detail" "$why"
done
sum_up
