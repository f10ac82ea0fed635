#!/usr/bin/env bash
# gdb, driven in batch mode by the one command that run-qemu.sh prints: the helper that is inside
# the images (kernel/src/observe/gdb.py), on a machine that is paused before boot, in the middle,
# in an interrupt, on g0, after a panic, after a deadlock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
command -v gdb >/dev/null || { echo "gdb.sh: gdb is not in PATH (.ci/tools.sh)" >&2 && exit 1; }
port=$((20000 + RANDOM % 10000))

# One session: the image's status at its end, and what gdb says to the commands. What `ends` does
# for the console alone.
session() { # NAME STATUS WORDS... [-- KERNEL-WORDS...] : COMMANDS... <EXPECTED
    local name=$1 want=$2 words=() commands=() command tries=0 runner
    shift 2
    while [[ $1 != : ]]; do
        words+=("$1")
        shift
    done
    for command in "${@:2}"; do commands+=(-ex "$command"); done
    cat >"$dir/expected"
    port=$((port + 1))
    : >"$dir/err" # the last session's command is not this one's
    # shellcheck disable=SC2154 # image is the caller's
    ./run-qemu.sh --gdb --gdb-port "$port" --timeout 120 "$image" "${words[@]}" \
        </dev/null >"$dir/console" 2>"$dir/err" &
    runner=$!
    until grep -q 'waiting for: ' "$dir/err" || ((++tries > 300)); do sleep 0.1; done
    command=$(sed -n 's/^run-qemu.sh: waiting for: //p' "$dir/err")
    # As it is printed, with what a script wants behind it. gdb tries again until QEMU listens.
    eval "timeout 100 $command"' -nx -batch "${commands[@]}"' </dev/null >"$dir/out" 2>&1 || true
    status=0
    wait "$runner" || status=$?
    compare "$want" "$dir/expected"
    result "$name${SMP:+ SMP=$SMP}" "$why"
}

checks() { # what is the same in every profile
    # The image is not in memory yet: no error of Python's, but what to do. Then it boots as ever.
    session "before boot" 0 return : 'info goroutines' 'goroutine 1 bt' 'info ms' 'info ps' c <<'TEXT'
...
Hardware assisted breakpoint 1 at 0x*: file kernel/src/sched/fatal.rs, line *
gosched: the kernel is not up yet (still firmware or boot stage); *
gosched: the kernel is not up yet (still firmware or boot stage); *
gosched: the kernel is not up yet (still firmware or boot stage); *
gosched: the kernel is not up yet (still firmware or boot stage); *
...
! *Python*
! *the image ends here*
TEXT

    session "boot" 0 return : 'hbreak gosched::sched::stop::procresize' c 'info goroutines' \
        'info ms' 'delete 2' c <<'TEXT'
...
gosched: no goroutines yet: the kernel still boots
...
* M0   1       -    -      *      -        boots
...
! *Python*
TEXT

    # Everything that a stack can be stopped in: running, parked, preempted by an interrupt.
    SMP=1 session "in the middle" 2 panic-others -- traceback=all : 'hbreak exits::fail_at_work' \
        c 'info goroutines' 'info ms' 'info ps' 'goroutine all bt' 'goroutine 2 info registers rip' \
        'info registers rip' 'goroutine 2 step' 'goroutine 9 bt' 'goroutine 2' 'delete' c <<'TEXT'
...
* 1     running              CPU 0  exits::fail_at_work
  2     chan receive                exits::receive
  3     runnable                    exits::spin
  M    thread  P    curg   locks  lockedg  state
* M0   1       P0   1      0      -        runs goroutine 1
P    status   M    runq  runnext  schedtick
P0   running  M0   *
gomaxprocs=1 idleprocs=0 runqueue=*
goroutine 1 [running]:
#0  exits::fail_at_work () at kernel/examples/exits.rs:*
#1  0x* in exits::panic_among_others () at kernel/examples/exits.rs:*
#2  0x* in exits::main () at kernel/examples/exits.rs:*
...
#* 0x* in gosched::arch::switch::goexit::*

goroutine 2 [chan receive]:
#0  0x* in gosched::arch::switch::mcall::*
...
#* exits::receive () at kernel/examples/exits.rs:*
#* 0x* in exits::wait_for_ever () at kernel/examples/exits.rs:*
#* 0x* in gosched::arch::switch::goexit::*

goroutine 3 [runnable]:
#0  0x* in gosched::arch::switch::mcall::*
...
#*  <signal handler called>
...
#* exits::spin () at kernel/examples/exits.rs:*
...
#* 0x* in gosched::arch::switch::goexit::*

rip * <gosched::arch::switch::mcall::*
rip * <*fail_at_work*>
gosched: 'step' would run the machine; CMD only looks
gosched: there is no goroutine 9
usage: goroutine ID CMD, or: goroutine all CMD
...
! *Python*
! *Backtrace stopped*
TEXT
    # The registers came back: what ran on is the panic, and it reports as ever.
    grep -q '^exits::fail_at_work' "$dir/console" || result "the report afterwards" "is missing"

    SMP=1 session "in an interrupt" 2 panic-others : 'hbreak exits::spin' c 'delete 2' \
        'hbreak gosched::arch::x86_64::traps::dispatch' c 'info goroutines' 'info ms' \
        'goroutine 3 bt' bt 'delete' c <<'TEXT'
...
* 3     running              CPU 0  exits::spin
  M *
* M0   1       P0   3      *      -        in an interrupt of goroutine 3
...
#* exits::spin () at kernel/examples/exits.rs:*
...
#0  gosched::arch::x86_64::traps::dispatch () at *
#1  <signal handler called>
...
#* exits::spin () at kernel/examples/exits.rs:*
...
#* 0x* in gosched::arch::switch::goexit::*
...
! *Python*
! *Backtrace stopped*
TEXT

    SMP=1 session "on g0" 2 deadlock : 'hbreak exits::receive' c 'delete 2' \
        'hbreak gosched::sched::park::park_unlock_m' c 'info goroutines' 'info ms' \
        'goroutine 1 bt' bt 'delete' c <<'TEXT'
...
* 1     running              CPU 0  exits::receive
  M *
* M0   1       P0   1      *      -        in the scheduler
#0  0x* in gosched::arch::switch::mcall::*
...
#* exits::receive () at kernel/examples/exits.rs:*
...
#* 0x* in gosched::arch::switch::goexit::*
#0  gosched::sched::park::park_unlock_m () at *
#1  0x* in gosched::arch::switch::mcall::*
...
! *Python*
! *Backtrace stopped*
TEXT

    # Other CPUs stand in the NMI that froze them; the one that panicked stands at the end.
    session "after a panic" 2 panic-others -- slice_us=60000000 : c 'info goroutines' 'info ms' \
        'goroutine 1 bt' 'goroutine 3 bt' bt c <<'TEXT'
...
gosched: the image ends here; the report is on its console. *
...
* 1     running              CPU *  exits::fail_at_work
...
* *     running              CPU *  exits::spin
...
* M* 1      *      -        reports the end of the image
...
#* 0x* in exits::fail_at_work () at kernel/examples/exits.rs:*
#* 0x* in exits::panic_among_others () at kernel/examples/exits.rs:*
...
#0  gosched::sched::fatal::exit_after_report () at *
...
#*  <signal handler called>
...
#* 0x* in exits::fail_at_work () at kernel/examples/exits.rs:*
...
#* 0x* in gosched::arch::switch::goexit::*
...
! *Python*
! *Backtrace stopped*
TEXT

    SMP=1 session "after a deadlock" 2 deadlock-all : c 'info goroutines' 'info ms' 'info ps' \
        'goroutine 2 bt' c <<'TEXT'
...
gosched: the image ends here; the report is on its console. *
...
  1     sync.WaitGroup.Wait         exits::deadlock_of_all
  2     sync.Mutex.Lock             exits::*
  3     chan send                   exits::*
  4     chan receive                exits::receive
  M *
* M0   1       -    -      *      -        reports the end of the image
P *
P0   idle     -    0     -        *
gomaxprocs=1 idleprocs=1 runqueue=0
#0  0x* in gosched::arch::switch::mcall::*
...
#* exits::*{closure#0} () at kernel/examples/exits.rs:*
...
! *Python*
TEXT
}

image=$(.ci/executables.sh build --package gosched --example exits)
checks
image=$(.ci/executables.sh build --release --package gosched --example exits)
checks

# Every kind of image has the helper (here: a test, and the default image), in its file and not in
# its memory.
while IFS= read -r image; do
    : >"$dir/out"
    : >"$dir/err"
    why=''
    # No pipe: grep ends at the first match, and what still writes then would count as a failure.
    grep -q 'class layout:' < <(readelf --string-dump=.debug_gdb_scripts "$image" 2>/dev/null) ||
        why="no helper in it"
    ! readelf --segments --wide "$image" | grep -q debug_gdb || why="the helper is in a segment"
    result "$(basename "$image")" "$why"
done < <(.ci/executables.sh test --no-run --package gosched --test smoke)
sum_up
