# shellcheck shell=bash
# What sweep.sh, shrink.sh and soak have in common: sourced, not run, in the root of the repository.
#
# The suites are built once and copied, so that no run changes while the sources do. A run is what
# these say:
#
#   suite      its name
#   options    run-qemu.sh's: --smp 4 --replay 7
#   arguments  the image's: --nocapture
#   words      the kernel's: chaos=30 slice_us=300
#
# Its folder has `again`, which is the command that was run, and what came of it: console, err,
# status and the traces. A folder that is kept has the image, the boot stage and the runner as well:
# another build is another run, however small the change, since only the same instructions take the
# same time.

# Only what a run says decides it. The caller has read what it wants of these.
unset SMP MEM ACCEL MACHINE ICOUNT REPLAY GDB GDB_PORT FILES TRACE TIMEOUT RELEASE VERBOSE CMDLINE BOOT CPU ISO STAGE

failures=target/failures
suite='' options=() arguments=() words=()

# Suites of the scheduler and of what parks, which read the mode (sched=, preempt=) and assert what
# must hold in it.
channels=(chan chan_ops chan_values chan_timers chan_close)
selects=(select_go select_park select_object select_nil)
syncs=(sync_mutex sync_rwlock sync_condvar sync_once sync_groups sync_permits)
# shellcheck disable=SC2034 # for who sources this
mode_suites=(sched locked world goroutine park local coro
    "${channels[@]}" "${selects[@]}" "${syncs[@]}")

# Builds and copies what runs need. Sets copies, and suites: the names.
copy_suites() { # FOLDER [SUITE...]
    local paths path name tests=()
    copies=$1
    for name in "${@:2}"; do tests+=(--test "$name"); done
    mkdir -p -- "$copies/images"
    cp -- run-qemu.sh replay.c "$copies/"
    path=$(.ci/executables.sh build --release --package gosched-boot)
    cp -- "$path" "$copies/boot"
    paths=$(.ci/executables.sh test --no-run --package gosched "${tests[@]}")
    suites=()
    while IFS= read -r path; do
        name=${path##*/}
        name=${name%-*}
        # cargo builds the programs too.
        [[ $path == */deps/* && -f kernel/tests/$name.rs ]] || continue
        cp -- "$path" "$copies/images/$name"
        suites+=("$name")
    done <<<"$paths"
    # cargo builds in any order.
    mapfile -t suites < <(printf '%s\n' "${suites[@]}" | sort)
}

# Sets arguments. Each test is named before it runs, so that the log of a machine that died says where.
suite_arguments() { # CPUS
    arguments=(--nocapture)
    # By itself it does ten million operations on eight CPUs and a million on fewer. A replay with chaos
    # takes half a minute for a million.
    if [[ $suite == accounting ]] && (($1 >= 8)); then arguments+=(ops=1000000); fi
}

# Makes the folder of a run: `again` beside links to what it needs, and what shrink.sh must know.
prepare_run() { # FOLDER
    mkdir -p -- "$1"
    ln -sf -- "$copies/run-qemu.sh" "$copies/replay.c" "$copies/boot" "$1/"
    ln -sf -- "$copies/images/$suite" "$1/image"
    declare -p suite options arguments words >"$1/setting"
    cat >"$1/again" <<SCRIPT
#!/usr/bin/env bash
# The run of $suite that is described beside this. Options of run-qemu.sh may follow: --gdb --timeout 0
cd "\$(dirname "\${BASH_SOURCE[0]}")" || exit
exec ./run-qemu.sh --stage boot --files . $(quoted "${options[@]}") "\$@" \\
    image $(quoted "${arguments[@]}") -- $(quoted "${words[@]}") </dev/null
SCRIPT
    chmod +x "$1/again"
}

quoted() { # WORD...
    (($# == 0)) || printf '%q ' "$@" | sed 's/ $//'
}

# Runs it; the status is that of the image.
run_suite() { # FOLDER
    prepare_run "$1"
    "$1/again" >"$1/console" 2>"$1/err" &
    await_run
    printf '%d\n' "$run_status" >"$1/status"
    return "$run_status"
}

# Waits for what was put into the background last. Sets run_status. A trap of the caller's runs at
# once, and may end the run by run_pid; only then is there more to wait for.
run_pid='' run_status=0
await_run() {
    run_pid=$! run_status=0
    wait "$run_pid" || run_status=$?
    while kill -0 "$run_pid" 2>/dev/null; do wait "$run_pid" || run_status=$?; done
    run_pid=''
}

# The first test that failed, if the image got so far as to say.
failed_test() { # FOLDER
    sed -n 's/^test \([^ ]*\)\( - should panic\)\? \.\.\. FAILED$/\1/p;T;q' "$1/console"
}

# What went wrong, for a line.
verdict() { # FOLDER
    local name status
    name=$(failed_test "$1") status=$(<"$1/status")
    case $status in
    124) name="${name:-$(sed -n 's/^test \(.*\) \.\.\.$/\1/p' "$1/console" | tail -n 1)} (time limit)" ;;
    125) name="${name:-$(sed -n 's/^test \(.*\) \.\.\.$/\1/p' "$1/console" | tail -n 1)} (crash)" ;;
    esac
    printf '%s' "${name:-status $status}"
}

# Passed and failed tests of a run, as two words.
counts() { # FOLDER
    awk -v status="$(<"$1/status")" '
        /^test result: / { passed += $4; failed += $6 }
        END { print passed + 0, failed + (status != 0 && failed == 0) }' "$1/console"
}

# Whether two runs are the same. Where the host stopped a machine for its time is chance.
same_run() { # FOLDER FOLDER
    local file limit=()
    cmp -s -- "$1/status" "$2/status" || return
    if [[ $(<"$1/status") == 124 ]]; then
        limit=(-n "$(stat -c %s -- "$1/console" "$2/console" | sort -n | head -n 1)")
    fi
    cmp -s "${limit[@]}" -- "$1/console" "$2/console" || return
    for file in "$1"/*.trace; do
        [[ ! -f $file ]] || cmp -s -- "$file" "$2/${file##*/}" || return
    done
}

# Keeps the folder of a run with all it needs, and runs it again. Sets kept and again: a replay's is
# yes or NO, of others how many of three runs failed.
keep_failure() { # FOLDER [WHERE]
    local second=$1.second replay=0 try n=0 option smp=x seed=plain
    for option in "${!options[@]}"; do
        case ${options[option]} in
        --smp) smp=${options[option + 1]} ;;
        --replay) replay=1 seed=${options[option + 1]} ;;
        esac
    done
    for option in "${words[@]}"; do
        [[ $option != seed=* ]] || seed=plain-${option#seed=}
    done
    kept=${2:-$failures/$seed-$smp-$suite}
    mkdir -p -- "$failures"
    rm -rf -- "$kept"
    cp -rL -- "$1" "$kept"
    if ((replay)); then
        again_into "$second"
        again=NO
        ! same_run "$kept" "$second" || again=yes
        # Beside the first, what came instead.
        [[ $again == yes ]] || cp -r -- "$second" "$kept/other"
    else
        for try in 1 2 3; do
            ((!${interrupted:-0})) || break
            again_into "$second"
            [[ $(<"$second/status") == 0 ]] || n=$((n + 1))
        done
        again="$n of $try"
    fi
    rm -rf -- "$second"
    printf 'again: %s\n' "$again" >"$kept/had-again"
}

# The kept run, with its files in another folder.
again_into() { # FOLDER
    rm -rf -- "$1"
    mkdir -p -- "$1"
    "$kept/again" --files "$(realpath -- "$1")" >"$1/console" 2>"$1/err" &
    await_run
    printf '%d\n' "$run_status" >"$1/status"
}
