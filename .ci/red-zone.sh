#!/usr/bin/env bash
# No function of a linked image touches memory below its stack pointer.
#
# The images' own code is compiled with no-redzone, but core and alloc come prebuilt, with a red
# zone. Interrupts do not hurt it (every vector has a stack of its own, and asynchronous preemption
# leaves 128 bytes free); this check keeps those two from being the only protection, and assembly
# honest. What is linked in with good reason stands in red-zone.allow.
#
# Found: an access at a negative offset from rsp; an access through rbp further down than pushes
# and subtractions have moved rsp since rbp was set. Not found: an address that is computed first,
# or that has an index. `lea` touches nothing.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly allow=.ci/red-zone.allow

# Prints FUNCTION, a tab, and the instruction, for each access below rsp. What names none of these
# registers is left out first, by what is faster at it than awk.
accesses() { # IMAGE
    objdump --disassemble --no-show-raw-insn "$1" |
        LC_ALL=C grep -E '^[0-9a-f]+ <|%rsp|%rbp|%r11|push' | LC_ALL=C awk '
        function hex(digits,   i, n) {
            for (i = 1; i <= length(digits); i++)
                n = n * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
            return n
        }
        # The number in the first match of pattern, or 0.
        function offset(text, pattern) {
            if (!match(text, pattern)) return 0
            text = substr(text, RSTART + 3)
            sub(/[^0-9a-f].*/, "", text)
            return hex(text)
        }
        function flush(   i) {
            for (i = 1; i <= deep; i++)
                if (framed && lowest[i] > depth) print name "\t" line[i]
            deep = 0
        }
        /^[0-9a-f]+ <.*>:$/ {
            flush()
            name = $0; sub(/^[0-9a-f]+ </, "", name); sub(/>:$/, "", name)
            framed = 0; depth = 0
            next
        }
        NF < 2 { next }
        {
            text = $0; sub(/^[^:]*:[ \t]*/, "", text); sub(/[ \t]*[#<].*/, "", text)
            split(text, word)
        }
        word[1] ~ /^(lea|nop)/ { next }
        text ~ /-0x[0-9a-f]+\(%rsp\)/ { print name "\t" text }
        text ~ /^mov +%rsp,%rbp$/ { framed = 1; depth = 0 }
        framed && word[1] ~ /^push/ { depth += 8 }
        framed && text ~ /^sub +\$0x[0-9a-f]+,%rsp$/ { depth += offset(text, "[$]0x") }
        # Aligned or variable: as deep as it likes.
        framed && text ~ /^(and|sub) .*,%rsp$/ && text !~ /^sub +\$0x/ { depth += 2 ^ 30 }
        # A large frame is taken page by page, down to r11; the page that the loop takes is counted
        # above.
        paged && text ~ /^sub +\$0x[0-9a-f]+,%r11$/ { depth += offset(text, "[$]0x") - 4096 }
        { paged = framed && text ~ /^mov +%rsp,%r11$/ }
        text ~ /-0x[0-9a-f]+\(%rbp\)/ {
            lowest[++deep] = offset(text, "-0x[0-9a-f]+[(]%rbp"); line[deep] = text
        }
        END { flush() }' | sort -u | c++filt
}

# The allow list holds one pattern of a function name a line; the reasons are comments.
look_through() { # IMAGE
    local list
    if list=$(accesses "$1" | grep -vEf <(grep -vE '^(#|$)' "$allow")); then
        printf '%s\n%s\n' "$1:" "$list"
        return 1
    fi
}

if [[ ${1:-} == --one ]]; then
    look_through "$2"
    exit
fi

images=$(
    .ci/executables.sh build --package gosched
    .ci/executables.sh build --package gosched --release
    .ci/executables.sh test --package gosched --no-run
    .ci/executables.sh bench --package gosched --no-run
)
if [[ -z $images ]]; then
    echo "red-zone.sh: cargo named no image" >&2
    exit 1
fi
found=0
xargs -P "$(nproc)" -L 1 .ci/red-zone.sh --one <<<"$images" || found=1
printf '%d images looked through\n' "$(wc -l <<<"$images")"
exit "$found"
