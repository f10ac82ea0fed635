"""Boots this kernel's benchmarks with and without what it could do otherwise, in three tables.

schedulers: time for sched=gmp, global and single on 1, 2, 4 and 8 CPUs, booted in turn. A figure is
the least of all rounds, since a loaded host can only make a time longer; the spread says how much
longer the worst round was. Above 1, the ratio says that gmp is ahead of global.
safepoints: instructions with safe points, and built without.
tracing: instructions with tracing off, with the rings that are always written, and to a file.

Instructions are counted on one CPU, and one boot is enough.
"""

import argparse
import math
import os
import re
import sys
import tempfile
import time
import tomllib

from compare import LINE, ROOT, build_ours, number, output_of, run, say, spread

MODELS = ["gmp", "global", "single"]
CPUS = [1, 2, 4, 8]
LIMIT_S = 300
# Operations in one call of a benchmark whose call is a whole program: goroutines, and values that
# are received.
OPERATIONS = {"spawn_tree": 21_891, "sieve": 132_046}
SCHEDULERS = {"programs": ["spawn_tree", "sieve", "chan_mpmc"], "sched": ["spawn_exit"]}
# condvar_notify_nobody is a call and nothing else, so the safe point at its dearest;
# semaphore_uncontended makes several small calls.
SAFEPOINTS = {
    "sched": ["spawn_exit", "chan_unbuf_pingpong", "chan_uncontended"],
    "programs": ["gosched_2", "sieve", "spawn_tree"],
    "sync": ["semaphore_uncontended", "condvar_notify_nobody"],
}
TRACING = {
    "sched": ["chan_unbuf_pingpong", "spawn_exit"],
    "programs": ["chan_buf_stream", "chan_mpmc", "ring_1000"],
}


def options():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="costs.sh", description=__doc__, formatter_class=form)
    parser.add_argument("--only", choices=TABLES, help="one table (all)")
    parser.add_argument("--rounds", type=int, default=3, help="boots for each time (3)")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def build_without_safepoints():
    """The images built without the pass that puts safe points in. Only the timer stops a goroutine
    there. Other functions may be inlined, too: what differs is not only the calls."""
    with open(os.path.join(ROOT, ".cargo", "config.toml"), "rb") as file:
        config = tomllib.load(file)
    flags = config["target"][config["build"]["target"]]["rustflags"]
    kept = [flag for flag in flags if not re.search("sancov|sanitizer-coverage", flag)]
    if kept == flags:
        sys.exit("costs.sh: .cargo/config.toml has no flags that put safe points in")
    # Cargo takes these in place of the file's. A folder of its own, so that both stay built.
    ours = {
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(kept),
        "CARGO_TARGET_DIR": os.path.join(ROOT, "target", "no-safe-points"),
    }
    before = dict(os.environ)
    os.environ.update(ours)
    try:
        return build_ours()
    finally:
        os.environ.clear()
        os.environ.update(before)


def boot(images, wanted, words="", **settings):
    """The least time of one operation, by benchmark."""
    known = dict(os.environ, MEM="2048M", TIMEOUT=str(LIMIT_S), CMDLINE=words, TRACE="", REPLAY="")
    found = {}
    for suite, names in wanted.items():
        command = ["timeout", str(LIMIT_S + 30), "./run-qemu.sh", images[suite], "--exact", *names]
        text = run(command, known | settings)[0]
        measured = {name: float(least) for name, _, least, _ in LINE.findall(text)}
        if not re.search(r"^test result: ok", text, re.M) or measured.keys() != set(names):
            sys.exit(f"costs.sh: a benchmark failed:\n{text[-2000:]}")
        for name in names:
            found[name] = measured[name] / OPERATIONS.get(name, 1)
    return found


def count(images, wanted, words="", **settings):
    return boot(images, wanted, words, ICOUNT="1", SMP="1", **settings)


def percent(value, base):
    return f"{(value / base - 1) * 100:+.1f}%"


def schedulers(images, rounds):
    times = {}
    for turn in range(rounds):
        say(f"costs.sh: schedulers, round {turn + 1} of {rounds}")
        for cpus in CPUS:
            for model in MODELS:
                found = boot(images, SCHEDULERS, f"sched={model}", SMP=str(cpus), ICOUNT="0")
                for name, value in found.items():
                    times.setdefault((name, cpus, model), []).append(value)
    print(f"schedulers: ns for each operation, {rounds} rounds\n")
    columns = "".join(f" {model:>9} {'spread':>7}" for model in MODELS)
    print(f"{'benchmark':<20} {'CPUs':>4}{columns} {'global/gmp':>11}")
    ratios = {cpus: [] for cpus in CPUS}
    for name in sum(SCHEDULERS.values(), []):
        for cpus in CPUS:
            values = [times[name, cpus, model] for model in MODELS]
            ratio = min(values[1]) / min(values[0])
            ratios[cpus].append(ratio)
            columns = "".join(f" {number(min(v)):>9} {spread(v):>7}" for v in values)
            print(f"{name:<20} {cpus:>4}{columns} {ratio:>10.2f}x")
    means = {c: math.exp(sum(map(math.log, r)) / len(r)) for c, r in ratios.items()}
    curve = ", ".join(f"{mean:.2f} on {cpus}" for cpus, mean in means.items())
    print(f"\ngeometric means of global/gmp by CPUs: {curve}\n")


def safepoints(images, _):
    say("costs.sh: safe points")
    without = count(build_without_safepoints(), SAFEPOINTS)
    print("safe points: instructions for each operation\n")
    print(f"{'benchmark':<24} {'without':>10} {'with':>10} {'more':>8}")
    for name, value in count(images, SAFEPOINTS).items():
        base = without[name]
        print(f"{name:<24} {number(base):>10} {number(value):>10} {percent(value, base):>8}")
    print()


def tracing(images, _):
    say("costs.sh: tracing")
    off = count(images, TRACING, "trace=off")
    ring = count(images, TRACING)
    # With stacks, and with the goroutine that sends all to the host. What the port cannot take is
    # lost, but was written first.
    with tempfile.TemporaryDirectory() as folder:
        streamed = count(images, TRACING, TRACE=os.path.join(folder, "bench.trace"))
    print("tracing: instructions for each operation\n")
    print(f"{'benchmark':<24} {'off':>10} {'rings':>10} {'more':>8} {'to a file':>10} {'more':>8}")
    for name, base in off.items():
        columns = [f"{number(v[name]):>10} {percent(v[name], base):>8}" for v in (ring, streamed)]
        print(f"{name:<24} {number(base):>10} {' '.join(columns)}")
    print()


TABLES = {"schedulers": schedulers, "safepoints": safepoints, "tracing": tracing}


def main():
    chosen = options()
    version = output_of("qemu-system-x86_64", "--version").splitlines()[0]
    images = build_ours()
    print(f"{time.strftime('%Y-%m-%d')}, {version}, TCG, {os.cpu_count()} CPUs of the host\n")
    for name, table in TABLES.items():
        if chosen.only in (None, name):
            table(images, chosen.rounds)


if __name__ == "__main__":
    main()
