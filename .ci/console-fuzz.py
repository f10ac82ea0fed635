#!/usr/bin/env python3
"""Random bytes into the shell of the default image: console-fuzz.py [SECONDS=60] [SEED].

Every few hundred bytes it types Ctrl-C, Enter and an `echo`, and wants the answer. What is typed is
a function of the seed, except for how much of it the time allows. Not typed: Ctrl-A, which is
QEMU's; Ctrl-D on an empty line; a line that begins with `exit` or `panic`. Where the bytes bring
one about all the same (completion, history), the image ends with what was asked for and is booted
again."""

import random
import re
import sys
import time

from console import Session, finish, result

ANSWER_S = 30  # also the longest that what was typed before may go on after Ctrl-C
BOOT_S = 200  # a build may come first
FATAL = re.compile(r"panic:|fatal error:|the machine crashed|unexpected exception")

# With digits typed behind them these still end within seconds: random bytes may do that.
LINES = [
    b"help", b"help sched", b"ps", b"bt 1", b"bt all", b"waits", b"waits -d", b"locks", b"stats", b"mem", b"trace status",
    b"trace show", b"trace dump", b"trace start", b"trace stop", b"trace hash", b"sched",
    b"sched detail", b"gomaxprocs", b"gomaxprocs 1", b"gomaxprocs 4", b"uptime", b"echo a  b",
    b"clear", b"prof cpu 0.1", b"prof goroutine", b"prof block on", b"prof block",
    b"prof block off", b"prof mutex", b"run sieve 9", b"run ring 3 2", b"run primes 9 2",
    b"run pingpong 2 3", b"run hog 1", b"run hog 1 &", b"run pingpong 2 9 &", b"run crowd 9 &",
    b"run", b"bogus", b"mem; echo b; stats", b";;;", b"a b c d e f g h i j k l m n o p q r",
]
ESCAPES = [
    b"\x1b", b"\x1b[", b"\x1bO", b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[H", b"\x1b[F",
    b"\x1b[3~", b"\x1b[1;5D", b"\x1bOP", b"\x1b[200~", b"\x1b[201~", b"\x1bb", b"\x1bf", b"\x1bd",
    b"\x1b\x1b\x1b", b"\x1b[999999999;99999999999999999999H", b"\x1b[\xff", b"\x1b[\r",
]
CONTROLS = bytes(set(range(32)) - {0x01, 0x04}) + b"\x7f"
CTRL_D_ON_A_LINE = b"xx\x04"  # the first x may be the end of an escape sequence


def piece(random):
    """Some bytes that may stand in a row."""
    kind = random.randrange(12)
    if kind < 3:
        # A whole line, so that a program gets no argument of what came before.
        return b"\x15" + random.choice(LINES) + random.choice([b"\r", b"\n", b"\r\n"])
    if kind < 5:
        line = random.choice(LINES)
        return line[: random.randrange(len(line) + 1)]
    if kind < 7:
        return random.choice(ESCAPES)
    if kind < 9:
        return bytes([random.choice(CONTROLS)]) * random.choice([1, 1, 1, 2, 5])
    if kind == 9:
        return CTRL_D_ON_A_LINE
    if kind == 10 and random.randrange(40) == 0:
        # More than a line, typed at a program that does not read.
        return b"\x15run hog 1\r" + bytes(random.choices(b"abc \x1b[~\x7f\r", k=6000))
    return bytes(random.randrange(256) for _ in range(random.randrange(40)))


def chunk(random):
    """A few hundred bytes between two questions."""
    data = b""
    while len(data) < 300:
        data += piece(random)
    data = data.replace(b"\x01", b"").replace(CTRL_D_ON_A_LINE, b"\x00\x01")
    data = data.replace(b"\x04", b"").replace(b"\x00\x01", CTRL_D_ON_A_LINE)
    return re.sub(rb"exit|panic", b"echo", data)


class Fuzz:
    """A seed's bytes, one session after the other."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.typed = self.asked = self.boots = 0
        self.slowest_s = 0.0
        self.last = b""
        self.boot()

    def boot(self):
        self.boots += 1
        self.session = Session("--smp", "4", "--", "run=", limit_s=0)
        _, ok = self.session.read_until(r"\n> ", BOOT_S)
        if not ok:
            raise RuntimeError("no prompt after the boot")

    def go_on(self):
        """One chunk and the question after it; what is wrong, or None."""
        data = chunk(self.random)
        self.typed += len(data)
        self.last = data
        self.session.send(data)
        self.asked += 1
        begun = time.monotonic()
        self.session.send(b"\x03\recho alive %d\r" % self.asked)
        # Programs in the background, and the news of their end, may stand before the prompt.
        answer = rf"\nalive {self.asked}\n(?:[^\n]*\n)*?> "
        seen, ok = self.session.read_until(answer, ANSWER_S)
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        if FATAL.search(seen):
            return f"a fatal report: {seen[-3000:]!r}"
        if ok:
            return None
        if self.session.ended:
            status = self.session.process.wait()
            if re.search(r"exit[^\n]*\n*$", seen) or status in (0, 2):
                self.session.stop()
                self.boot()
                return None
            return f"the image ended with {status}: {seen[-2000:]!r}"
        return f"no answer within {ANSWER_S} s; the last of what it printed: {seen[-2000:]!r}"


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    fuzz = Fuzz(seed)
    end = time.monotonic() + seconds
    wrong = None
    while wrong is None and time.monotonic() < end:
        wrong = fuzz.go_on()
        if wrong is not None:
            print(f"seed {seed}, chunk {fuzz.asked}; the last bytes: {fuzz.last[-1000:]!r}", flush=True)
        result(f"chunk {fuzz.asked} of seed {seed}", wrong is None, wrong)
    print(
        f"{fuzz.typed} bytes, {fuzz.asked} answers, the slowest after {fuzz.slowest_s:.1f} s; "
        f"{fuzz.boots} boots"
    )
    if wrong is None:
        fuzz.session.ends(b"\x03\rexit 0\r", 0)
    else:
        fuzz.session.stop()
    finish()


main()
