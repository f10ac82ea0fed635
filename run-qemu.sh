#!/usr/bin/env bash
# Boots one image of this kernel under QEMU and ends with the image's own exit status. It is also
# cargo's runner (.cargo/config.toml), so `cargo run`, `cargo test` and `cargo bench` come here.
#
# How the guest talks to this script:
#   console   COM1, on this script's stdin and stdout
#   files     COM2, named pieces of files (kernel/src/observe/hostfile.rs); only with --files, --trace
#   status    the guest writes "exit N\n" to the debug port 0xe9, which lands in a file, and then
#             stores 0x10 in the isa-debug-exit device, which makes QEMU end with status 33
# Only both together count as an end: QEMU's own status is 0 after a triple fault (with -no-reboot)
# and 1 when it is misused, so neither number alone says that the guest got to its end.
#
# The monitor is QMP over two FIFOs: unlike a socket, bash can read and write them by itself.
set -euo pipefail

readonly TRIPLE=x86_64-unknown-linux-gnu
readonly EXIT_USAGE=2 EXIT_TIMEOUT=124 EXIT_CRASH=125
readonly QEMU=qemu-system-x86_64 QEMU_STATUS_OF_GUEST_EXIT=33
readonly BOOT_BYTES=$((3 << 20)) # the first MiB, the boot stage behind it, and what it allocates
readonly GRUB_MODULES=/usr/lib/grub UEFI=/usr/share/ovmf/OVMF.fd # where Debian has them
readonly RTC_BASE=2024-01-01 # the date at boot under --icount and --replay

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly root
tmp='' qemu_pid='' filter_pid='' receiver_pid='' tty_state=''

say() { printf 'run-qemu.sh: %s\n' "$*" >&2; }
die() { # STATUS TEXT...: one line, and the end
    local status=$1
    shift
    say "$@"
    exit "$status"
}
usage_error() { die "$EXIT_USAGE" "$* (see run-qemu.sh --help)"; }

show_help() {
    cat <<'TEXT'
usage: ./run-qemu.sh [options] [IMAGE [args...]] [-- kernel command line]

Without IMAGE, builds the kernel and boots its default image. The words of the kernel command line
are key=value. The args of an IMAGE (what cargo gives its runner) reach it as args="...". An IMAGE
that ends in .iso is what --iso wrote: its command line is in it.

option         variable   default  meaning
--smp N        SMP        4        CPUs, 1 to 255; QEMU's topology may follow: 6,sockets=2,cores=3
--mem SIZE     MEM        512M     memory, in M or G
--accel A      ACCEL      tcg      tcg (one host thread for each CPU), or kvm (where it is sound)
--machine M    MACHINE    q35      q35, pc or microvm
--cpu C        CPU        max      QEMU's -cpu: qemu64, or max,-pdpe1gb; host with kvm
--boot B       BOOT       pvh      pvh (QEMU's own loader), or GRUB from a disk: bios or uefi; the
                                   default for an .iso is bios
--iso FILE     ISO                 write a disk image for BIOS and UEFI there (it is a CD's, and
                                   good for a stick too), with the kernel command line as given,
                                   and boot nothing
--icount       ICOUNT=1            one instruction = 1 ns of guest time; repeatable; one host thread
--replay SEED  REPLAY              the same run, bit for bit, for the same SEED, on all CPUs
--gdb          GDB=1               wait for gdb before the first instruction
--gdb-port N   GDB_PORT   1234     the port of this machine where gdb is waited for
--files DIR    FILES               where files go that the image writes (profiles, traces)
--trace FILE   TRACE               write the execution trace there, for: go tool trace FILE
--timeout S    TIMEOUT    0, 600   seconds until the run is ended, 0 for none; the default is none
                                   if stdin is a terminal or gdb is wanted, else 600
--release      RELEASE=1           build the default image in the release profile
--stage FILE   STAGE               the boot stage, else it is built
--verbose      VERBOSE=1           show QEMU's command line
--help                             this text
               CMDLINE             more kernel command line, before that after --

If stdin is a terminal it is the serial console, and every key goes to the image: Ctrl-C ends what
runs there, Ctrl-\ shows all goroutines. Ctrl-A is QEMU's: Ctrl-A x ends the machine, Ctrl-A b sends
a break, Ctrl-A a a Ctrl-A. If stdin is no terminal, it is not read, and the image ends by itself:
`run=exit` is added to the command line, or `; exit` to a `run=` given there.

exit status    that of the image: 0; 1 for failed tests; 2 for panic, deadlock, a fatal error
               or a refused command line
               4 if even the report of a failing report fails (as in Go)
               2 also for a mistake in the arguments of this script
               124 for the time limit (registers of all CPUs are on stderr)
               125 if the machine crashed or could not be run
               130 after Ctrl-C or Ctrl-A x
TEXT
}

# ---- Options -----------------------------------------------------------------------------------

read_environment() {
    smp=${SMP:-4} mem=${MEM:-512M} accel=${ACCEL:-tcg} machine=${MACHINE:-q35}
    cpu=${CPU:-} boot=${BOOT:-} iso_file=${ISO:-}
    replay=${REPLAY:-} time_limit_s=${TIMEOUT:-} gdb_port=${GDB_PORT:-1234}
    files_dir=${FILES:-} trace_file=${TRACE:-} boot_elf=${STAGE:-}
    local name
    for name in ICOUNT GDB RELEASE VERBOSE; do
        [[ ${!name:-0} == [01] ]] || usage_error "$name must be 0 or 1, not '${!name}'"
    done
    icount=${ICOUNT:-0} gdb=${GDB:-0} release=${RELEASE:-0} verbose=${VERBOSE:-0}
    [[ ${NET:-0} == 0 ]] || usage_error "NET is not there yet"
}

# Options, then IMAGE and its args, then the kernel's words behind `--`. Sets image, image_args and
# kernel_words.
read_arguments() {
    image='' image_args=() kernel_words=()
    local option value
    while (($# > 0)) && [[ $1 == -?* && $1 != -- ]]; do
        option=${1%%=*}
        case $option in
        --smp | --mem | --accel | --machine | --cpu | --boot | --iso | --stage | --replay | \
            --timeout | --gdb-port | --files | --trace)
            if [[ $1 == *=* ]]; then
                value=${1#*=}
            else
                (($# > 1)) || usage_error "$option needs a value"
                value=$2
                shift
            fi
            ;;
        *)
            value=''
            [[ $1 != *=* || $option != --* ]] || option=$1
            ;;
        esac
        shift
        take_option "$option" "$value"
    done
    if (($# > 0)) && [[ $1 != -- ]]; then
        [[ -n $1 ]] || usage_error "the name of the image is empty"
        image=$1
        shift
    fi
    while (($# > 0)) && [[ $1 != -- ]]; do
        image_args+=("$1")
        shift
    done
    (($# == 0)) || kernel_words=("${@:2}")
}

take_option() { # OPTION VALUE
    case $1 in
    --smp) smp=$2 ;;
    --mem) mem=$2 ;;
    --accel) accel=$2 ;;
    --machine) machine=$2 ;;
    --cpu) cpu=${2:-none} ;;
    --boot) boot=${2:-none} ;;
    --iso) iso_file=${2:-/} ;;
    --replay) replay=${2:-none} ;;
    --timeout) time_limit_s=$2 ;;
    --gdb-port) gdb_port=$2 ;;
    --files) files_dir=${2:-none} ;;
    --trace) trace_file=${2:-none} ;;
    --stage) boot_elf=${2:-none} ;;
    --icount) icount=1 ;;
    --gdb) gdb=1 ;;
    --release) release=1 ;;
    --verbose) verbose=1 ;;
    --help | -h)
        show_help
        exit 0
        ;;
    --net) usage_error "$1 is not there yet" ;;
    *) usage_error "unknown option '$1'" ;;
    esac
}

check_options() {
    local topology='(,(sockets|dies|cores|threads|maxcpus)=[1-9][0-9]*)*'
    { [[ $smp =~ ^([1-9][0-9]{0,2})${topology}$ ]] && ((BASH_REMATCH[1] <= 255)); } ||
        usage_error "--smp must be 1 to 255, with QEMU's topology if any, not '$smp'"
    [[ $mem =~ ^[1-9][0-9]{0,6}[MG]$ ]] || usage_error "--mem must be like 512M or 4G, not '$mem'"
    [[ $accel == tcg || $accel == kvm ]] || usage_error "--accel must be tcg or kvm, not '$accel'"
    [[ $machine =~ ^(q35|pc|microvm)$ ]] ||
        usage_error "--machine must be q35, pc or microvm, not '$machine'"
    [[ -z $cpu || $cpu =~ ^[[:alnum:]][[:alnum:]_.,+=-]*$ ]] ||
        usage_error "--cpu must be like qemu64 or max,-pdpe1gb, not '$cpu'"
    # The kernel's seed is a u64; bash counts to i64, so the number is compared as text.
    [[ -z $replay ]] || { [[ $replay =~ ^(0|[1-9][0-9]{0,19})$ ]] && is_u64 "$replay"; } ||
        usage_error "--replay must be a number below 2^64, not '$replay'"
    [[ -z $replay || $icount == 0 ]] ||
        usage_error "--replay counts instructions with a rate of its own: leave --icount out"
    [[ $accel != kvm || ($icount == 0 && -z $replay) ]] ||
        usage_error "--icount and --replay count instructions, which kvm cannot: use --accel tcg"
    if [[ -z $time_limit_s ]]; then
        time_limit_s=600
        if [[ -t 0 ]] || ((gdb)); then time_limit_s=0; fi
    fi
    [[ $time_limit_s =~ ^(0|[1-9][0-9]{0,5})$ ]] ||
        usage_error "--timeout must be whole seconds, not '$time_limit_s'"
    { [[ $gdb_port =~ ^[1-9][0-9]{0,4}$ ]] && ((gdb_port <= 65535)); } ||
        usage_error "--gdb-port must be 1 to 65535, not '$gdb_port'"
    check_files
    check_boot
    [[ $image != *=* || -f $image ]] ||
        usage_error "there is no image '$image'; kernel words come after --"
    [[ -z $image || (-f $image && -r $image) ]] || usage_error "there is no image '$image'"
    [[ -z $boot_elf || (-f $boot_elf && -r $boot_elf) ]] ||
        usage_error "there is no boot stage '$boot_elf'"
}

# Sets boot and boots_iso.
check_boot() {
    boots_iso=0
    if [[ $image == *.iso ]]; then
        boots_iso=1
        boot=${boot:-bios}
        [[ $boot != pvh ]] || usage_error "--boot pvh boots no disk: use bios or uefi"
        [[ -z $iso_file ]] || usage_error "--iso writes a disk image of a kernel, not of '$image'"
        [[ -z ${image_args[*]}${kernel_words[*]}${CMDLINE:-}$replay$trace_name ]] ||
            usage_error "'$image' has its kernel command line in it: give the words to --iso"
    fi
    [[ -z $boot || -z $iso_file ]] || usage_error "--iso boots nothing: leave --boot out"
    boot=${boot:-pvh}
    [[ $boot =~ ^(pvh|bios|uefi)$ ]] || usage_error "--boot must be pvh, bios or uefi, not '$boot'"
    [[ $machine != microvm || $boot == pvh ]] ||
        usage_error "--machine microvm has no firmware that starts GRUB: use --boot pvh"
    [[ -z $iso_file || (! -d $iso_file && -w $(dirname -- "$iso_file")) ]] ||
        usage_error "--iso cannot write to '$iso_file'"
}

# A trace is a file like the others, and the kernel is told its name. Sets files_dir and trace_name.
check_files() {
    trace_name=''
    if [[ -n $trace_file ]]; then
        trace_name=${trace_file##*/}
        is_file_name "$trace_name" ||
            usage_error "--trace: a file's name has letters, digits, '.', '_' and '-', not '$trace_file'"
        [[ -n $files_dir ]] || files_dir=$(dirname -- "$trace_file")
    fi
    [[ -z $files_dir || (-d $files_dir && -w $files_dir) ]] ||
        usage_error "there is no folder '$files_dir' to write to"
}

is_file_name() { # NAME: what the kernel may call a file (hostfile::is_name)
    [[ $1 =~ ^[[:alnum:]_-][[:alnum:]._-]{0,63}$ ]]
}

is_u64() { # DIGITS, no leading zero
    local max=18446744073709551615
    # shellcheck disable=SC2071 # it is the order of texts that is wanted
    ((${#1} < ${#max})) || [[ ${#1} == "${#max}" && ! $1 > $max ]]
}

# ---- Command line ------------------------------------------------------------------------------

# One word of the kernel's command line: key=value, the value in double quotes where it must be.
# A value that is in double quotes already is left as it is.
kernel_word() { # WORD
    local key=${1%%=*} value=${1#*=}
    if [[ $1 != *=* || $value =~ ^[[:alnum:]_.,:/+@%-]*$ || $value =~ ^\".*\"$ ]]; then
        printf '%s' "$1"
        return
    fi
    value=${value//\\/\\\\}
    printf '%s="%s"' "$key" "${value//\"/\\\"}"
}

# One word of args="...", quoted as a shell would want it.
image_arg() { # WORD
    if [[ $1 =~ ^[[:alnum:]_.,:/+@%=-]+$ ]]; then
        printf '%s' "$1"
    else
        printf "'%s'" "${1//\'/\'\\\'\'}"
    fi
}

# Cuts a text into words, where a part in double quotes is not cut. Adds them to kernel_words.
split_cmdline() { # TEXT
    local text=$1 word='^[[:space:]]*(([^[:space:]"]|"([^"\\]|\\.)*")+)'
    while [[ $text =~ $word ]]; do
        kernel_words+=("${BASH_REMATCH[1]}")
        text=${text:${#BASH_REMATCH[0]}}
    done
    [[ $text =~ ^[[:space:]]*$ ]] || usage_error "CMDLINE has a quote that does not end: '$text'"
}

# Sets cmdline, and cmdline_words one by one, from CMDLINE, kernel_words, image_args, --replay and
# whether stdin is a terminal. A disk image is for other places than this one's stdin.
make_cmdline() {
    local given=("${kernel_words[@]}") word words=() arg args=() has_run=0 has_seed=0
    kernel_words=()
    split_cmdline "${CMDLINE:-}"
    for word in "${kernel_words[@]}" "${given[@]}"; do
        case $word in
        seed=*) has_seed=1 ;;
        run=*)
            has_run=1
            [[ -t 0 || -n $iso_file ]] || word=$(end_after_run "$word")
            ;;
        esac
        words+=("$(kernel_word "$word")")
    done
    for arg in "${image_args[@]}"; do args+=("$(image_arg "$arg")"); done
    ((${#args[@]} == 0)) || words+=("$(kernel_word "args=${args[*]}")")
    [[ -z $replay ]] || ((has_seed)) || words+=("seed=$replay")
    [[ -t 0 || -n $iso_file ]] || ((has_run)) || words+=("run=exit")
    [[ -z $trace_name ]] || words+=("trace=$trace_name")
    cmdline=${words[*]} cmdline_words=("${words[@]}")
}

end_after_run() { # WORD: run=... with `exit` as its last command
    case $1 in
    run= | 'run=""') printf 'run=exit' ;;
    run=\"*\") printf '%s; exit"' "${1%\"}" ;;
    *) printf '%s; exit' "$1" ;;
    esac
}

# ---- What must be there ------------------------------------------------------------------------

# Installs Debian packages as root or by sudo; elsewhere names the command.
install_packages() { # PACKAGE...
    local as_root=() apt=(apt-get install --yes --no-install-recommends "$@")
    if ! command -v apt-get >/dev/null; then
        die "$EXIT_CRASH" "needed, and not installed here (Debian's names): $*"
    fi
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null ||
            die "$EXIT_CRASH" "needed: sudo apt-get update && sudo ${apt[*]}"
        as_root=(sudo -n)
    fi
    say "installing $*"
    { "${as_root[@]}" apt-get update --quiet && "${as_root[@]}" "${apt[@]}" --quiet; } >&2 ||
        die "$EXIT_CRASH" "could not install; needed: apt-get update && ${apt[*]}"
}

require_programs() {
    local packages=()
    command -v "$QEMU" >/dev/null || packages+=(qemu-system-x86)
    command -v cc >/dev/null || packages+=(gcc libc6-dev) # cargo links by it
    if [[ -n $iso_file || ($boot != pvh && $boots_iso == 0) ]]; then
        command -v grub-mkrescue >/dev/null || packages+=(grub-common)
        [[ -d $GRUB_MODULES/i386-pc ]] || packages+=(grub-pc-bin)
        [[ -d $GRUB_MODULES/x86_64-efi ]] || packages+=(grub-efi-amd64-bin)
        command -v xorriso >/dev/null || packages+=(xorriso)
        command -v mformat >/dev/null || packages+=(mtools)
    fi
    [[ $boot != uefi || -f $UEFI ]] || packages+=(ovmf)
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
    ((boots_iso)) || command -v cargo >/dev/null ||
        die "$EXIT_CRASH" "cargo is not in PATH; install Rust: https://rustup.rs"
}

# Builds one binary and prints the path of it. cargo tells the path itself, so that every way of
# choosing a target folder works.
cargo_build() { # ARGS...
    local json
    json=$(cd "$root" && cargo build --message-format=json-render-diagnostics "$@") ||
        die "$EXIT_CRASH" "cargo build $* failed"
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' <<<"$json" | tail -n 1
}

# Sets boot_elf and image where they were not given. cargo has released the lock of its build folder
# when it calls its runner, so building here is no deadlock; the boot stage goes where the image
# went, whichever way that folder was chosen.
build_images() {
    if ((boots_iso)); then
        image=$(realpath -- "$image")
        return
    fi
    if [[ -n $image ]]; then
        image=$(realpath -- "$image")
        [[ $image != */"$TRIPLE"/* ]] || export CARGO_TARGET_DIR=${image%%/"$TRIPLE"/*}
    else
        if [[ -n ${CARGO_TARGET_DIR:-} ]]; then
            CARGO_TARGET_DIR=$(realpath -m -- "$CARGO_TARGET_DIR")
            export CARGO_TARGET_DIR
        fi
        local profile=()
        ((!release)) || profile=(--release)
        image=$(cargo_build --package gosched --bin gosched "${profile[@]}")
    fi
    if [[ -n $boot_elf ]]; then
        boot_elf=$(realpath -- "$boot_elf")
    else
        boot_elf=$(cargo_build --quiet --release --package gosched-boot)
    fi
}

# QEMU puts the image at the end of memory without a look at what the boot stage has at its beginning:
# a machine with too little would come to nothing, without a word.
check_memory() {
    local bytes=${mem%[MG]} size
    [[ $mem == *M ]] && bytes=$((bytes << 20)) || bytes=$((bytes << 30))
    size=$(stat --format=%s -- "$image")
    ((bytes >= size + BOOT_BYTES)) ||
        die "$EXIT_USAGE" "--mem $mem is too little: image and boot stage have" \
            "$(((size + BOOT_BYTES + 0xfffff) >> 20))M"
}

# ---- The disk image ----------------------------------------------------------------------------

# GRUB's configuration. In single quotes a word of the command line is one of GRUB's; the boot stage
# undoes what GRUB then does to it (boot/src/multiboot2/quoting.rs).
grub_config() {
    local word
    printf '%s\n' 'serial --unit=0 --speed=115200' 'terminfo serial dumb' \
        'terminal_input serial' 'terminal_output serial' 'set timeout=0' 'menuentry gosched {'
    printf '    multiboot2 /boot/gosched-boot'
    for word in "${cmdline_words[@]}"; do printf " '%s'" "${word//\'/\'\\\'\'}"; done
    printf '\n    module2 /boot/kernel kernel\n}\n'
}

# Only the modules that are needed: what the firmware's part looks for, and what the menu says.
write_iso() { # FILE
    local modules=(normal multiboot2 serial terminfo iso9660)
    modules+=(part_{acorn,amiga,apple,bsd,dfly,dvh,gpt,msdos,plan,sun,sunpc})
    mkdir -p "$tmp/iso/boot/grub"
    cp -- "$boot_elf" "$tmp/iso/boot/gosched-boot"
    cp -- "$image" "$tmp/iso/boot/kernel"
    grub_config >"$tmp/iso/boot/grub/grub.cfg"
    grub-mkrescue --output="$tmp/disk.iso" --install-modules="${modules[*]}" --locales='' \
        --fonts='' --themes='' "$tmp/iso" >"$tmp/iso.log" 2>&1 ||
        die "$EXIT_CRASH" "grub-mkrescue failed: $(tail -n 1 "$tmp/iso.log")"
    rm -rf -- "$tmp/iso"
    [[ $tmp/disk.iso == "$1" ]] || mv -- "$tmp/disk.iso" "$1" ||
        die "$EXIT_CRASH" "could not write '$1'"
}

# ---- The machine -------------------------------------------------------------------------------

# Sets qemu_args.
make_qemu_args() {
    local dir=${tmp//,/,,} # QEMU's quoting of a comma in an option's value
    local mux='' console=stdio,signal=off
    # On a terminal QEMU's monitor shares the console: that is where Ctrl-A comes from.
    if [[ -t 0 ]]; then mux=,mux=on; fi
    # A pipe that nobody reads for a while is full, the guest sees a port that is not ready, and its
    # run is another from there on: in a replay the ports write to regular files, which take all.
    if [[ -n $replay && ! -t 0 ]]; then
        console=file,path=$dir/console
        : >"$tmp/console"
    fi
    # shellcheck disable=SC2054 # the commas belong to the values
    qemu_args=(
        -nodefaults -no-user-config -no-reboot -display none
        -smp "$smp" -m "$mem"
        -chardev "$console,id=console$mux" -serial chardev:console
        -chardev "file,id=status,path=$dir/status" -device "isa-debugcon,iobase=0xe9,chardev=status"
        -device "isa-debug-exit,iobase=0xf4,iosize=0x04"
        -chardev "pipe,id=monitor,path=$dir/monitor" -mon chardev=monitor,mode=control
    )
    case $machine in
    # Everything that a PC has and microvm can: the kernel decides what it uses.
    microvm) qemu_args+=(-machine "microvm,acpi=on,pic=on,pit=on,rtc=on,auto-kernel-cmdline=off") ;;
    *) qemu_args+=(-machine "$machine") ;;
    esac
    if [[ -n $replay ]]; then
        # The rate (2^N ns per instruction) decides where time slices end, and with that the
        # interleaving of the CPUs; the guest gets no number from the host.
        local digits=000000000$replay
        local rate=$((10#${digits: -9} % 6))
        qemu_args+=(-accel "tcg,thread=single" -cpu "${cpu:-max},-rdrand,-rdseed"
            -icount "shift=$rate,sleep=off" -rtc "clock=vm,base=$RTC_BASE"
            -name debug-threads=on -S)
    elif ((icount)); then
        qemu_args+=(-accel "tcg,thread=single" -cpu "${cpu:-max},-rdrand,-rdseed"
            -icount "shift=0,sleep=off" -rtc "clock=vm,base=$RTC_BASE")
    elif [[ $accel == kvm ]]; then
        qemu_args+=(-accel kvm -cpu "${cpu:-host}")
    else
        qemu_args+=(-accel "tcg,thread=multi" -cpu "${cpu:-max}")
    fi
    [[ -z $mux ]] || qemu_args+=(-mon chardev=console)
    [[ -z $files_dir ]] || qemu_args+=(
        -chardev "file,id=files,path=$dir/files" -device "isa-serial,index=1,chardev=files")
    ((!gdb)) || qemu_args+=(-gdb "tcp:127.0.0.1:$gdb_port" -S)
    [[ $boot != uefi ]] || qemu_args+=(-bios "$UEFI")
    if [[ $boot == pvh ]]; then
        qemu_args+=(-kernel "$boot_elf" -initrd "$image" -append "$cmdline")
    else
        qemu_args+=(-drive "if=ide,media=cdrom,format=raw,readonly=on,file=${disk//,/,,}" -boot d)
    fi
}

# A guest of a few bytes that must come to its end under KVM: /dev/kvm may exist and be an emulator
# that is slower than TCG, or die on a plain `int`. Loaded as firmware, it starts in real mode at
# the last 16 bytes of a 64 KiB image, with DS = 0 and IP = 0xfff0.
check_kvm() {
    [[ -r /dev/kvm && -w /dev/kvm ]] || die "$EXIT_CRASH" "no access to /dev/kvm: use --accel tcg"
    local status=0
    {
        head -c $((0xff00)) /dev/zero
        # ff00: mov word [0x0c], 0xff80    IVT entry 3: offset
        # ff06: mov word [0x0e], 0xf000    ... and segment
        # ff0c: mov ss, ax (AX = 0)        with SP below, a stack under the IVT's first page end
        # ff10: mov sp, 0x1000
        # ff13: mov ecx, 20000000          10 ms of silicon, a minute of an emulator
        # ff19: dec ecx
        # ff1b: jnz ff19
        # ff1d: int 3                      long form, cd 03
        printf '\xc7\x06\x0c\x00\x80\xff\xc7\x06\x0e\x00\x00\xf0\x31\xc0\x8e\xd0'
        printf '\xbc\x00\x10\x66\xb9\x00\x2d\x31\x01\x66\x49\x75\xfc\xcd\x03\xf4'
        head -c $((0xff80 - 0xff20)) /dev/zero
        # ff80: mov al, 0x10; out 0xf4, al; hlt
        printf '\xb0\x10\xe6\xf4\xf4'
        head -c $((0xfff0 - 0xff85)) /dev/zero
        # fff0: jmp 0xff00
        printf '\xe9\x0d\xff'
        head -c 13 /dev/zero
    } >"$tmp/kvm.bin"
    timeout --kill-after=1 3 "$QEMU" -nodefaults -no-user-config -no-reboot -display none \
        -machine pc -accel kvm -cpu host -m 16M -bios "$tmp/kvm.bin" \
        -device isa-debug-exit,iobase=0xf4,iosize=0x04 >"$tmp/kvm.log" 2>&1 </dev/null || status=$?
    ((status != QEMU_STATUS_OF_GUEST_EXIT)) || return 0
    ((status != EXIT_TIMEOUT && status != 137)) ||
        die "$EXIT_CRASH" "KVM is too slow here (a loop of 10 ms took over 3 s): use --accel tcg"
    die "$EXIT_CRASH" "KVM does not work here ($(head -n 1 "$tmp/kvm.log")): use --accel tcg"
}

# What keeps the host's scheduler out of a replay: see replay.c. Sets preload.
build_replay() {
    preload=$tmp/replay.so
    cc -O2 -shared -fPIC -o "$preload" "$root/replay.c" ||
        die "$EXIT_CRASH" "could not build replay.c, without which a replay is not one"
}

# ---- Running it --------------------------------------------------------------------------------

# Writes what comes from the second serial port to files: see kernel/src/observe/hostfile.rs. A file
# has its name when it is whole; what was cut off gets it at the end.
receive_files() {
    trap '' INT TERM HUP
    local word name length end rest path
    declare -A open=()
    while IFS=' ' read -r word name length end rest; do
        path=$files_dir/$name
        if [[ $name == "$trace_name" ]]; then path=$trace_file; fi
        case "$word $length $end$rest" in
        'end ; ') ;;
        data\ *\ \;) [[ $length =~ ^(0|[1-9][0-9]{0,3})$ ]] || continue ;;
        *) continue ;;
        esac
        is_file_name "$name" || continue
        if [[ -z ${open[$name]:-} ]]; then
            : >"$path.part" || return
            open[$name]=$path
        fi
        if [[ $word == data ]]; then
            head --bytes="$length" >>"$path.part" || return
        else
            mv -- "$path.part" "$path"
            unset "open[$name]"
        fi
    done
    for path in "${open[@]}"; do
        mv -- "$path.part" "$path"
        say "the file '$path' is cut off: the image did not write its end"
    done
}

# Ends what this script started and leaves the terminal as it was. Runs at every exit.
# shellcheck disable=SC2317 # called by trap
clean_up() {
    trap '' INT TERM HUP
    if [[ -n $qemu_pid ]] && kill -0 "$qemu_pid" 2>/dev/null; then
        printf '{"execute":"quit"}\n' >&3
        local tries=0
        while kill -0 "$qemu_pid" 2>/dev/null && ((++tries <= 40)); do sleep 0.05; done
        kill -KILL "$qemu_pid" 2>/dev/null || true
        wait "$qemu_pid" 2>/dev/null || true
    fi
    # What the filter has not written yet is still the guest's output.
    if [[ -n $filter_pid ]]; then wait "$filter_pid" 2>/dev/null || true; fi
    if [[ -n $receiver_pid ]]; then wait "$receiver_pid" 2>/dev/null || true; fi
    if [[ -n $tty_state ]]; then stty "$tty_state" 2>/dev/null || true; fi
    if [[ -n $tmp ]]; then rm -rf -- "$tmp"; fi
}

# What QEMU writes to a file, from its beginning, until QEMU ends. Ctrl-C ends this script and not
# what is still to be shown.
follow() { # FILE
    trap '' INT TERM HUP
    exec tail --bytes=+1 --follow --sleep-interval=0.05 --pid="$qemu_pid" -- "$1"
}

# Starts QEMU as a child in the background, because bash runs no trap while it waits for one in the
# foreground. What the guest prints goes through a filter: to a file or pipe without the carriage
# returns that a serial line wants; to a terminal as it is, since QEMU writes each byte by itself,
# which is four times as slow to a terminal as to a pipe.
start_qemu() {
    local input=/dev/null filter=(stdbuf -o0 tr -d '\r')
    if [[ -t 0 ]]; then
        tty_state=$(stty -g)
        input=/dev/stdin
    fi
    if [[ -t 1 ]]; then filter=(cat); fi
    mkfifo "$tmp/monitor.in" "$tmp/monitor.out" "$tmp/alive"
    # Opened for both directions, an end that is not there yet does not block.
    exec 3<>"$tmp/monitor.in" 4<>"$tmp/monitor.out"
    printf '{"execute":"qmp_capabilities"}\n' >&3
    # A replay starts when the monitor has nothing more to do: see replay.c.
    [[ -z $replay ]] || ((gdb)) || printf '{"execute":"cont"}\n' >&3
    if ((verbose)); then
        say "$QEMU$(printf ' %q' "${qemu_args[@]}")"
    fi
    if [[ -n $files_dir ]]; then
        if [[ -n $replay ]]; then : >"$tmp/files"; else mkfifo "$tmp/files"; fi
    fi
    if [[ -p $tmp/files ]]; then
        receive_files <"$tmp/files" 3>&- 4>&- &
        receiver_pid=$!
    fi
    exec {console}> >(trap '' INT TERM HUP && exec "${filter[@]}" 3>&- 4>&-)
    filter_pid=$!
    LD_PRELOAD=$preload "$QEMU" "${qemu_args[@]}" <"$input" >&"$console" 3>&- 4>&- 5>"$tmp/alive" &
    qemu_pid=$!
    if [[ -f $tmp/console ]]; then follow "$tmp/console" >&"$console" 3>&- 4>&- & fi
    exec {console}>&-
    if [[ -f $tmp/files ]]; then
        receive_files < <(follow "$tmp/files") 3>&- 4>&- &
        receiver_pid=$!
    fi
    exec 5<"$tmp/alive"
}

# Waits for QEMU's end or the time limit. Sets qemu_status, or exits with EXIT_TIMEOUT.
#
# QEMU holds the only writing end of a FIFO and never writes: reading it ends when QEMU does.
# `wait -n` for QEMU or a `sleep` was tried, but bash 5.2 can miss a child that ends just before it.
await_qemu() {
    local limit=() read_status=0
    ((time_limit_s == 0)) || limit=(-t "$time_limit_s")
    read -r "${limit[@]}" -u 5 || read_status=$?
    if ((read_status > 128)); then
        show_registers
        die "$EXIT_TIMEOUT" "the time limit of $time_limit_s s is over; the machine was stopped"
    fi
    qemu_status=0
    wait "$qemu_pid" || qemu_status=$?
    qemu_pid=''
}

# The next line of the monitor that contains TEXT; gives up after 5 s without a line.
monitor_line() { # TEXT
    local line
    while IFS= read -r -t 5 line <&4; do
        if [[ $line == *"$1"* ]]; then
            printf '%s' "$line"
            return
        fi
    done
    return 1
}

# The registers of all CPUs on stderr, without those of the FPU.
show_registers() {
    local reply
    printf '%s\n' '{"execute":"human-monitor-command","id":"registers","arguments":{"command-line":"info registers -a"}}' >&3
    if ! reply=$(monitor_line '"registers"'); then
        say "QEMU's monitor does not answer"
        return
    fi
    reply=${reply#*'"return": "'}
    printf '%b\n' "${reply%'", "id"'*}" | tr -d '\r' | grep -vE '^(FPR|XMM|YMM|FCW|Opmask)' >&2 || true
}

# The exit status by what QEMU and the guest left behind.
finish() {
    local record='' why
    if [[ -f $tmp/status ]]; then record=$(tail -n 1 "$tmp/status"); fi
    if ((qemu_status == QEMU_STATUS_OF_GUEST_EXIT)); then
        if [[ $record =~ ^exit\ ([0-9]{1,3})$ ]]; then exit "${BASH_REMATCH[1]}"; fi
        die "$EXIT_CRASH" "the machine ended without an exit status (debug port: '$record')"
    fi
    # QMP told the reason, unless QEMU never got so far: a line of ours ends the search.
    printf '{"event": "SHUTDOWN"}\n' >&4
    why=$(monitor_line '"SHUTDOWN"')
    case $why in
    *guest-reset*) why='triple fault or reset by the guest' ;;
    *guest-shutdown*) why='powered off by the guest' ;;
    *host-signal*)
        # Ctrl-C goes to QEMU and to this script, and QEMU may be the quicker one.
        if [[ -t 0 ]]; then exit 130; fi
        why='QEMU was ended by a signal'
        ;;
    *)
        # QEMU's own Ctrl-A x.
        if [[ -t 0 ]] && ((qemu_status == 0)); then exit 130; fi
        why='no reason given'
        ;;
    esac
    die "$EXIT_CRASH" "the machine crashed: $why; QEMU's status $qemu_status"
}

main() {
    read_environment
    read_arguments "$@"
    check_options
    require_programs
    build_images
    ((boots_iso)) || check_memory
    ((boots_iso)) || make_cmdline
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    tmp=$(mktemp -d "${TMPDIR:-/tmp}/gosched.XXXXXXXX")
    if [[ -n $iso_file ]]; then
        write_iso "$iso_file"
        say "wrote $iso_file"
        exit 0
    fi
    [[ $accel != kvm ]] || check_kvm
    disk=$image
    if [[ $boot != pvh ]] && ((!boots_iso)); then
        disk=$tmp/disk.iso
        write_iso "$disk"
    fi
    preload=''
    [[ -z $replay ]] || build_replay
    make_qemu_args
    ((!gdb)) || say "waiting for: gdb -iex $(image_arg "add-auto-load-safe-path $image")" \
        "-ex 'target remote :$gdb_port' $(image_arg "$image")"
    start_qemu
    await_qemu
    finish
}

main "$@"
