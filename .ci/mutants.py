#!/usr/bin/env python3
"""Deliberate bugs, each of which some test must catch: mutants.py [--list] [NAME|KIND...].

A bug is a patch in .ci/mutants/. Its header says what is left out and what breaks then, and names
the test that catches it:

    Bug: what the patch leaves out
    Breaks: the order of events that goes wrong
    Run: loom|host|tsan TEST              by .ci/loom.sh, .ci/host-tests.sh, .ci/tsan.sh
    Run: target SUITE TEST [VARIABLE=VALUE...]     on the target; variables of run-qemu.sh

KIND is one of loom, host, tsan and target. Of those that are not chosen, the patches must apply.

The tracked files are copied to a folder of their own, as they are now, and built there. First each
test passes without a bug. Then it must fail with the bug, by its own report or by the kernel's (a
panic, a fatal error). A patch that no longer applies or compiles, a machine that dies without a
word, and a test that passes all the same are failures of this check. REPLAY may be several seeds,
of which one has to bring the bug to light: which one changes with every change of the image. TRIES
is how often a test is run, if need be, that meets the bug by chance.

MUTANTS_DIR is where the copy is and stays, so that the next run builds only what has changed;
without it, it is a temporary folder. The closing line is that of the project's other tests."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATCHES = ROOT / ".ci" / "mutants"
BUILD_S = 900
RUN_S = 120
LIMIT_S = 15  # of a test on the target, which says by itself what hangs
SCRIPTS = {
    "loom": [".ci/loom.sh", "test"],
    "host": [".ci/host-tests.sh", "test"],
    "tsan": [".ci/tsan.sh"],
}
KINDS = [*SCRIPTS, "target"]


class Problem(Exception):
    """What is wrong with the table or the sources: the reason, and what was printed."""

    def __init__(self, reason, output=""):
        super().__init__(reason)
        self.output = output


class Mutant:
    """A patch and its header."""

    def __init__(self, path):
        self.path = path
        self.name = path.stem
        header, found, _ = path.read_text(encoding="utf-8").partition("\n--- a/")
        fields = dict(re.findall(r"^(\w+): (.*(?:\n .*)*)", header, re.M))
        if not found or not {"Bug", "Breaks", "Run"} <= fields.keys():
            sys.exit(f"mutants.py: {path.name}: the header is not whole")
        self.bug = " ".join(fields["Bug"].split())
        self.run = Run(fields["Run"])

    def files(self):
        """What the patch changes."""
        return re.findall(r"^\+\+\+ b/(\S+)", self.path.read_text(encoding="utf-8"), re.M)


class Run:
    """How a test is built and run."""

    def __init__(self, text):
        words = shlex.split(text)
        self.text = " ".join(words)
        self.kind = words[0]
        if self.kind == "target":
            self.suite, self.test = words[1:3]
            self.build = [".ci/executables.sh", "test", "--no-run", "--test", self.suite]
            self.variables = dict(word.split("=", 1) for word in words[3:])
        else:
            self.build = [*SCRIPTS[self.kind], "--no-run"]
            [self.test] = words[1:]
            self.variables = {}
        self.seeds = self.variables.pop("REPLAY", "").split()
        self.chances = int(self.variables.pop("TRIES", "1"))

    def tries(self, built):
        """The commands of which one has to fail, with their variables."""
        if self.kind != "target":
            # Not held back: a panic while loom unwinds from another one ends the process.
            arguments = ["--", "--exact", "--nocapture", self.test]
            return [([*SCRIPTS[self.kind], *arguments], {})]
        [image] = re.findall(rf"^.*/deps/{self.suite}-\w+$", built, re.M)
        command = ["./run-qemu.sh", "--timeout", str(RUN_S - 10), image]
        command += ["--exact", f"--timeout={LIMIT_S}", self.test]
        seeds = [{"REPLAY": seed} for seed in self.seeds] or [{}]
        return [(command, {**self.variables, **seed}) for seed in seeds]

    def verdict(self, status, output):
        """Whether the test passed (True), or the first line of its failure; None: neither."""
        if self.kind == "tsan" and "WARNING: ThreadSanitizer" in output:
            return re.search(r"SUMMARY: (.*)", output)[1]
        if status == 0 and re.search(r"^test result: ok\. 1 passed; 0 failed", output, re.M):
            return True
        patterns = [r"^(?:fatal error|panic): .*", r"panicked at \S+:\n(.*)",
                    r"^---- \S+ stdout ----\n(.*)"]
        found = [re.search(pattern, output, re.M) for pattern in patterns]
        if self.kind == "target" and status != 2 and f"test {self.test} ... FAILED" not in output:
            return None  # neither the test nor the kernel said why
        return next((match[match.re.groups] for match in found if match and status), None)


class Copy:
    """The sources in a folder of their own, with target folders beside them."""

    def __init__(self, folder):
        self.tree = folder / "tree"
        self.environment = {
            **os.environ,
            "CARGO_TARGET_DIR": str(folder / "target"),
            # Most of the time goes into building the same crate anew with another line changed.
            "CARGO_INCREMENTAL": "1",
            "CARGO_PROFILE_DEV_DEBUG": "none",
            "CARGO_PROFILE_RELEASE_DEBUG": "none",
            "CARGO_PROFILE_RELEASE_LTO": "off",
            "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "256",
            "RUST_BACKTRACE": "0",
            "GIT_CEILING_DIRECTORIES": str(folder),  # else `git apply` might look for a repository
        }
        self.build_s = 0.0
        listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
        names = {name for name in listed.split("\0") if (ROOT / name).is_file()}
        for path in self.tree.rglob("*"):
            if path.is_file() and str(path.relative_to(self.tree)) not in names:
                path.unlink()
        for name in names:
            self.restore(name)

    def restore(self, name):
        """Makes a file as it is in the repository, and touches it only if it is not."""
        source, to = ROOT / name, self.tree / name
        if not to.exists() or to.read_bytes() != source.read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)

    def apply(self, mutant, *options):
        """Puts a bug in."""
        status, output = self.call(["git", "apply", *options, str(mutant.path)], {}, 60)
        if status != 0:
            raise Problem("the patch does not apply", output)

    def call(self, command, variables, limit_s):
        """Status and output of a command; status None if it took too long."""
        environment = {**self.environment, **variables}
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, cwd=self.tree, env=environment,
                                       stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            try:
                status = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                status = None
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.seek(0)
            return status, log.read().decode("utf-8", "replace").replace("\r", "")

    def build(self, run):
        """Builds a test. What the build printed."""
        start = time.monotonic()
        status, output = self.call(run.build, {}, BUILD_S)
        self.build_s += time.monotonic() - start
        if status != 0:
            raise Problem("it does not compile" if status else "the build takes too long", output)
        return output

    def outcomes(self, run, chances=1):
        """The verdict of each try, with its seconds and output."""
        built = self.build(run)
        for command, variables in run.tries(built) * chances:
            start = time.monotonic()
            status, output = self.call(command, variables, RUN_S)
            verdict = run.verdict(status, output)
            if verdict is None:
                why = "took too long" if status is None else f"ended with {status}"
                raise Problem(f"{run.text}: no verdict, it {why}", output)
            yield verdict, time.monotonic() - start, output


class Tally:
    """What came out so far."""

    passed = failed = 0

    def ok(self, text):
        """One that is as it should be."""
        self.passed += 1
        print(text, flush=True)

    def bad(self, name, problem):
        """One that is not."""
        self.failed += 1
        print(f"FAILED  {name}: {problem}", flush=True)
        for line in problem.output.splitlines()[-60:]:
            print(f"    {line}", flush=True)


def check_clean(copy, run, tally):
    """The test passes as the sources are."""
    start = time.monotonic()
    try:
        for verdict, _, output in copy.outcomes(run):
            if verdict is not True:
                raise Problem(f"fails without a bug: {verdict}", output)
    except Problem as problem:
        tally.bad(run.text, problem)
        return False
    tally.ok(f"ok      {run.text}: passes without a bug, {time.monotonic() - start:.0f} s")
    return True


def check_mutant(copy, mutant, tally):
    """The test fails with the bug in."""
    try:
        copy.apply(mutant)
        seconds, output = 0.0, ""
        for verdict, took_s, output in copy.outcomes(mutant.run, mutant.run.chances):
            seconds += took_s
            if verdict is not True:
                test = f"{mutant.run.kind} {mutant.run.test}"
                tally.ok(f"caught  {mutant.name} by {test} in {seconds:.1f} s: {verdict}")
                return
        raise Problem(f"{mutant.run.text} passes with the bug in", output)
    except Problem as problem:
        tally.bad(mutant.name, problem)
    finally:
        for name in mutant.files():
            copy.restore(name)


def choose(arguments):
    """The mutants that the arguments name, in the order in which builds cost least."""
    mutants = [Mutant(path) for path in sorted(PATCHES.glob("*.patch"))]
    mutants.sort(key=lambda mutant: KINDS.index(mutant.run.kind))
    names = [argument for argument in arguments if not argument.startswith("--")]
    flags = set(arguments) - set(names)
    known = {mutant.name for mutant in mutants} | set(KINDS)
    unknown = [*(set(names) - known), *(flags - {"--list"})]
    if unknown:
        sys.exit(f"mutants.py: there is no {' '.join(unknown)}")
    all_mutants = mutants
    if names:
        mutants = [m for m in mutants if m.name in names or m.run.kind in names]
    others = [mutant for mutant in all_mutants if mutant not in mutants]
    return mutants, others, "--list" in flags


def main():
    """All of it."""
    mutants, others, only_list = choose(sys.argv[1:])
    if only_list:
        for mutant in mutants:
            print(f"{mutant.name:24} {mutant.run.text}\n    {mutant.bug}")
        return 0
    tally = Tally()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gosched-mutants.") as temporary:
        copy = Copy(pathlib.Path(os.environ.get("MUTANTS_DIR") or temporary).absolute())
        for mutant in others:
            try:
                copy.apply(mutant, "--check")
            except Problem as problem:
                tally.bad(mutant.name, problem)
        runs = {mutant.run.text: mutant.run for mutant in mutants}
        clean = {text for text, run in runs.items() if check_clean(copy, run, tally)}
        for mutant in mutants:
            if mutant.run.text in clean:
                check_mutant(copy, mutant, tally)
        print(f"{copy.build_s:.0f} of {time.monotonic() - start:.0f} s for the builds")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return int(tally.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
