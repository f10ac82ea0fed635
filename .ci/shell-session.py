#!/usr/bin/env python3
"""Sessions with the shell of the default image: on a pseudo terminal, as a person types, and by
`run=` alone. The closing line is that of the project's other tests."""

import os
import subprocess
import time

from console import LIMIT_S, PROMPT, Session, finish, result


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
    session.prints(b"help sched", "  sched        [detail]")
    session.prints(b"help sieve", "run  sieve ")
    session.prints(b"help bogus", "usage: help [COMMAND]")
    session.prints(b"sched", "\nSCHED ", "ms: gomaxprocs=4 idleprocs=", "] schedticks=[ ")
    session.prints(b"sched detail", "\n  P3: status=", "\n  M0: p=", "\n  G1: status=2(")
    session.prints(b"gomaxprocs 2", "\ngomaxprocs=2\n")
    session.prints(b"gomaxprocs 999; gomaxprocs", "\ngomaxprocs=4\ngomaxprocs=4\n")
    session.prints(b"gomaxprocs 0", "usage: gomaxprocs [N]")
    session.prints(b"uptime", "\nup ", " goroutines, 4 of 4 CPUs used\n")
    session.prints(b"echo  a  b; echo", "\na b\n\n" + PROMPT)
    # The newline is for the prompt to be found by: clear leaves it in the first column.
    session.prints(b"clear; echo", "\x1b[H\x1b[2J\n")
    session.prints(b"run hello; run pub_sub", " squared is ", "weather: 10 messages")
    session.prints(b"run lost", "\n3 of 1003 goroutines are still missing\n")
    session.prints(b"ps", " transfer a→b ", " transfer b→a ", " echo ")
    session.prints(
        b"waits -d",
        "deadlock: 2 goroutines wait for each other\n",
        " (transfer a→b) [sync.Mutex.Lock, ",
        "leaked: 1 goroutine waits for ever\n",
        " (echo) [chan receive, ",
        " that nobody else can reach\n",
    )
    session.prints(b"waits", "COULD BE ENDED BY", "nobody: deadlock", "lost::transfer ")
    session.prints(b"locks", "LOCK ", "sync.Mutex.Lock ", " [sync.Mutex.Lock] at ")
    session.prints(b"waits 99999; waits x", "does not wait, or is not there", "usage: waits [-d | ID]")
    session.prints(b"run hello 1", "usage: run hello")
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
    session.prints(b"\x1b[24~run sieve 2\xff\x80\x00", "\n2\n3\n")
    session.prints(b"\x1b[A\x7f1", "\n2\n" + PROMPT)
    session.prints(b"ru\tsie\t\x1b[D\x1b[C'2'", "\n2\n3\n")
    session.prints(b"run 'sieve", "the quote ' at character 5 is not closed")
    session.prints(b"run primes " + b"9" * 1000, "usage: run primes")
    session.prints(b"", "\n" + PROMPT)
    session.prints(b"bogus", "no command")
    # A refused command is the status of a bare exit; Ctrl-D on an empty line is one.
    session.ends(b"\x04", 2)


def jobs():
    """Programs are stopped by Ctrl-C and kill, and frozen with all else but the shell."""
    session = Session("--", "run=")
    session.read_to("\n" + PROMPT)
    os.write(session.terminal, b"run deadlock\r")
    session.read_to("run deadlock\n")
    time.sleep(0.5)
    os.write(session.terminal, b"\x03")
    seen = session.read_to("\n" + PROMPT)
    result("Ctrl-C stops a program", "] stopped deadlock: " in seen and "interrupted" in seen, seen)
    session.prints(b"run hog 6 3600 &", "[2] hog")
    seen = session.type(b"run sieve 3 &")
    for _ in range(100):
        if "[3] done" not in seen:
            time.sleep(0.1)  # it shares the CPUs with the hogs
            seen += session.type(b"echo x")
    told = "[3] sieve\n" in seen and "[3] done sieve\n" in seen
    result("the end of a job in the background is told", told, seen)
    session.prints(b"jobs", "[1] stopped  deadlock", "[2] running  hog          7 goroutines")
    session.prints(b"freeze; echo shell goes on", "frozen; thaw", "shell goes on")
    session.prints(b"ps", " runnable ")
    session.prints(b"ps -s cpu:desc job=2", " goroutines\n")
    session.prints(b"ps name=hog; ps -s bogus", " hog ", "1 of ", "usage: ps [-s KEY")
    session.prints(b"cpus; irq; timers", " SPINNING ", " IPIS GOT ", " timers, ", " [sleep] in ")
    session.prints(b"thaw; thaw", "goroutines were ready to run", "nothing is frozen")
    session.prints(b"top 1 1", "CPU  3 ", "gosched::programs::hog::start")
    session.prints(b"kill 2; jobs", "[2] stopped hog: 7 goroutines will not run again")
    session.prints(b"kill 9", "there is no job 9")
    session.prints(b"trace hash; trace status", "the last events of each CPU are kept")
    session.prints(b"trace show", "the last 50 ms", "\n  3 |")
    session.prints(b"trace dump", "no second serial port: boot with run-qemu.sh --files DIR")
    session.prints(b"run hello; echo 'two  words'", " squared is ", "\ntwo  words\n")
    session.ends(b"exit\r", 0)


def interrupting():
    session = Session("--", "run=mem")
    session.read_to("\n" + PROMPT)
    # The rest of the line and what was typed ahead are dropped; what comes after Ctrl-C is not.
    os.write(session.terminal, b"run hog 2 2; echo not reached\r")
    session.read_to("reached\n")
    time.sleep(0.5)
    os.write(session.terminal, b"bogus\r\x03echo kept\r")
    seen = session.read_to("\nkept\n" + PROMPT)
    ok = "\ninterrupted\n" in seen and "\nkept\n" in seen
    ok = ok and "\nnot reached" not in seen and "bogus" not in seen
    result("Ctrl-C drops what came before it", ok, seen)
    # What it drops takes no room: the ring is full, and what comes after it is kept. (The second
    # Ctrl-C is the prompt's.)
    session.send(b"run hog 2 20; echo not reached\r")
    session.read_to("reached\n")
    session.send(b"x" * 70_000 + b"\x03" + b"y" * 50_000 + b"\x03echo kept\r")
    seen = session.read_to("\nkept\n" + PROMPT)
    ok = "\nkept\n" in seen and "x" not in seen
    result("Ctrl-C makes room", ok, seen)
    # At the prompt it is a key, and the next command does not find itself interrupted.
    os.write(session.terminal, b"bogus\x03")
    session.read_to("^C\n")
    session.prints(b"echo a; echo b", "\na\nb\n" + PROMPT)
    session.ends(b"panic out of order\r", 2)


def without_terminal():
    for run, status, text in [
        ("mem; run sieve 2", 0, "\n2\n3\n"),
        ("run sieve 2; bogus", 2, "no command"),
        ("exit 300; exit 9", 9, "usage: exit"),
        ("run panic", 2, "the len is 3 but the index is 3"),
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
jobs()
interrupting()
without_terminal()
finish()
