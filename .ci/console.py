"""A session with an image's serial console on a pseudo terminal, and the closing line of the
project's tests. For the scripts beside it."""

import codecs
import os
import pty
import re
import select
import subprocess
import sys
import time

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
PROMPT = "> "
LIMIT_S = 300  # a build may come first
passed, failed = 0, 0


def result(name, ok, seen):
    """Counts a check; shows what was seen instead if it failed."""
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name}; seen: {seen!r}", flush=True)


def finish():
    """Prints the closing line and ends the script."""
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


class Session:
    """run-qemu.sh on a terminal of its own."""

    def __init__(self, *arguments, limit_s=LIMIT_S, environment=None):
        self.terminal, end = pty.openpty()
        command = ["./run-qemu.sh", "--timeout", str(limit_s), *arguments]
        self.process = subprocess.Popen(
            command, stdin=end, stdout=end, stderr=end, env=environment
        )
        os.close(end)
        self.unread = ""
        # A character may be cut at the end of what was read.
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.ended = False

    def receive(self, wait_s):
        """Adds to `unread` what is there, or comes within that time."""
        if self.ended or not select.select([self.terminal], [], [], wait_s)[0]:
            return
        try:
            data = os.read(self.terminal, 65536)
        except OSError:  # the other end is closed
            data = b""
        self.ended = not data
        self.unread += self.decoder.decode(data).replace("\r", "")

    def read_until(self, pattern, limit_s=LIMIT_S):
        """What comes up to and with a match, and whether there was one: not when the session ends
        or takes too long. Then all that came is given."""

        def end_of(_old):
            match = re.search(pattern, self.unread)
            return match.end() if match else None

        return self.read_while(end_of, limit_s)

    def read_to(self, text, limit_s=LIMIT_S):
        """What comes up to and with the text; less when the session ends or takes too long."""

        def end_of(old):
            # Megabytes come in pieces of some KiB: each is searched once, or the terminal fills.
            at = self.unread.find(text, max(0, old - len(text)))
            return at + len(text) if at >= 0 else None

        return self.read_while(end_of, limit_s)[0]

    def read_while(self, end_of, limit_s):
        """Receives until `end_of` finds an end in `unread`, of which it has seen so much."""
        deadline = time.monotonic() + limit_s
        old = 0
        while (end := end_of(old)) is None and not self.ended:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            old = len(self.unread)
            self.receive(min(left_s, 1))
        found = end is not None
        end = end if found else len(self.unread)
        seen, self.unread = self.unread[:end], self.unread[end:]
        return seen, found

    def send(self, data):
        """Types all of the data, and reads meanwhile: the image may print much for little."""
        while data and not self.ended:
            if select.select([], [self.terminal], [], 0.01)[1]:
                data = data[os.write(self.terminal, data[:256]) :]
            self.receive(0)

    def type(self, line):
        """Types a line; what is printed up to the next prompt."""
        self.send(line + b"\r")
        return self.read_to("\n" + PROMPT)

    def prints(self, line, *wanted):
        """Types a line and wants these texts in what it prints."""
        seen = self.type(line)
        result(f"{line!r} prints {wanted}", all(text in seen for text in wanted), seen)

    def prints_soon(self, line, *wanted):
        """As prints, at one of several tries."""
        for _ in range(100):
            seen = self.type(line)
            if all(text in seen for text in wanted):
                break
            time.sleep(0.1)
        result(f"{line!r} soon prints {wanted}", all(text in seen for text in wanted), seen)

    def ends(self, data, status):
        """Sends bytes that end the image with that status."""
        self.send(data)
        self.read_to("(the end of the session)")
        got = self.process.wait(LIMIT_S)
        result(f"{data!r} ends with {status}", got == status, got)
        os.close(self.terminal)

    def stop(self):
        """Ends a session that may not answer; run-qemu.sh ends its machine."""
        if self.process.poll() is None:
            self.process.terminate()
        while not self.ended:
            self.receive(1)
        self.process.wait()
        os.close(self.terminal)
