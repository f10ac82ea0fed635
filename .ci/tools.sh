#!/usr/bin/env bash
# Installs what the checks need besides stable Rust (by rustup) and Debian. Nightly is for ThreadSanitizer alone.
set -euo pipefail

packages=()
command -v qemu-system-x86_64 >/dev/null || packages+=(qemu-system-x86)
command -v objdump >/dev/null || packages+=(binutils)
command -v shellcheck >/dev/null || packages+=(shellcheck)
command -v gdb >/dev/null || packages+=(gdb)
command -v python3 >/dev/null || packages+=(python3)
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
command -v grub-mkrescue >/dev/null || packages+=(grub-common)
[[ -d /usr/lib/grub/i386-pc ]] || packages+=(grub-pc-bin)
[[ -d /usr/lib/grub/x86_64-efi ]] || packages+=(grub-efi-amd64-bin)
command -v xorriso >/dev/null || packages+=(xorriso)
command -v mformat >/dev/null || packages+=(mtools)
[[ -f /usr/share/ovmf/OVMF.fd ]] || packages+=(ovmf)
command -v cc >/dev/null || packages+=(gcc libc6-dev)
if ((${#packages[@]} > 0)); then
    as_root=()
    ((EUID == 0)) || as_root=(sudo -n)
    "${as_root[@]}" apt-get update --quiet
    "${as_root[@]}" apt-get install --yes --quiet --no-install-recommends "${packages[@]}"
fi

cargo fmt --version || rustup component add rustfmt
cargo clippy --version || rustup component add clippy
cargo +nightly --version || rustup toolchain install nightly --profile minimal
