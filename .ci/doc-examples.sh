#!/usr/bin/env bash
# The examples in the documentation compile: those of the public and the private items of the crate,
# and the README's. They become the functions of one package that depends on the crate, with each
# line at its own number in a file of its own name, so that errors name the place to mend.
#
# rustdoc's own tests are for programs with std, which the crate's images have not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT

cat >"$dir/Cargo.toml" <<TOML
[package]
name = "doc-examples"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
gosched = { path = "$PWD/kernel" }
[workspace]
TOML
cp Cargo.lock "$dir"
printf '%s\n' '#![no_std]' '#![allow(unused)]' 'extern crate alloc;' >"$dir/lib.rs"

examples=0
while read -r file; do
    mkdir -p "$dir/$(dirname "$file")"
    awk -f .ci/doc-examples.awk "$file" >"$dir/$file"
    here=$(grep -c '^pub fn line_' "$dir/$file" || true)
    if ((here > 0)); then
        printf '#[path = "%s"]\nmod file_%d;\n' "$file" "$examples" >>"$dir/lib.rs"
        examples=$((examples + here))
    fi
done < <(git ls-files 'kernel/src/*.rs' README.md)

# From here, for the sake of .cargo/config.toml.
cargo check --quiet --manifest-path "$dir/Cargo.toml" --target-dir "${CARGO_TARGET_DIR:-target}"
printf '%d examples compile\n' "$examples"
