#!/usr/bin/env bash
# How an image ends that fails where there is no goroutine's stack to stand on, within another
# failure, or at the same instant as another (kernel/examples/collapses.rs). Each check is one boot:
# one report, and status 2 (4 where even the report of the report fails; `exit` has its own beside 2).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
image=$(.ci/executables.sh build --package gosched --example collapses)

# ---- Stacks --------------------------------------------------------------------------------------

overflow() { # STACK LINE: on that stack, and a line of the goroutine that its CPU ran
    cat <<TEXT
runtime: morestack on $1, stack [0xffffb0* 0xffffb0*], sp=0xffffb0*
fatal error: morestack on $1

runtime stack:
collapses::descend(...)
	kernel/examples/collapses.rs:* +0x*
...
goroutine * [running]:
...
$2
...
rip    0xffffffff8*
...
gosched: *
! *panic during panic*
! *unavailable*
TEXT
}

for cpus in 1 4; do
    export SMP=$cpus
    ends 2 g0 < <(overflow g0 'collapses::main(...)')
    ends 2 g0-other < <(overflow g0 'created by collapses::SCENARIOS::{{closure}} in goroutine 1')
    ends 2 g0-frame <<'TEXT'
runtime: morestack on g0, stack [0xffffb0* 0xffffb0*], sp=0xffffb0*
fatal error: morestack on g0

runtime stack:
collapses::huge_frame(...)
...
gosched: *
TEXT
    ends 2 interrupt < <(overflow gsignal 'collapses::on_tick(...)')
    ends 2 exception < <(overflow gsignal 'collapses::overflow_in_exception(...)')
    # The next fault begins at the top of the same stack, so where the goroutine was is lost.
    ends 2 page-fault <<'TEXT'
runtime: morestack on gsignal, stack [0xffffb0* 0xffffb0*], sp=0xffffb0*
fatal error: morestack on gsignal

runtime stack:
collapses::descend(...)
...
gosched: *
TEXT
    # In the text of a panic that cannot be made in the goroutine: the report itself overflows.
    ends 2 report <<'TEXT'
panic: deep: 
panic during panic
runtime: morestack on g0, stack [0xffffb0* 0xffffb0*], sp=0xffffb0*
fatal error: morestack on g0

runtime stack:
collapses::descend(...)
...
goroutine 1 [running]:
...
gosched: *
TEXT
    # In one that is made there the goroutine overflows, as anywhere.
    ends 2 text <<'TEXT'
runtime: goroutine stack exceeds *-byte limit
runtime: sp=0xffffa0* stack=[0xffffa0*, 0xffffa0*]
fatal error: stack overflow

goroutine 1 [running]:
collapses::descend(...)
...
gosched: *
! *panic during panic*
TEXT
done
unset SMP

# ---- Failures within failures --------------------------------------------------------------------

nested() { # FUNCTION <HEADING of the second failure
    cat <<'TEXT'
panic: *
panic during panic
TEXT
    cat
    cat <<TEXT

runtime stack:
...
$1(...)
...
goroutine 1 [running]:
...
collapses::main(...)
...
gosched: *
TEXT
}

for cpus in 1 4; do
    export SMP=$cpus
    ends 2 report-panics < <(nested '<collapses::Bomb as core::fmt::Display>::fmt' <<'TEXT'
panic: work failed
[raised at kernel/examples/collapses.rs:*]
TEXT
    )
    ends 2 report-faults < <(nested collapses::read_nothing <<'TEXT'
fatal error: unexpected exception
[page fault (#PF vector 14), error code 0x0: read of unmapped memory at 0x10]
TEXT
    )
    # The report of a failed report fails: Go's last words and status.
    ends 4 report-twice <<'TEXT'
panic: two bombs: 
panic during panic
panic: another bomb: 
stack trace unavailable
TEXT
    ends 2 drop <<'TEXT'
collapses: before the drop
panic: work failed

goroutine 1 [running]:
collapses::fail(...)
...
gosched: *
! *panic during panic*
TEXT
    # Nothing is dropped when a panic ends the image, so nothing panics again.
    ends 2 drop-in-panic <<'TEXT'
panic: work failed

goroutine 1 [running]:
collapses::fail(...)
...
gosched: *
! *panic during panic*
TEXT
    ends 2 local-drop <<'TEXT'
panic: work failed

goroutine * [running]:
collapses::fail(...)
...
created by collapses::panic_in_local in goroutine 1
...
gosched: *
TEXT
    ends 2 after-func <<'TEXT'
panic: work failed

goroutine * [running]:
collapses::fail(...)
...
gosched: *
TEXT
    ends 2 tick <<'TEXT'
panic: work failed
[raised at kernel/examples/collapses.rs:*]

runtime stack:
...
collapses::fail(...)
...
traps_common(...)
	*

goroutine 1 [running]:
...
collapses::on_tick(...)
...
gosched: *
TEXT
    ends 2 tick-fault <<'TEXT'
fatal error: unexpected exception
[page fault (#PF vector 14), error code 0x0: read of unmapped memory at 0x10]

runtime stack:
collapses::read_nothing(...)
...
goroutine 1 [running]:
...
collapses::on_tick(...)
...
gosched: *
TEXT
    ends 2 double-fault <<'TEXT'
fatal error: unexpected exception
[double fault (#DF vector 8), error code 0x0]

goroutine 1 [running]:
collapses::read_nothing(...)
	kernel/examples/collapses.rs:* +0x*
collapses::double_fault(...)
...
gosched: *
TEXT
done
unset SMP

# ---- At the same instant -------------------------------------------------------------------------

# Whoever is first reports, and nobody else: each heading makes the others too much.
for cpus in 2 4 4 8; do
    export SMP=$cpus
    boot all-kinds
    case $(head -n 1 "$dir/out") in
    'panic: '*) set -- '*fatal error: *' ;;
    *) set -- 'panic: *' ;;
    esac
    printf '%s\n' '...' 'goroutine * [*]:' '...' 'gosched: *' "! $1" '! *during panic*' \
        >"$dir/expected"
    compare 2 "$dir/expected"
    reports=$(grep -c '^gosched: ' "$dir/out") || true
    [[ -n $why || $reports == 1 ]] || why="$reports reports"
    result "all-kinds SMP=$cpus ($(head -n 1 "$dir/out"))" "$why"
done
# Either end is right, but it must be one of them: a whole report, or none and the status.
for cpus in 2 4 4 8; do
    export SMP=$cpus
    boot exit
    case $status in
    7) printf '%s\n' '...' '! *panic*' '! gosched: *' >"$dir/expected" ;;
    *) printf '%s\n' 'panic: work failed' '...' 'gosched: *' >"$dir/expected" ;;
    esac
    compare $((status == 7 ? 7 : 2)) "$dir/expected"
    result "exit SMP=$cpus (status $status)" "$why"
done
for cpus in 1 2 4 4; do
    SMP=$cpus ends 2 others-block <<'TEXT'
panic: work failed

goroutine 1 [running]:
collapses::fail(...)
...
gosched: *
! *deadlock*
TEXT
done
unset SMP

# ---- Locks ---------------------------------------------------------------------------------------

misused() { # LOCK HELD FUNCTION
    cat <<TEXT
fatal error: lock order: $1; held here: $2

runtime stack:
...
goroutine 1 [running]:
...
$3(...)
...
gosched: *
TEXT
}
ends 2 lock-order < <(misused 'timers is taken' sched collapses::main)
ends 2 lock-twice < <(misused 'heap is taken' heap collapses::main)
ends 2 lock-tick < <(misused 'chan is taken in an interrupt' none collapses::on_tick)

# ---- The shell -----------------------------------------------------------------------------------

# A program that the shell runs is no process: its panic ends the image, as anywhere.
image=$(.ci/executables.sh build --package gosched --bin gosched)
status=0
./run-qemu.sh --timeout 60 "$image" -- run='run panic' </dev/null >"$dir/out" 2>"$dir/err" ||
    status=$?
printf '%s\n' '...' 'panic: *' '' 'goroutine * [running]:' '...' 'gosched: m=*' >"$dir/expected"
compare 2 "$dir/expected"
result 'run panic, in the shell' "$why"

sum_up
