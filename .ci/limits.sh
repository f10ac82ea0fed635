#!/usr/bin/env bash
# To the limits, and beyond them: CPUs, memory, addresses, goroutines, timers, values, names.
#
#     .ci/limits.sh [quick|all]      quick if not given: a minute or so; all: some ten
#
# The programs and suites check their results themselves (kernel/examples/limits.rs,
# kernel/tests/limits*.rs); here stands what they say last, and what the machine says when it is
# too small. `all` takes up to 9 GiB of the host's memory. With 64 CPUs on few of the host's the
# watchdog may name one that the host did not run for a second: that is not compared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=.ci/boots.sh
source .ci/boots.sh
mode=${1:-quick}
[[ $mode == quick || $mode == all ]] || {
    printf 'usage: .ci/limits.sh [quick|all]\n' >&2
    exit 2
}
export limit_s=280

# ---- Suites --------------------------------------------------------------------------------------

# All tests of an image pass, and none says that it does not apply.
suite() { # NAME CPUS MEMORY ARGUMENT...
    local name=$1 SMP=$2 MEM=$3 image
    export SMP MEM
    image=$(.ci/executables.sh test --no-run --package gosched --test "$name" | grep "/$name-")
    boot "${@:4}"
    why=''
    if ((status != 0)); then
        why="status $status"
    elif ! grep -q '^test result: ok\. [1-9]' "$dir/out"; then
        why='no test ran'
    elif grep -q '^skipped:' "$dir/out"; then
        why='a test does not apply'
    fi
    result "$name ${*:4} SMP=$SMP MEM=$MEM" "$why"
}

suites() { # CPUS MEMORY
    suite limits "$@"
    suite limits_waits "$@"
    suite limits_names "$@"
}

suites 4 512M
if [[ $mode == all ]]; then
    suites 1 512M
    suites 8 512M
    suite limits 4 6G --ignored a_million
    suite limits 4 512M --ignored ten_million
    suite limits 4 1G --ignored fifty_thousand
fi

# ---- CPUs ----------------------------------------------------------------------------------------

image=$(.ci/executables.sh build --package gosched --example limits)

cpus() { # THERE USED [APIC-IDS]: those with the ids are left out
    {
        printf '...\n'
        if (($# > 2)); then
            printf 'runtime: CPUs with APIC ids %s stay off: %s\n...\n' \
                "$3" 'more CPUs than this kernel takes'
        else
            printf '! runtime: *stay off*\n'
        fi
        printf 'limits: all of %d CPUs took part\n' "$2"
    } >"$dir/cpus"
    SMP=$1 ends 0 cpus "$2" <"$dir/cpus"
}

for n in 1 2 3 8; do cpus "$n" "$n"; done
if [[ $mode == all ]]; then
    for n in 5 16 32 63 64; do cpus "$n" "$n"; done
    cpus 128 64 64-127
    cpus 255 64 64-254
fi
cpus 65 64 64

# ---- Memory --------------------------------------------------------------------------------------

memory() { # MIB CPUS
    MEM=${1}M SMP=$2 ends 0 memory "$1" <<TEXT
...
limits: * of $1 MiB in blocks, then * goroutines
TEXT
}

memory 24 1
memory 512 4
if [[ $mode == all ]]; then
    for mib in 32 64 128; do memory "$mib" 4; done
    memory 1024 8
    memory 4096 4
    memory 8192 4
fi

# CPUs that there is no memory for are left out, and the program has what it needs.
MEM=24M SMP=32 ends 0 memory 24 <<'TEXT'
...
runtime: CPUs * to 31 stay off: not enough memory
...
limits: * of 24 MiB in blocks, then * goroutines
TEXT

# Too little to begin with is refused by the script, since QEMU does not look.
too_little() { # MEMORY
    MEM=$1 boot memory 1
    why=''
    ((status == 2)) || why="status $status instead of 2"
    grep -q "^run-qemu.sh: --mem $1 is too little: image and boot stage have " "$dir/err" ||
        why="no word of it"
    result "MEM=$1" "$why"
}
for size in 1M 8M 12M; do too_little "$size"; done

# More goroutines than there is memory for.
MEM=256M ends 2 goroutines 1000000 <<'TEXT'
runtime: cannot allocate * bytes
        total * KiB
...
fatal error: out of memory
...
gosched: *
TEXT

# More stacks than there are addresses for.
MEM=1G ends 0 addresses <<'TEXT'
limits: out of memory for a goroutine with 17179865088 bytes of stack
limits: out of memory for a goroutine with 17179865088 bytes of stack
limits: 959 stacks of 16 GiB
TEXT

# ---- Texts ---------------------------------------------------------------------------------------

# Sets why if the console holds anything that a terminal obeys, or a line that is longer than this.
plain() { # LENGTH
    local obeyed='[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]'
    if LC_ALL=C grep -qP "$obeyed" "$dir/out"; then
        why="${why:-something on the console is for the terminal}"
    elif (($(LC_ALL=C wc --max-line-length <"$dir/out") > $1)); then
        why="${why:-a line without end}"
    fi
}

# What shows goroutines shows their names as pieces of lines.
default=$(.ci/executables.sh build --package gosched --bin gosched)
names() { # COMMAND LENGTH PATTERN COUNT: at least so many lines are like the pattern
    local image=$default
    boot -- "run=run names; $1"
    why=''
    ((status == 0)) || why="status $status"
    (($(grep -c -- "$3" "$dir/out") >= $4)) || why="${why:-not $4 lines like $3}"
    plain "$2"
    result "names; $1" "$why"
}
names ps 1000 'names::main kernel/image/.*:[0-9]* in [0-9]*$' 14
# A word that some stack still has may pass for a handle of one of them.
names 'waits -d' 1000 '^    goroutine [0-9]* (.*) \[park, .*' 7
# Whole, as Go has them.
names 'bt all' 110000 '^goroutine [0-9]* \[park\] {name: .*}:$' 14

# Arguments of any bytes: taken whole, or refused in one line.
says() { # STATUS TEXT KERNEL-WORD
    local name
    printf '%s\n' "$2" >"$dir/expected"
    boot -- "$3"
    compare "$1" "$dir/expected"
    plain 2000
    printf -v name '%q' "$3"
    result "${name:0:60}" "$why"
}
refused='gosched: bad kernel command line:'
says 2 "$refused control character '\\u{1b}'" $'args="\e[2J"'
says 2 "$refused control character '\\u{7f}'" $'args="a\x7f"'
says 2 "$refused control character '\\u{9b}'" $'args="\u009b31m"'
says 2 "$refused byte 6 is not UTF-8" $'args=\xff\xfe'
says 2 "$refused unknown key \"\\u{202e}a\"; allowed: *" $'\u202ea=1'
says 1 'limits: no scenario "größe\u{202e}\n'"'"'\\"' $'args="größe\u202e\n\'\\\\"'
says 1 "limits: no scenario \"$(printf 'x%.0s' {1..1500})\"" "args=$(printf 'x%.0s' {1..1500})"

sum_up
