#!/usr/bin/env python3
"""Sessions with the shell of the default image: on a pseudo terminal, as a person types, and by
`run=` alone. The closing line is that of the project's other tests."""

import os
import pty
import select
import subprocess
import sys
import time

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
PROMPT = "> "
LIMIT_S = 300  # a build may come first
passed, failed = 0, 0


def result(name, ok, seen):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name}; seen: {seen!r}")


class Session:
    """run-qemu.sh on a terminal of its own."""

    def __init__(self, *arguments):
        self.terminal, end = pty.openpty()
        command = ["./run-qemu.sh", "--timeout", str(LIMIT_S), *arguments]
        self.process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end)
        os.close(end)
        self.unread = ""

    def read_to(self, text):
        """What comes up to and with the text; less when the session ends or takes too long."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.unread and time.monotonic() < deadline:
            if not select.select([self.terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(self.terminal, 4096)
            except OSError:  # the other end is closed
                break
            self.unread += data.decode(errors="replace").replace("\r", "")
        end = self.unread.find(text)
        end = len(self.unread) if end < 0 else end + len(text)
        seen, self.unread = self.unread[:end], self.unread[end:]
        return seen

    def type(self, line):
        """Types a line; what is printed up to the next prompt."""
        os.write(self.terminal, line + b"\r")
        return self.read_to("\n" + PROMPT)

    def prints(self, line, *wanted):
        """Types a line and wants these texts in what it prints."""
        seen = self.type(line)
        result(f"{line!r} prints {wanted}", all(text in seen for text in wanted), seen)

    def prints_soon(self, line, *wanted):
        """As prints, at one of several tries."""
        for _ in range(20):
            seen = self.type(line)
            if all(text in seen for text in wanted):
                break
        result(f"{line!r} soon prints {wanted}", all(text in seen for text in wanted), seen)

    def ends(self, data, status):
        """Sends bytes that end the image with that status."""
        os.write(self.terminal, data)
        self.read_to("(the end of the session)")
        got = self.process.wait(LIMIT_S)
        result(f"{data!r} ends with {status}", got == status, got)
        os.close(self.terminal)


def commands():
    session = Session("--", "run=run sieve 3")
    seen = session.read_to("\n" + PROMPT)
    result("run= comes first, without the tour", "\n2\n3\n5\n" in seen and "1. Why" not in seen, seen)
    session.prints(b"help", "Commands", "exit", "Programs", "sieve")
    session.prints(b"ps", "CREATED BY", "     1 running")
    session.prints(b"stats", "switches", "\n  3 ", "spinning", "1 goroutines")
    session.prints(b"mem", "heap used", "KiB")
    session.prints(b"run ring 10 2", "the token is 20")
    session.prints(b"run primes 100 3; run pingpong 2 5", "25 primes", "20 hits")
    session.type(b"run hog 5 3 &")
    session.prints_soon(b"ps", " hog ", "gosched::programs::hog::start kernel/image/programs/")
    session.prints(b"bogus", '"bogus" is no command: see help')
    session.prints(b"run bogus", '"bogus" is no program: see help')
    session.prints(b"run sieve many", "usage: run sieve [N]")
    session.prints(b"ps ps", "usage: ps")
    session.prints(b"run " + b"x " * 50, "at most 16 words")
    session.ends(b"exit 7\r", 7)


def editing():
    session = Session("--smp", "1", "--", "run=mem")
    session.read_to("\n" + PROMPT)
    session.prints(b"nonsense\x15run sieve 11\x7f", "\n2\n" + PROMPT)
    session.prints(b"\x1b[Arun sieve 2\xff\x80\x00", "\n2\n3\n")
    session.prints(b"run primes " + b"9" * 1000, "usage: run primes")
    session.prints(b"", "\n" + PROMPT)
    session.prints(b"bogus", "no command")
    # A refused command is the status of a bare exit; Ctrl-D on an empty line is one.
    session.ends(b"\x04", 2)


def without_terminal():
    for run, status, text in [
        ("mem; run sieve 2", 0, "\n2\n3\n"),
        ("run sieve 2; bogus", 2, "no command"),
        ("exit 300; exit 9", 9, "usage: exit"),
    ]:
        got = subprocess.run(
            ["./run-qemu.sh", "--timeout", str(LIMIT_S), "--", f"run={run}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        result(f"run={run}", got.returncode == status and text in got.stdout, got)


commands()
editing()
without_terminal()
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
