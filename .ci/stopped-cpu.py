#!/usr/bin/env python3
"""A CPU that is stopped from outside for seconds, as a hypervisor does to a virtual machine's, and the
whole machine stopped. Work goes on on the others, nobody hangs, no false alarm is raised, and what
comes out is right.

QEMU's monitor stops all CPUs or none, so single ones are stopped through its gdb stub: of a program
that is interrupted, only the threads (CPUs) that are named go on.
"""

import re
import socket
import subprocess
import sys
import threading
import time

from console import finish, result

CPUS = 4
BOOT_S = 60
STOP_S = 1.5  # the silence of a CPU is looked into after a second
END_S = 200
ROUNDS = 40


class Gdb:
    """As much of gdb's remote protocol as it takes to let some CPUs go on."""

    def __init__(self, port):
        deadline = time.monotonic() + BOOT_S
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.buffer = b""

    def send(self, text):
        body = text.encode()
        self.socket.sendall(b"$%s#%02x" % (body, sum(body) % 256))

    def answer(self):
        """The next packet."""
        while True:
            packet = re.search(rb"\$([^#]*)#..", self.buffer)
            if packet:
                self.buffer = self.buffer[packet.end() :]
                self.socket.sendall(b"+")
                return packet[1].decode()
            data = self.socket.recv(4096)
            if not data:
                raise ConnectionError("the gdb stub is gone")
            self.buffer += data

    def ask(self, text):
        self.send(text)
        return self.answer()

    def interrupt(self):
        self.socket.sendall(b"\x03")
        return self.answer()

    def go_on(self, threads):
        """Lets these CPUs go on, numbered from 1."""
        self.send("vCont" + "".join(f";c:{thread}" for thread in threads))


class Machine:
    """An image that boots, with a gdb stub."""

    def __init__(self, *words):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.text = ""
        self.process = subprocess.Popen(
            ["./run-qemu.sh", "--smp", str(CPUS), "--timeout", str(END_S), "--gdb", "--gdb-port"]
            + [str(self.port), "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.gdb = Gdb(self.port)
        self.gdb.ask("?")
        self.gdb.go_on(range(1, CPUS + 1))

    def read(self):
        for line in self.process.stdout:
            self.text += line

    def wait_for(self, pattern):
        deadline = time.monotonic() + BOOT_S
        while not re.search(pattern, self.text):
            if time.monotonic() > deadline or self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def end(self):
        """Its status."""
        status = self.process.wait(END_S + 10)
        self.reader.join()
        return status


def work_beside(name, stop):
    """Boots, has `stop` disturb the machine while it works, and looks at what came of it."""
    work = "; ".join(["run everything"] * ROUNDS)
    machine = Machine(f'run="{work}; exit 0"')
    if not machine.wait_for("locals: right"):
        machine.process.terminate()
        result(f"{name}: it boots", False, machine.text)
        return
    stop(machine)
    still_works = machine.process.poll() is None
    status = machine.end()
    right = machine.text.count("everything: right")
    result(f"{name}: the disturbance came amid the work", still_works, machine.text)
    result(f"{name}: all comes out right", (status, right) == (0, ROUNDS), machine.text)
    lines = [line for line in machine.text.split("\n") if "runtime:" in line or "error" in line]
    result(f"{name}: nobody is blamed", not lines, lines)


def one_cpu(stopped):
    def stop(machine):
        everybody = range(1, CPUS + 1)
        machine.gdb.interrupt()
        machine.gdb.go_on(thread for thread in everybody if thread != stopped + 1)
        before = machine.text.count(": right")
        time.sleep(STOP_S)
        after = machine.text.count(": right")
        print(f"CPU {stopped} stopped for {STOP_S} s: {after - before} parts done meanwhile")
        machine.gdb.interrupt()
        machine.gdb.go_on(everybody)

    return stop


def all_cpus(machine):
    machine.gdb.interrupt()
    time.sleep(STOP_S)
    machine.gdb.go_on(range(1, CPUS + 1))


for cpu in range(CPUS):
    work_beside(f"CPU {cpu} is stopped", one_cpu(cpu))
work_beside("the machine is stopped", all_cpus)
finish()
