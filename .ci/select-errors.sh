#!/usr/bin/env bash
# What the compiler says of mistakes in `select!`: each line below is one, and behind its `//` stands
# what must be said of it, at that line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT

mistakes=$(
    cat <<'RUST'
select! { recv(rx) => {} } // expected `-> pattern` for the result of `recv(…)`
select! { send(tx, 1) => {} } // expected `-> pattern` for the result of `send(…)`
select! { default -> x => {} } // `default` has no result: expected `=>`
select! { default() -> x => {} } // `default` has no result: expected `=>`
select! { recv(rx) -> v => {}; default => {} } // cases are separated by `,`, not by `;`
select! { recv(rx) -> v => f(); default => {} } // cases are separated by `,`, not by `;`
select! { recv(rx) -> v => f() recv(rx) -> w => {} } // expected `,` between cases
select! { receive(rx) -> v => {} } // expected `recv(receiver) -> pattern => body`
select! { recv() -> v => {} } // `recv` takes one argument: the receiver
select! { recv(rx, 1) -> v => {} } // `recv` takes one argument: the receiver
select! { send(tx) -> v => {} } // `send` takes two arguments: the sender and the value
select! { default(a, b) => {} } // `default` takes no argument, or one: the timeout
select! { default => {} default => {} } // there can be only one `default` case
select! { recv(rx) -> v } // expected `=>` and a body after `recv(…)`
select! { recv(rx) -> v => } // expected an expression
select! { recv(rx) -> => {} } // expected a pattern after `->`; `_` ignores the result
select! { recv(1) -> v => {} } // error
select! { send(rx, 1) -> v => {} } // error
select! { recv(tx) -> v => {} } // error
select! { send(tx, "text") -> v => {} } // mismatched types
RUST
)

cat >"$dir/Cargo.toml" <<TOML
[package]
name = "select-errors"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
gosched = { path = "$PWD/kernel" }
[workspace]
TOML
cp Cargo.lock "$dir"
line=1
{
    printf '#![no_std] use gosched::{chan::*, select}; fn f() {}\n'
    while read -r mistake; do
        line=$((line + 1))
        printf 'fn line%d(tx: Sender<u8>, rx: Receiver<u8>) { %s; }\n' "$line" "${mistake%% // *}"
    done <<<"$mistakes"
} >"$dir/lib.rs"

# From here, for the sake of .cargo/config.toml.
cargo check --quiet --message-format short --manifest-path "$dir/Cargo.toml" \
    --target-dir "${CARGO_TARGET_DIR:-target}" >"$dir/said" 2>&1 || true

passed=0 failed=0 line=1
while read -r mistake; do
    line=$((line + 1))
    if grep -F "lib.rs:$line:" "$dir/said" | grep -qF -- "${mistake#* // }"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$mistake"
        grep -F "lib.rs:$line:" "$dir/said" | sed 's/^/    /' || true
    fi
done <<<"$mistakes"
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
