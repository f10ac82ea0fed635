#!/usr/bin/env bash
# Every way in which a program can end its image, and kernel command lines that let none begin
# (kernel/examples/exits.rs). Each check is one boot; what it should print stands below it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
image=$(.ci/executables.sh build --package gosched --example exits)

refused() { # TEXT KERNEL-WORDS...: the text is the only line, and nothing of the program runs
    local text=$1
    shift
    ends 2 -- "$@" <<<"gosched: bad kernel command line: $text"
}

# ---- Plain ends ----------------------------------------------------------------------------------

for cpus in 1 4; do
    SMP=$cpus ends 0 return <<<'exits: main returns'
done
ends 0 exit-0 </dev/null
ends 7 exit-7 </dev/null
ends 255 exit-255 </dev/null
for cpus in 1 4; do
    SMP=$cpus ends 0 sleep <<'TEXT'
awake
exits: main returns
TEXT
done

# ---- Panics --------------------------------------------------------------------------------------

# On whatever CPU: another one may take main before the boot CPU comes to run it.
ends 2 panic <<'TEXT'
panic: the answer is 41

goroutine 1 [running]:
exits::panic_in_main(...)
	kernel/examples/exits.rs:* +0x*
exits::main(...)
	kernel/examples/exits.rs:*

gosched: m=* cpus=4 seed=*
TEXT
for cpus in 1 4; do
    SMP=$cpus ends 2 panic-goroutine <<'TEXT'
panic: work failed

goroutine * [running]:
exits::fail_at_work(...)
	kernel/examples/exits.rs:* +0x*
exits::worker(...)
	kernel/examples/exits.rs:* +0x*
created by exits::panic_in_goroutine in goroutine 1
	kernel/examples/exits.rs:* +0x*

gosched: *
TEXT
done
ends 2 panic-lines <<'TEXT'
panic: first line
	second line
	*
	fatal error: last line

goroutine 1 [running]:
...
gosched: *
TEXT
ends 2 panic-index <<'TEXT'
panic: index out of bounds: the len is 2 but the index is 5

goroutine 1 [running]:
exits::SCENARIOS::{{closure}}(...)
	kernel/examples/exits.rs:*
exits::main(...)
	kernel/examples/exits.rs:*

gosched: *
TEXT
ends 2 panic-preempt-off <<'TEXT'
panic: work failed

goroutine * [running]:
exits::fail_at_work(...)
	kernel/examples/exits.rs:* +0x*
exits::panic_without_preemption::{{closure}}(...)
...
gosched: *
TEXT
ends 2 panic-mutex -- traceback=all <<'TEXT'
panic: work failed

goroutine 1 [running]:
exits::fail_at_work(...)
...
goroutine * [*]:
...
goroutine * [*]:
...
goroutine * [*]:
...
gosched: *
TEXT
ends 2 panic-yield <<'TEXT'
panic: printed after a yield

goroutine 1 [running]:
...
gosched: *
TEXT
ends 2 panic-display <<'TEXT'
fatal error: panic while printing panic value: work failed

goroutine 1 [running]:
exits::fail_at_work(...)
	kernel/examples/exits.rs:* +0x*
<exits::Bomb as core::fmt::Display>::fmt(...)
	kernel/examples/exits.rs:* +0x*
panic(...)
	kernel/src/lib.rs:* +0x*
exits::panic_in_display(...)
	kernel/examples/exits.rs:* +0x*
exits::main(...)
	kernel/examples/exits.rs:*

gosched: *
TEXT
ends 2 panic-system <<'TEXT'
panic: work failed
[raised at kernel/examples/exits.rs:*]

runtime stack:
...
exits::fail_at_work(...)
	kernel/examples/exits.rs:* +0x*
...
goroutine 1 [running]:
...
exits::panic_on_g0(...)
...
gosched: *
TEXT
# One report, whoever is first.
for cpus in 2 4 4 4 8; do
    SMP=$cpus ends 2 panic-everywhere <<'TEXT'
panic: work failed

goroutine * [running]:
exits::fail_at_work(...)
	kernel/examples/exits.rs:* +0x*
exits::panic_everywhere::{{closure}}(...)
	kernel/examples/exits.rs:*
created by exits::panic_everywhere in goroutine 1
	kernel/examples/exits.rs:* +0x*

gosched: *
TEXT
done
# Either end is right, but it must be one of them: a whole report, or none and status 0.
for _ in 1 2 3; do
    boot panic-return
    case $status in
    0) printf '%s\n' '...' '! *panic: *' >"$dir/expected" ;;
    *) printf '%s\n' '...' 'panic: work failed' '...' 'gosched: *' >"$dir/expected" ;;
    esac
    compare $((status == 0 ? 0 : 2)) "$dir/expected"
    result "panic-return (status $status)" "$why"
done
ends 2 waitgroup <<'TEXT'
panic: sync: negative WaitGroup counter

goroutine 1 [running]:
gosched::sync::waitgroup::WaitGroup::*(...)
	kernel/src/sync/waitgroup.rs:*
...
gosched: *
TEXT

unlocked() { # NAME TEXT: the fatal error of an unlock too many
    ends 2 "$1" <<TEXT
fatal error: sync: $2

goroutine 1 [running]:
...
gosched: *
TEXT
}
unlocked unlock-mutex 'unlock of unlocked mutex'
unlocked unlock-read 'RUnlock of unlocked RWMutex'
unlocked unlock-write 'Unlock of unlocked RWMutex'

# Numbers are given out by the Ps, and so depend on where main ran.
ends 2 panic-coroutine -- traceback=all <<'TEXT'
panic: work failed

goroutine * [running]:
exits::fail_at_work(...)
...
goroutine 1 [coroutine]:
...
gosched: *
TEXT
ends 2 coroutine-pin <<'TEXT'
panic: coro: a pin or thread lock of the body's own is held over a yield, or at its end

goroutine * [running]:
...
gosched: *
TEXT

# ---- Levels of tracebacks ------------------------------------------------------------------------

ends 2 panic-others -- traceback=none <<'TEXT'
panic: work failed
[raised at kernel/examples/exits.rs:*]

gosched: *
TEXT
ends 2 panic-others -- traceback=single <<'TEXT'
panic: work failed

goroutine 1 [running]:
...
gosched: *
! created by *
TEXT
# The goroutine that spins on another CPU is shown with its stack, where its CPU was stopped. With a
# slice that does not end: the instant of the panic may else be that of its preemption.
ends 2 panic-others -- traceback=all slice_us=60000000 <<'TEXT'
panic: work failed

goroutine 1 [running]:
exits::fail_at_work(...)
	kernel/examples/exits.rs:* +0x*
exits::panic_among_others(...)
	kernel/examples/exits.rs:* +0x*
exits::main(...)
	kernel/examples/exits.rs:*

goroutine * [chan receive]:
gosched::chan::receiver::Receiver<T>::recv(...)
	kernel/src/chan/receiver.rs:*
exits::receive(...)
	kernel/examples/exits.rs:* +0x*
exits::wait_for_ever(...)
	kernel/examples/exits.rs:* +0x*
created by exits::panic_among_others in goroutine 1
	kernel/examples/exits.rs:* +0x*

goroutine * [running]:
...
exits::spin(...)
	kernel/examples/exits.rs:* +0x*
exits::panic_among_others::{{closure}}(...)
	kernel/examples/exits.rs:*
created by exits::panic_among_others in goroutine 1
	kernel/examples/exits.rs:* +0x*

gosched: *
! *stack unavailable*
TEXT
# On one CPU it was preempted, which its stack does not show.
SMP=1 ends 2 panic-others -- traceback=all <<'TEXT'
panic: work failed

goroutine 1 [running]:
...
goroutine 3 [runnable]:
...
exits::spin(...)
	kernel/examples/exits.rs:* +0x*
...
gosched: *
! *async_preempt*
TEXT
ends 2 panic-others -- traceback=system <<'TEXT'
panic: work failed

runtime stack:
...
gosched::sched::fatal::*(...)
	kernel/src/sched/fatal.rs:* +0x* fp=0x* sp=0x* pc=0x*
...
goroutine 1 gp=0x* m=* mp=0x* [running]:
...
core::panicking::panic_fmt(...)
...
gosched::start::main_goroutine(...)
...
goroutine * gp=0x* m=nil [chan receive]:
gosched::arch::switch::mcall(...)
...
goroutine * gp=0x* m=* mp=0x* [running]:
...
gosched: *
TEXT
ends 2 deadlock -- traceback=none <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

gosched: *
TEXT

# ---- Nobody can run ------------------------------------------------------------------------------

blocked_main() {
    cat <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
gosched::chan::receiver::Receiver<T>::recv(...)
	kernel/src/chan/receiver.rs:*
exits::receive(...)
	kernel/examples/exits.rs:* +0x*
exits::deadlock(...)
	kernel/examples/exits.rs:* +0x*
exits::main(...)
	kernel/examples/exits.rs:*

gosched: *
TEXT
}
for cpus in 1 2 4 8; do SMP=$cpus ends 2 deadlock < <(blocked_main); done
for words in sched=single sched=global gomaxprocs=1 preempt=off chaos=50; do
    ends 2 deadlock -- "$words" < <(blocked_main)
done
SMP=1 ends 2 deadlock-all <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [sync.WaitGroup.Wait]:
gosched::sync::waitgroup::WaitGroup::wait(...)
...
goroutine 2 [sync.Mutex.Lock]:
gosched::sync::mutex::Mutex<T>::lock(...)
...
exits::deadlock_of_all::{{closure}}(...)
	kernel/examples/exits.rs:*
created by exits::deadlock_of_all in goroutine 1
	kernel/examples/exits.rs:* +0x*

goroutine 3 [chan send]:
gosched::chan::sender::Sender<T>::send(...)
...
goroutine 4 [chan receive]:
gosched::chan::receiver::Receiver<T>::recv(...)
...
gosched: *
! goroutine 5 *
TEXT
# The numbers depend on the Ps that main ran on, and the order on the numbers.
ends 2 deadlock-all <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [sync.WaitGroup.Wait]:
...
goroutine * [*]:
...
goroutine * [*]:
...
goroutine * [*]:
...
gosched: *
! *unavailable*
TEXT
for cpus in 1 4; do
    SMP=$cpus ends 2 deadlock-sleepers <<'TEXT'
awake
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
...
goroutine * [chan receive]:
...
gosched: *
TEXT
    SMP=$cpus ends 2 goexit <<'TEXT'
the other one ends
fatal error: no goroutines (main called runtime.Goexit) - deadlock!

gosched: *
TEXT
    SMP=$cpus ends 2 goexit-blocked <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine * [chan receive]:
...
created by exits::goexit_others_block in goroutine 1
	kernel/examples/exits.rs:* +0x*

gosched: *
TEXT
    SMP=$cpus ends 2 locked-main <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive, locked to thread]:
...
gosched: *
TEXT
    SMP=$cpus ends 2 locked-other <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
...
goroutine * [chan receive, locked to thread]:
...
gosched: *
TEXT
done
ends 2 deadlock-self <<'TEXT'
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [sync.Mutex.Lock]:
gosched::sync::mutex::Mutex<T>::lock(...)
	kernel/src/sync/mutex.rs:*
exits::lock_twice(...)
	kernel/examples/exits.rs:* +0x*
...
gosched: *
TEXT

# ---- Kernel command lines that are refused -------------------------------------------------------

keys='gomaxprocs sched preempt slice_us seed chaos schedtrace scheddetail traceback trace run args faults'
refused "unknown key \"bogus\"; allowed: $keys" bogus=1
refused "unknown key \"Seed\"; allowed: $keys" Seed=1
refused '"preempt" is not key=value' preempt
refused 'sched="fast" is not allowed; allowed: gmp, global or single' sched=fast
refused 'preempt="" is not allowed; allowed: async, coop or off' preempt=
refused 'gomaxprocs="5" is not allowed; allowed: a number from 1 to 4, the number of CPUs' \
    gomaxprocs=5
refused 'gomaxprocs="0" is not allowed; allowed: a number from 1 to the number of CPUs' gomaxprocs=0
for value in 1 99 1e3 -100 18446744073709551616; do
    refused "slice_us=\"$value\" is not allowed; allowed: a number of microseconds from 100" \
        "slice_us=$value"
done
refused 'chaos="101" is not allowed; allowed: a percentage from 0 to 100' chaos=101
refused 'seed="-1" is not allowed; allowed: a number from 0 to 18446744073709551615' seed=-1
refused 'scheddetail="2" is not allowed; allowed: 0 or 1' scheddetail=2
refused 'traceback="loud" is not allowed; allowed: none, single, all or system' traceback=loud
refused 'seed is given twice; once is allowed' seed=1 chaos=1 seed=1
refused '*seed*' 'seed="1"2"'
refused '*args*' 'args="return\"'
refused '*control*' $'args=\001'
SMP=1 refused 'gomaxprocs="2" is not allowed; allowed: a number from 1 to 1, the number of CPUs' \
    gomaxprocs=2
# The ends of what is allowed are.
ends 0 return -- gomaxprocs=4 slice_us=100 chaos=100 seed=18446744073709551615 \
    <<<'exits: main returns'

sum_up
