#!/usr/bin/env python3
"""Every command of the default image's shell, under load and chaos: console-chaos.py
[COMMANDS=1000].

Hogs and ping-pong run in the background, and small programs that print. The commands come from
`help`. Each must be answered by a prompt in time and print only lines of its own shapes; a line of
a program in the background may stand between them, but only as a whole. Two lines that are mixed
match no shape."""

import itertools
import re
import subprocess
import sys
import time

from console import Session, finish, result

PROMPT_S = 30
BOOT_S = 200  # a build may come first
SECONDS_OF_ALL = 3600
LOAD = ["run hog 2 36000 &", "run pingpong 4 100000000 &"]
PRIMES = [2, 3, 5, 7, 11, 13, 17, 19]

N = r"\d+"
TIME = r"\d+(?:\.\d+)?(?:ns|µs|us|ms|s)"
F = r"(?!.*\(\.\.\.\).*\(\.\.\.\))[\w<&(\[{*][^\t]*"  # a function: types may have anything in them
PLACE = r"[^\s:]+\.rs:\d+"
REASON = r"(?:runnable|running|sleep|IO wait|chan send|chan receive|select|sync\.\w+(?:\.\w+)?|goroutine join|park|coroutine|idle)"
BACKGROUND = [rf"{N} hits in {TIME}", r"|".join(map(str, PRIMES)), rf"{N} goroutines waited"]

GOROUTINES = [
    rf"goroutine {N} \[{REASON}(?:, {N} minutes)?\](?: \{{[^{{}}]*\}})?:",
    rf"{F}\(\.\.\.\)",
    rf"\t{PLACE}(?: \+0x[0-9a-f]+)?",
    rf"created by (?!.*created by){F} in goroutine {N}",
    r"\tgoroutine running on other thread; stack unavailable",
    rf"\.\.\.{N} frames elided\.\.\.",
    "",
]
SCHED = [
    rf"SCHED {N}ms: gomaxprocs={N} idleprocs={N} threads={N} spinningthreads={N} "
    rf"needspinning=[01] idlethreads={N} runqueue={N}"
    rf"(?: \[ (?:{N} )+\] schedticks=\[ (?:{N} )+\]"
    rf"| gcwaiting=(?:true|false) nmidlelocked={N} stopwait={N} sysmonwait=false)",
    rf"  P{N}: status={N} schedtick={N} m=(?:{N}|nil) runqsize={N} gfreecnt={N} timerslen={N}",
    rf"  M{N}: p=(?:{N}|nil) curg=(?:{N}|nil) locks={N} dying={N} spinning=(?:true|false) "
    rf"blocked=(?:true|false) lockedg=(?:{N}|nil)",
    rf"  G{N}: status={N}\((?:{REASON})?\) m=(?:{N}|nil) lockedm=(?:{N}|nil)",
]
HELP = [
    "Commands, ; between them:",
    "Programs for run:",
    # Name, usage and what it is: one entry in a line, none of which says "  name  usage" again.
    r"(?:run)?  [a-z_]+ +\S.*",
    r"usage: help \[COMMAND\]",
]
PS = [
    r" +ID STATUS +WAITS FOR +SINCE CPU  NAME +CREATED BY",
    rf" *{N} (?:idle|runnable|running|dead) {{2,}}(?:-|{N})  \S+ +(?:-|{F} {PLACE} in {N})",
    rf"{N} (?:of {N} )?goroutines",
    r"usage: ps .*",
    rf" *{N} waiting +{REASON} +\d+\.\d{{3}}s +(?:-|{N})  \S+ +(?:-|{F} {PLACE} in {N})",
]
STATS = [
    r"  P +slices +switches +runq +steals +asked +taken +forced +created +ended",
    rf" *{N}(?: +{N}){{9}}",
    r"  M +P +idle +spinning +sent +got +ticks",
    rf" *{N} +(?:-|{N})(?: +\d+\.\d{{3}}s){{2}}(?: +{N}){{3}}",
    rf"{N} goroutines, {N} in the global queue",
    "",
]
MEM = [
    rf" *(?:total|free|available|heap mapped|heap used|stacks|system stacks|page tables|emergency"
    rf"|frame table) +{N} KiB"
]
NO_PORT = r"no second serial port: boot with run-qemu\.sh --files DIR"
TRACE = [
    r"the last events of each CPU are kept: trace dump, trace show",
    rf"  CPU +{N}: {N} events since boot, the last {N} are kept",
    r"[0-9a-f]{16}",
    rf"trace: (?:{NO_PORT}|no trace is being written)",
    rf"the last {N} ms, {N} us a character",
    r" *\d+ \|[a-z.<!?]{84}\|",
    r"\. idle   < it stole   ! preempted",
    rf"(?:[a-z]={N} \d+\.\d+ms(?:   )?)*(?:and {N} more)?",
    r"usage: trace .*",
]
PROF = [
    rf"prof: {NO_PORT}|prof: [\w.-]+: {NO_PORT}",
    r"prof: nothing was counted; prof (?:block|mutex) on begins to count",
    rf"(?:block|mutex): 0, {N} contentions; 0 of 0 functions",
    r" +flat +cum +function",
    r"--- (?:contention|mutex):",
    rf"(?:cycles/second|sampling period)={N}",
    r"usage: prof .*",
]

WHO = rf"{N}(?: \(.+\))?"
WAITS = [
    r"GOROUTINE +WAITS +SINCE +FOR +COULD BE ENDED BY +AT",
    rf"(?:{WHO}|{N} of them) +{REASON} +\d+\.\d{{3}}s +(?:-|0x[0-9a-f]+(?: \+{N})?|{N} objects) +\S.*",
    r"no (?:goroutine waits|deadlock is found)",
    rf"goroutine {N} does not wait, or is not there",
    r"usage: waits .*",
]
LOCKS = [
    r"no goroutine waits for a lock",
    r"LOCK +KIND +WAITERS +LONGEST +WHO +HOLDER",
    rf"0x[0-9a-f]+ +sync\.\w+\.\w+ +{N} +\d+\.\d{{3}}s +{N}(?:, {N})*(?:, and {N} more)? +"
    rf"(?:{N}, which (?:has ended|does not wait)|{N} \[{REASON}\] at \S.*|readers, or just changing hands)",
    rf"M {N} holds the kernel's: \w+(?:, \w+)*",
]

# The arguments of each command, in turn, and its shapes. None: any lines, as of a profile's text,
# but the prompt must come.
COMMANDS = {
    "help": (["", "sched", "sieve", "bogus"], HELP),
    "ps": (["", "-s cpu:desc status=running", "job=1", "bogus"], PS),
    "bt": (["1", "all", "99999999", ""], GOROUTINES + [r"there is no goroutine 99999999: see ps", r"usage: bt .*"]),
    "waits": (["", "-d", "1", "99999999", "x"], WAITS),
    "locks": ([""], LOCKS),
    "stats": ([""], STATS),
    "mem": ([""], MEM),
    "trace": (["status", "hash", "dump", "start", "stop", "show", "bogus"], TRACE),
    "sched": (["", "detail"], SCHED),
    "gomaxprocs": (["", "6", "8", "0"], [r"gomaxprocs=\d", r"usage: gomaxprocs \[N\]"]),
    "uptime": ([""], [rf"up \d+\.\d{{3}} s, {N} goroutines, {N} of 8 CPUs used"]),
    "echo": (["all is well", "a  b"], [r"all is well|a b"]),
    "clear": ([""], [""]),
    "run": (
        ["sieve 8 &", "ring 5 2", "pingpong 2 5 &", "primes 9 2", "crowd 8 1 &", "bogus", "hog 1 0", ""],
        [rf"the token is {N}.*", rf"{N} primes.*", rf"parts begun on each M: \[{N}(?:, {N}){{7}}\]", r'"bogus" is no program: see help',
         rf"slept {TIME} among 1 hogs, which turned {N} times", r"usage: run .*"],
    ),
    "jobs": ([""], [rf"\[{N}\] (?:running|done|stopped) +\w+ +{N} goroutines"]),
    "kill": (["999", "x", ""], [r"there is no job 999: see jobs", r"usage: kill JOB"]),
    "freeze": ([""], [r"frozen; thaw lets them go on"]),
    "thaw": ([""], [rf"{N} goroutines were ready to run"]),
    "cpus": ([""], [r"CPU   P STATE +IDLE  SPINNING  LOCKS", rf" *{N} +(?:-|{N}) \S.* +\d+\.\d% +\d+\.\d% +{N}"]),
    "irq": ([""], [r"CPU +TIMER +IPIS GOT +SENT", rf" *{N} +{N} +{N} +{N}", rf"CPUs called again that had not woken up: {N}"]),
    "timers": (
        [""],
        [rf"P +{N}: {N} timers, (?:none is due|the first (?:in \d+\.\d{{3}}s|is due))", rf"goroutine +{N} \[{REASON}\] (?:in \d+\.\d{{3}}s|is due)"],
    ),
    "top": (["1 1", "0"], None),
    "prof": (["block", "mutex", "cpu 1 100 x", "goroutine x", "cpu", "cpu 0.1 20"], PROF),
}
FREE = {"prof cpu 0.1 20"}  # the table of a profile and its text
LEFT_OUT = {"panic", "exit"}  # they end the image


# A job that begins in the background, or whose end is told at a prompt.
JOB = rf"\[{N}\] (?:\w+|done \w+(?:, (?:1 goroutine is|{N} goroutines are) left)?)"


class Chaos:
    """A session, what was typed into it, and what the background still owes."""

    def __init__(self):
        self.session = Session("--smp", "8", "--", "chaos=30", "run=", limit_s=SECONDS_OF_ALL)
        _, booted = self.session.read_until(r"\n> ", BOOT_S)
        result("it boots to a prompt", booted, None)
        self.background = {}
        self.echo_s = []
        self.slowest = (0.0, "")

    def command(self, line):
        """Types it; the lines it printed, without those of the background. None: no prompt."""
        begun = time.monotonic()
        self.session.send(line.encode() + b"\r")
        # A clear screen has no line before the prompt.
        seen, prompt = self.session.read_until(r"(?:\n|\x1b\[2J)> ", PROMPT_S)
        took_s = time.monotonic() - begun
        self.slowest = max(self.slowest, (took_s, line))
        if line.startswith("echo "):
            self.echo_s.append(took_s)
        if not prompt:
            result(f"{line!r} is answered within {PROMPT_S} s", False, seen[-2000:])
            return None
        lines = seen[: -len("> ")].replace("\x1b[H\x1b[2J", "\n").split("\n")[:-1]
        echoed = ""
        while lines and echoed != line:
            # A line of the background ends the prompt's line, and the echo goes on after it.
            one = lines.pop(0)
            if not self.of_background(one) and not re.fullmatch(JOB, one):
                echoed += one
            if not line.startswith(echoed):
                break
        result(f"{line!r} is echoed", echoed == line, seen[-2000:])
        return lines

    def of_background(self, line):
        """Whether it is a whole line of a program in the background; counts it."""
        for shape in BACKGROUND:
            if re.fullmatch(shape, line):
                self.background[shape] = self.background.get(shape, 0) + 1
                return True
        return False

    def check(self, line, shapes):
        """Types a command, and wants every line to match."""
        lines = self.command(line)
        if lines is None:
            return False
        torn = [
            one
            for one in lines
            if not self.of_background(one)
            and not re.fullmatch(JOB, one)
            and shapes is not None
            and not any(re.fullmatch(shape, one) for shape in shapes)
        ]
        result(f"{line!r} prints whole lines of its own", not torn, torn[:20])
        return True


def names(lines):
    """The commands that `help` lists."""
    table = itertools.takewhile(lambda line: not line.startswith("Programs"), lines)
    return [line.split()[0] for line in table if line.startswith("  ")]


def quantile(sorted_s, q):
    return sorted_s[min(len(sorted_s) - 1, int(q * len(sorted_s)))]


def run(count):
    chaos = Chaos()
    for line in LOAD:
        chaos.check(line, [])
    all_names = [name for name in names(chaos.command("help") or []) if name not in LEFT_OUT]
    result("help lists the commands", {"ps", "echo"} <= set(all_names), all_names)
    for name in all_names:
        if name not in COMMANDS:
            print(f"{name}: no shapes are known; only its prompt is wanted")
    typed = {name: 0 for name in all_names}
    owed = 0
    for i in range(count):
        name = all_names[i % len(all_names)]
        # Of a command that is not known, misuse, so that it does not wait for somebody.
        arguments, shapes = COMMANDS.get(name, (["no such thing"], None))
        line = f"{name} {arguments[typed[name] % len(arguments)]}".strip()
        typed[name] += 1
        owed += len(PRIMES) if line == "run sieve 8 &" else line.startswith("run") and line[-1] == "&"
        if not chaos.check(line, None if line in FREE else shapes):
            break
    else:
        end = time.monotonic() + PROMPT_S
        while sum(chaos.background.values()) < owed and time.monotonic() < end:
            chaos.check("echo all is well", [r"all is well"])
        got = sum(chaos.background.values())
        result(f"the background has printed its {owed} lines", got == owed, got)
    if chaos.echo_s:
        echo_ms = sorted(1000 * s for s in chaos.echo_s)
        print(
            f"Enter to prompt, {len(echo_ms)} echoes: p50 {quantile(echo_ms, 0.5):.1f} ms, "
            f"p99 {quantile(echo_ms, 0.99):.1f} ms, max {echo_ms[-1]:.1f} ms"
        )
    print(f"{sum(typed.values())} commands; the slowest: {chaos.slowest[1]!r}, {chaos.slowest[0]:.1f} s")
    if not chaos.session.ended:
        chaos.session.send(b"exit 0\r")
        chaos.session.read_until(r"(?!)", PROMPT_S)
    try:
        status = chaos.session.process.wait(PROMPT_S)
    except subprocess.TimeoutExpired:
        status = None
    result("exit 0 ends with status 0", status == 0, status)
    chaos.session.stop()
    finish()


run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
