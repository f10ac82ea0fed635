"""Boots this kernel's benchmarks and its peers' in turn, and prints them beside each other.

A peer (Go; of Rust tokio, may, go-lib, and std's threads with crossbeam's channels) is the only
program of a Linux guest (Debian's cloud kernel, tuned for it), under the same QEMU with the same
flags. A figure is the least of all rounds, since a loaded host can only make a time longer; the
spread says how much longer the worst round was. Ratios are the peer's figure by ours: above 1 this
kernel is ahead. With --icount the guest's clock counts instructions, and one round is enough.

The first peer has its figures in the table, each further one a column of ratios, empty where it
has no such thing. Not all is alike: tokio's unbuffered channels have a capacity of 1, may's have no
bounds at all. go-lib hangs now and then: its benchmark is then ended, named, and left empty.
"""

import argparse
import glob
import math
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BENCHES = os.path.join(ROOT, "kernel", "benches")
BUILD = os.path.join(ROOT, "target", "peer")
PEERS = ["go", "tokio", "may", "go-lib", "std"]
# Of the Rust peers. Not musl: its allocator costs may up to 2.6 times, tokio 1.3 times as much.
TARGET = "x86_64-unknown-linux-gnu"
SUITES = ["latency", "sched", "chan", "sync", "programs"]
LINE = re.compile(r"^BENCH (\S+) (\S+) (\S+) (\S+)", re.M)
LIMIT_S = 1800
# No page table isolation (under TCG each write of CR3 empties the TLB) and no retpolines; the TSC
# as the clock, not the HPET; page tables of four levels. All three help the peers.
LINUX = "console=ttyS0 quiet panic=-1 apparmor=0 audit=0 random.trust_cpu=on"
LINUX += " mitigations=off tsc=reliable no5lvl"


def options():
    parser = argparse.ArgumentParser(
        prog="compare.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--icount", action="store_true", help="count instructions, on one CPU")
    parser.add_argument("--smp", type=int, default=2, help="CPUs (2)")
    parser.add_argument("--rounds", type=int, default=3, help="boots of each (3; --icount: 1)")
    parser.add_argument("--only", default="", help="a regular expression of benchmarks")
    parser.add_argument("--peers", default="go", help=f"of {','.join(PEERS)}, or all (go)")
    parser.add_argument("--svg", metavar="FILE", help="draw the first peer's ratios")
    chosen = parser.parse_args()
    chosen.peers = PEERS if chosen.peers == "all" else chosen.peers.split(",")
    if unknown := [peer for peer in chosen.peers if peer not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)}")
    if chosen.icount:
        chosen.smp, chosen.rounds = 1, 1
    return chosen


def say(text):
    print(text, file=sys.stderr, flush=True)


def output_of(*command, **settings):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **settings).stdout


def build_peers(chosen):
    """For each peer the initramfs with its program as /init."""
    os.makedirs(BUILD, exist_ok=True)
    archives = {}
    if "go" in chosen.peers:
        archives["go"] = initramfs("go", build_go)
    rust = [peer for peer in chosen.peers if peer != "go"]
    if rust:
        archives.update(dict.fromkeys(rust, initramfs("rust", build_rust)))
    return archives


def build_go(init):
    go = output_of(os.path.join(ROOT, ".ci", "go.sh")).strip()
    command = [go, "build", "-trimpath", "-o", init, "."]
    environment = dict(os.environ, CGO_ENABLED="0")
    subprocess.run(command, check=True, cwd=os.path.join(BENCHES, "peer"), env=environment)


def build_rust(init):
    """Called outside the checkout, and with flags of its own, since its settings are a kernel's."""
    library = output_of("rustc", "--print", "target-libdir", "--target", TARGET, cwd="/").strip()
    if not glob.glob(os.path.join(library, "libstd-*")):
        subprocess.run(["rustup", "target", "add", TARGET], check=True, cwd="/", stdout=sys.stderr)
    folder = os.path.join(BUILD, "rust")
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target", TARGET]
    command += ["--manifest-path", os.path.join(BENCHES, "peer-rust", "Cargo.toml")]
    flags = "-Ctarget-feature=+crt-static"
    environment = dict(os.environ, CARGO_TARGET_DIR=folder, RUSTFLAGS=flags)
    subprocess.run(command, check=True, cwd="/", env=environment)
    shutil.copy2(os.path.join(folder, TARGET, "release", "peer-rust"), init)


def initramfs(name, build):
    files, archive = (os.path.join(BUILD, name + end) for end in ("-files", ".cpio"))
    os.makedirs(os.path.join(files, "proc"), exist_ok=True)
    build(os.path.join(files, "init"))
    with open(archive, "wb") as out:
        names = "proc\ninit\n"
        command = ["cpio", "--quiet", "-o", "-H", "newc"]
        subprocess.run(command, check=True, cwd=files, input=names.encode(), stdout=out)
    return archive


def linux_kernel():
    pattern = os.path.join(BUILD, "linux", "boot", "vmlinuz-*")
    if not glob.glob(pattern):
        say("compare.sh: downloads Debian's cloud kernel")
        find = "apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \\(linux-image-.*\\)/\\1/p'"
        package = output_of("sh", "-c", find).split()
        if not package:
            subprocess.run(["apt-get", "update", "--quiet"], check=True, stdout=sys.stderr)
            package = output_of("sh", "-c", find).split()
        subprocess.run(["apt-get", "download", package[0]], check=True, cwd=BUILD, stdout=sys.stderr)
        deb = glob.glob(os.path.join(BUILD, "linux-image-*.deb"))[0]
        subprocess.run(["dpkg-deb", "-x", deb, os.path.join(BUILD, "linux")], check=True)
    return glob.glob(pattern)[0]


def run(command, environment=None):
    """Output, and seconds to the first line that a main function printed."""
    start, first, lines = time.monotonic(), None, []
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    for line in process.stdout:
        if first is None and re.match(r"PEER-MAIN|running \d+ benchmark", line.strip()):
            first = time.monotonic() - start
        lines.append(line)
    process.wait()
    return "".join(lines), first


def boot_peer(chosen, kernel, peer, archive):
    accel = ["-accel", "tcg,thread=multi", "-cpu", "max"]
    words = f"{LINUX} peer.name={peer} peer.samples=5"
    words += f" peer.sample_ms={20 if chosen.icount else 200}"
    if chosen.icount:
        accel = ["-accel", "tcg,thread=single", "-cpu", "max", "-icount", "shift=0,sleep=off"]
    if chosen.only:
        words += f" peer.bench={chosen.only}"
    command = ["timeout", str(LIMIT_S), "qemu-system-x86_64", "-M", "q35", *accel]
    command += ["-smp", str(chosen.smp), "-m", "2048", "-nodefaults", "-no-reboot"]
    command += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    command += ["-kernel", kernel, "-initrd", archive, "-append", words]
    text, first = run(command)
    if "PEER-DONE" not in text:
        sys.exit(f"compare.sh: the benchmarks of {peer} did not end:\n{text[-2000:]}")
    for failed in re.findall(r"^PEER-FAILED.*", text, re.M):
        say(f"compare.sh: {peer}: {failed}")
    return results(text, first, chosen)


def build_ours():
    """The images, by the names of their suites."""
    build = [os.path.join(ROOT, ".ci", "executables.sh"), "bench", "--package", "gosched", "--no-run"]
    images = output_of(*build, cwd=ROOT).split()
    return {s: next(i for i in images if re.search(rf"/{s}-[0-9a-f]+$", i)) for s in SUITES}


def boot_ours(chosen, images):
    environment = dict(os.environ, SMP=str(chosen.smp), MEM="2048M", TIMEOUT=str(LIMIT_S))
    if chosen.icount:
        environment["ICOUNT"] = "1"
    found = {}
    for image in images.values():
        text, first = run(["./run-qemu.sh", image], environment)
        if not re.search(r"^test result: ok", text, re.M):
            sys.exit(f"compare.sh: a benchmark failed:\n{text[-2000:]}")
        found.update(results(text, first, chosen))
    return found


def results(text, first, chosen):
    found = {name: (float(least), unit) for name, _, least, unit in LINE.findall(text)}
    if first is not None and not chosen.icount:
        found["boot_to_main"] = (first * 1000, "ms")
    return {n: v for n, v in found.items() if re.fullmatch(chosen.only or ".*", n)}


def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def spread(values):
    return f"{max(values) / min(values) - 1:.0%}" if min(values) > 0 else "-"


def better(unit, theirs, ours):
    """How many times ours is better."""
    if unit == "x":
        return ours / theirs
    return theirs / ours if ours else math.inf


def table(chosen, found, ours):
    """Prints it, and returns the first peer's ratios."""
    first, *further = chosen.peers
    print(
        f"{'benchmark':<24} {'unit':<9} {first.capitalize():>14} {'spread':>7}"
        f" {'gosched':>14} {'spread':>7} {'ratio':>7}" + "".join(f" {peer:>9}" for peer in further)
    )
    rows = {peer: [] for peer in chosen.peers}
    for name in found[first]:
        if name not in ours:
            continue
        mine, theirs = [v for v, _ in ours[name]], [v for v, _ in found[first][name]]
        unit = ours[name][0][1]
        pick = max if unit == "x" else min
        cells = {}
        for peer in chosen.peers:
            if name in found[peer]:
                ratio = better(unit, pick(v for v, _ in found[peer][name]), pick(mine))
                rows[peer].append((name, ratio))
                cells[peer] = f"{ratio:.2f}x"
        print(
            f"{name:<24} {unit:<9} {number(pick(theirs)):>14} {spread(theirs):>7}"
            f" {number(pick(mine)):>14} {spread(mine):>7} {cells[first]:>7}"
            + "".join(f" {cells.get(peer, ''):>9}" for peer in further)
        )
    print()
    for peer in chosen.peers:
        finite = [ratio for _, ratio in rows[peer] if 0 < ratio < math.inf]
        if finite:
            mean = math.exp(sum(map(math.log, finite)) / len(finite))
            of = f" to {peer}" if further else ""
            unit = "instructions" if chosen.icount else "time"
            print(f"geometric mean of {len(finite)} ratios of {unit}{of}: {mean:.2f}")
    return rows[first]


def draw(path, rows, title):
    """Bars of the ratios, on a logarithmic scale."""
    width, bar, left = 720, 18, 190
    top = max(max(r for _, r in rows if r < math.inf), 2)
    scale = (width - left - 60) / math.log(top * 2)
    height = 40 + bar * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="20">{title}</text>',
    ]
    one = left + scale * math.log(2)
    for i, (name, ratio) in enumerate(rows):
        y = 34 + bar * i
        end = left + scale * math.log(2 * max(0.5, min(ratio, top)))
        start, length = min(one, end), abs(end - one)
        color = "#2a7f62" if ratio >= 1 else "#b5483a"
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{start:.1f}" y="{y + 2}" width="{length:.1f}" height="{bar - 5}" fill="{color}"/>')
        parts.append(f'<text x="{max(one, end) + 4:.1f}" y="{y + 13}">{ratio:.1f}x</text>')
    parts.append(f'<path d="M{one:.1f} 30V{height - 8}" stroke="black" stroke-width="0.7"/></svg>\n')
    with open(path, "w") as out:
        out.write("\n".join(parts))


def main():
    chosen = options()
    archives, kernel = build_peers(chosen), linux_kernel()
    images = build_ours()
    found, ours = {peer: {} for peer in chosen.peers}, {}
    for turn in range(chosen.rounds):
        say(f"compare.sh: round {turn + 1} of {chosen.rounds}")
        for peer, archive in archives.items():
            collect(found[peer], boot_peer(chosen, kernel, peer, archive))
        collect(ours, boot_ours(chosen, images))
    version = output_of("qemu-system-x86_64", "--version").splitlines()[0]
    how = "instructions, 1 CPU" if chosen.icount else f"{chosen.smp} CPUs, {chosen.rounds} rounds"
    print(f"{time.strftime('%Y-%m-%d')}, {version}, TCG, {how}, {os.cpu_count()} CPUs of the host\n")
    rows = table(chosen, found, ours)
    if chosen.svg:
        peer = chosen.peers[0].capitalize()
        draw(chosen.svg, rows, f"{peer} on Linux by gosched, in the same virtual machine ({how})")


def collect(into, figures):
    for name, value in figures.items():
        into.setdefault(name, []).append(value)


if __name__ == "__main__":
    main()
