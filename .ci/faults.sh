#!/usr/bin/env bash
# How an image ends by the machine: stacks that overflow, exceptions of the CPU, no memory
# (kernel/examples/exits.rs). Each check is one boot; what it should print stands below it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
image=$(.ci/executables.sh build --package gosched --example exits)

# ---- Stacks --------------------------------------------------------------------------------------

overflow() { # GOROUTINE
    cat <<TEXT
runtime: goroutine stack exceeds *-byte limit
runtime: sp=0xffffa0* stack=[0xffffa0*, 0xffffa0*]
fatal error: stack overflow

goroutine $1 [running]:
TEXT
    frames 50
    printf '...* frames elided...\n'
}

frames() { # COUNT
    local i
    for ((i = 0; i < $1; i++)); do
        printf 'exits::descend(...)\n\tkernel/examples/exits.rs:* +0x*\n'
    done
}

# 48 calls and the two functions that began it are the other 50.
ends 2 overflow < <(
    overflow 1
    frames 48
    cat <<'TEXT'
exits::SCENARIOS::{{closure}}(...)
	kernel/examples/exits.rs:*
exits::main(...)
	kernel/examples/exits.rs:*

gosched: *
TEXT
)
SMP=1 ends 2 overflow-goroutine < <(
    overflow 2
    frames 49
    cat <<'TEXT'
exits::overflow_in_goroutine::{{closure}}(...)
	kernel/examples/exits.rs:*
created by exits::overflow_in_goroutine in goroutine 1
	kernel/examples/exits.rs:* +0x*

gosched: *
TEXT
)
ends 2 overflow-frame <<'TEXT'
runtime: goroutine stack exceeds *-byte limit
runtime: sp=0xffffa0* stack=[0xffffa0*, 0xffffa0*]
fatal error: stack overflow

goroutine 1 [running]:
exits::huge_frame(...)
	kernel/examples/exits.rs:* +0x*
...
rip    0xffffffff8*
...
gosched: *
TEXT

# ---- Exceptions ----------------------------------------------------------------------------------

faults() { # SCENARIO GOROUTINE FUNCTION <SUMMARY: the exception, and who had it; then registers
    local scenario=$1
    ends 2 "$scenario" < <(
        cat <<TEXT
fatal error: unexpected exception
$(cat)

goroutine $2 [running]:
$3(...)
...

rax    0x*
rbx    0x*
rcx    0x*
rdx    0x*
rdi    0x*
rsi    0x*
rbp    0x*
rsp    0x*
r8     0x*
r9     0x*
r10    0x*
r11    0x*
r12    0x*
r13    0x*
r14    0x*
r15    0x*
rip    0x*
rflags 0x*
cs     0x8
fs     0x0
gs     0x0

gosched: *
TEXT
    )
}

faults read-null 1 exits::read <<'TEXT'
[page fault (#PF vector 14), error code 0x0: read of unmapped memory at 0x0]
TEXT
faults write-text 1 exits::write <<'TEXT'
[page fault (#PF vector 14), error code 0x3: write to protected memory at 0xffffffff80*]
TEXT
faults write-rodata 1 exits::write <<'TEXT'
[page fault (#PF vector 14), error code 0x3: write to protected memory at 0xffffffff80*]
TEXT
faults jump-data 1 0xffffc0* <<'TEXT'
[page fault (#PF vector 14), error code 0x11: execute of protected memory at 0xffffc0*]
TEXT
faults jump-wild 1 0x12345678 <<'TEXT'
[page fault (#PF vector 14), error code 0x10: execute of unmapped memory at 0x12345678]
TEXT
faults undefined 1 exits::undefined_instruction <<<'[invalid opcode (#UD vector 6)]'
faults divide 1 exits::divide_by_zero <<<'[divide error (#DE vector 0)]'
faults general 1 exits::read <<<'[general protection fault (#GP vector 13), error code 0x0]'
faults breakpoint 1 exits::breakpoint <<<'[breakpoint (#BP vector 3)]'
faults lost-stack 1 exits::lose_the_stack <<'TEXT'
[page fault (#PF vector 14), error code 0x2: write to unmapped memory at 0xffff9998fffffff8]
TEXT
SMP=1 faults fault-goroutine 2 exits::read <<'TEXT'
[page fault (#PF vector 14), error code 0x0: read of unmapped memory at 0x10]
TEXT
# Registers are those of the fault, and the frames lead to the program.
ends 2 undefined <<'TEXT'
...
exits::undefined_instruction(...)
	kernel/examples/exits.rs:* +0x*
exits::main(...)
	kernel/examples/exits.rs:*

...
r15    0x1122334455667788
...
TEXT

# ---- No memory -----------------------------------------------------------------------------------

out_of_memory() { # FUNCTION...
    cat <<'TEXT'
runtime: cannot allocate * bytes
        total * KiB
         free * KiB
    available * KiB
  heap mapped * KiB
    heap used * KiB
       stacks * KiB
system stacks * KiB
  page tables * KiB
    emergency * KiB
  frame table * KiB
fatal error: out of memory

goroutine * [*]:
...
TEXT
    local function
    for function in "$@"; do
        printf '%s(...)\n\tkernel/examples/exits.rs:*\n...\n' "$function"
    done
    printf 'gosched: *\n'
}

for memory in 64M 128M; do
    export MEM=$memory
    for cpus in 1 4; do
        SMP=$cpus ends 2 heap < <(out_of_memory exits::use_up_heap exits::main)
        SMP=$cpus ends 2 heap-small < <(out_of_memory exits::use_up_heap_by_little exits::main)
        # Whoever asks for the last byte: main for a stack, or a goroutine for a channel.
        SMP=$cpus ends 2 goroutines < <(out_of_memory)
        SMP=$cpus ends 2 stacks < <(out_of_memory)
    done
done
unset MEM

sum_up
