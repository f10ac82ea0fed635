#!/usr/bin/env bash
# The programs of kernel/examples/ that show something, booted as the README says: what each prints
# last, or all that does not depend on who was first. Most check their own result, and a wrong one is
# a panic and status 2. Those that serve checks (exits, collapses, …) are booted by those.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh

# Boots an example on 4 CPUs and on 1, where nothing happens at the same time.
example() { # NAME [STATUS] <EXPECTED
    local expected cpus
    image=$(.ci/executables.sh build --package gosched --example "$1")
    expected=$(cat)
    for cpus in 4 1; do
        SMP=$cpus boot
        printf '%s\n' "$expected" >"$dir/expected"
        compare "${2:-0}" "$dir/expected"
        result "$1 SMP=$cpus" "$why"
    done
}

example hello < <(printf '* squared is *, says CPU *\n%.0s' {1..10})
example pipeline <<'TEXT'
sum of 2000 squares: 2668667000
at most 11 lines under way
TEXT
example worker_pool <<<'3000 results in order; 2919 takes the most steps: 216'
example merge_sort <<'TEXT'
sorted 200000 numbers in * ms
as the library sorts them
TEXT
example philosophers <<'TEXT'
...
all have eaten
TEXT
example rate_limiter <<'TEXT'
...
request 11 passed, not before  90 ms
after a rest: 3 tokens
TEXT
example pub_sub <<<'weather: 10 messages; news: 10 to each of two, 2 to one too slow'
example chat <<<'150 lines, and all heard the same in the same order'
example matmul <<'TEXT'
192 x 192, 1 P: * us
192 x 192, * us
speed-up *
TEXT
example sieve <<'TEXT'
...
113
TEXT
example search <<'TEXT'
hash(*) = 0x*
no hash ends in 65 zeros: all * stopped at the time limit
TEXT
example power_series <<'TEXT'
1/(1-x)  1 1 1 1 1 1 1 1 1 1
exp      1 1 1/2 1/6 1/24 1/120 1/720 1/5040
tan      0 1 0 1/3 0 2/15 0 17/315 0 62/2835
sin²+cos² 1 0 0 0 0 0 0 0 0 0
TEXT
example daisy_chain <<'TEXT'
10001 goroutines, * ms
whispered through the chain: 10000
TEXT
example lost <<'TEXT'
* jobs done by 1000 workers
3 of 1003 goroutines are still missing
TEXT
example traced <<'TEXT'
20 orders are paid
TEXT
example mandelbrot < <(printf '*\n%.0s' {1..32})
example panic 2 <<'TEXT'
panic: index out of bounds: the len is 3 but the index is 3

goroutine * [running]:
panic::median(...)
	kernel/examples/panic.rs:* +0x*
panic::main::{{closure}}(...)
	kernel/examples/panic.rs:*
created by panic::main in goroutine 1
	kernel/examples/panic.rs:* +0x*

gosched: *
TEXT
example deadlock 2 <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
...
gosched: *
TEXT

sum_up
