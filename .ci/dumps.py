#!/usr/bin/env python3
"""What a person at the serial line can ask of any image (kernel/examples/attention.rs): a dump by
Ctrl-\\ or a break, an end by Ctrl-C; and what the watchdog says of a CPU that hears nothing. Then
`bt` of the default image, of ten thousand goroutines too. The closing line is that of the project's
other tests."""

import glob
import os
import re
import subprocess
import tempfile
import time

import console
from console import finish, result

LIMIT_S = 120


class Session(console.Session):
    """A session with the monitor in reach."""

    def __init__(self, image, *words, cpus=4):
        self.folder = tempfile.TemporaryDirectory()
        environment = {**os.environ, "TMPDIR": self.folder.name}
        arguments = ["--smp", str(cpus), *image, *words]
        super().__init__(*arguments, limit_s=LIMIT_S, environment=environment)

    def send_break(self):
        """A break, by the monitor of QEMU."""
        [monitor] = glob.glob(f"{self.folder.name}/gosched.*/monitor.in")
        with open(monitor, "w", encoding="ascii") as pipe:
            pipe.write('{"execute":"chardev-send-break","arguments":{"id":"console"}}\n')

    def end(self):
        """All that still comes, and the status."""
        seen = self.read_to("(the end of the session)")
        status = self.process.wait(LIMIT_S)
        os.close(self.terminal)
        self.folder.cleanup()
        return seen, status


ASKED = "gosched: all goroutines, by Ctrl-\\ or a break"


def dumps(image, program, ask, wanted, cpus, forced=False):
    """A program is asked for a dump, which shows what is wanted, and goes on to its end."""
    session = Session([image, program], cpus=cpus)
    seen = session.read_to("ready\n")
    time.sleep(0.5)
    session.send(b"\x1c") if ask == "Ctrl-\\" else session.send_break()
    rest, status = session.end()
    seen += rest
    ok = status == 0 and rest.count(ASKED) == 1 and "done\n" in rest
    ok = ok and all(text in rest for text in wanted)
    ok = ok and ("no scheduler answered" in rest) == forced and "unavailable" not in rest
    result(f"{program}: {ask}, {cpus} CPUs", ok, seen)


def ends_by_interrupt(image, program, cpus):
    session = Session([image, program], cpus=cpus)
    session.read_to("ready\n")
    time.sleep(0.3)
    session.send(b"xyz\x03")
    seen, status = session.end()
    ok = status == 130 and "gosched: ended by Ctrl-C\n" in seen and "done" not in seen
    result(f"{program}: Ctrl-C, {cpus} CPUs", ok, (status, seen))


def watchdog(image, program, cpus):
    session = Session([image, program], cpus=cpus)
    seen, status = session.end()
    reports = re.findall(r"^gosched: CPU \d+ has had interrupts off for .*$", seen, re.M)
    ok = status == 0 and len(reports) == 1 and "done\n" in seen
    ok = ok and "attention::deafens_the_cpu(...)\n\tkernel/examples/attention.rs:" in seen
    result(f"{program}: watchdog, {cpus} CPUs", ok, seen)


def panics(image, cpus):
    """The one that dies wins over those that hold others, whole report and all."""
    session = Session([image, "panic-among-holders"], cpus=cpus)
    seen, status = session.end()
    report = r"panic: work failed\n\ngoroutine 1 \[running\]:\nattention::fails_at_work\(...\)\n"
    ok = status == 2 and len(re.findall(report, seen)) == 1 and "\ngosched: m=" in seen
    result(f"panic among holders, {cpus} CPUs", ok, (status, seen))


def no_alarm(image, program, cpus):
    session = Session([image, program], cpus=cpus)
    seen, status = session.end()
    ok = status == 0 and "interrupts off" not in seen and "done\n" in seen
    result(f"{program}: no alarm, {cpus} CPUs", ok, seen)


def shell_beside_a_locked_main(image, cpus):
    """Each byte interrupts a CPU that waits for its locked goroutine, and is for the others: one
    that is told to nobody is not echoed."""
    session = Session([image, "locked-shell"], cpus=cpus)
    session.read_to("\n> ")
    heard = True
    for byte in b"echo all is well":
        time.sleep(0.1)
        session.send(bytes([byte]))
        heard = heard and session.read_until(re.escape(chr(byte)), 10)[1]
    seen = session.type(b"") if heard else ""
    result(f"input beside a locked main, {cpus} CPUs", "all is well\n" in seen, (heard, seen))
    session.send(b"exit 0\r")
    result(f"its end, {cpus} CPUs", session.end()[1] == 0, "")


def backtraces():
    session = Session([], "--", "run=")
    session.read_to("\n> ")
    seen = session.type(b"bt all")
    result("bt all shows the shell", "goroutine 1 [running]:\n" in seen and "shell" in seen, seen)
    seen = session.type(b"bt 1")
    result("bt 1", seen.count("goroutine ") == 1, seen)
    session.prints(b"bt 123456", "there is no goroutine 123456: see ps\n")
    session.prints(b"bt some", "usage: bt ID|all\n")
    time.sleep(0.3)  # from the prompt to the wait
    session.send(b"\x1c")
    seen = session.read_to("\n\n> ", 2)
    shown = re.search(r"^goroutine 1 \[.*\]:\n(.*\n)*gosched::shell::run\(", seen, re.M)
    result("Ctrl-\\ at a prompt", ASKED in seen and shown, seen)
    session.type(b"run crowd 10000 60 &")
    session.prints_soon(b"stats", "10002 goroutines")
    start = time.monotonic()
    seen = session.type(b"bt all")
    took_s = time.monotonic() - start
    headers = re.findall(r"^goroutine (\d+) \[", seen, re.M)
    print(f"bt all: {len(headers)} goroutines, {len(seen)} bytes in {took_s:.2f} s")
    whole = len(headers) == 10002 and headers == sorted(headers, key=int)
    result("bt all of 10000 shows all, in order", whole, seen[:2000])
    torn = [line for line in seen.split("\n")[1:-1] if not re.match(ROW, line)]
    result("bt all tears no line", not torn, torn[:10])
    session.send(b"exit 3\r")
    result("exit", session.end()[1] == 3, "")


def asked_twice():
    """What is left over of the second would be made by force at the first tick, in place of the
    scheduler."""
    session = Session([], "--", "run=")
    session.read_to("\n> ")
    session.type(b"run crowd 1000 60 &")
    session.prints_soon(b"stats", "1002 goroutines")
    last = re.findall(r"^goroutine (\d+) \[", session.type(b"bt all"), re.M)[-1]
    for _ in range(2):
        session.send(b"\x1c")
        time.sleep(0.2)
    seen = session.read_to(f"\ngoroutine {last} [") + session.type(b"run hog 4 1")
    once = seen.count(ASKED) == 1 and "no scheduler answered" not in seen
    result("Ctrl-\\ during a dump is one with it", once, seen[-2000:])
    session.send(b"exit 0\r")
    result("its end", session.end()[1] == 0, "")


# A line of a dump.
ROW = r"^(|goroutine \d+ \[.*\].*:|\S.*\(\.\.\.\)|\t\S+:\d+.*|created by .* in goroutine \d+)$"


def main():
    image = subprocess.run(
        [".ci/executables.sh", "build", "--package", "gosched", "--example", "attention"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for cpus in (1, 4):
        for ask in ("Ctrl-\\", "break"):
            dumps(image, "idle", ask, ["goroutine 1 [sleep]:\n", "attention::idle(...)\n"], cpus)
            dumps(image, "busy", ask, ["attention::computes(...)\n"], cpus)
        stuck = ["[running]:\n", "attention::keeps_the_cpu(...)\n"]
        dumps(image, "stuck", "Ctrl-\\", stuck, cpus, forced=True)
        for program in ("idle", "busy", "stuck"):
            ends_by_interrupt(image, program, cpus)
            no_alarm(image, program, cpus)
    for cpus in (2, 4):
        for program in ("deaf", "deaf-among-busy", "deaf-and-locked"):
            watchdog(image, program, cpus)
        shell_beside_a_locked_main(image, cpus)
    for cpus in (1, 2, 4, 8):
        panics(image, cpus)
    backtraces()
    asked_twice()
    finish()


if __name__ == "__main__":
    main()
