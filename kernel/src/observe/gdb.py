"""gdb's view of gosched: goroutines, Ms and Ps of a stopped machine.

    info goroutines       who there is, what it does, on which CPU
    goroutine ID CMD      runs CMD (bt, info registers, frame 3, ...) as if that goroutine had
    goroutine all CMD     stopped gdb; all: for every goroutine, one after the other
    info ms               the CPUs, and what each one runs
    info ps               the Ps with their run queues

Above this text the compiler has put `class layout`: where the fields are (observe/gdb.rs).
"""

import re
import struct

import gdb

GENERAL = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"]
GENERAL += ["r%d" % number for number in range(8, 16)] + ["rip"]
# What makes the machine run, with gdb's abbreviations: not while its registers are borrowed.
RESUMING = set(
    "c fg s si n ni u j k r call continue step stepi next nexti finish fin until advance adv "
    "jump kill run start starti detach disconnect signal return".split()
)
MAX_CALLS = 100  # of one stack, to find the function that `info goroutines` shows
MAX_NAME = 200  # bytes of a goroutine's name


# ---- Memory and symbols ------------------------------------------------------


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def half(address):
    return struct.unpack("<I", read(address, 4))[0]


addresses = {}


def address_of(symbol):
    """The address of a mangled name. In C, whatever language the program is in."""
    if symbol not in addresses:
        text = "with language c -- output/x (unsigned long long)&%s" % symbol
        # Where the frame is in Rust, gdb adds a warning about the language.
        found = re.match("0x[0-9a-f]+", gdb.execute(text, to_string=True))
        addresses[symbol] = int(found.group(), 16)
    return addresses[symbol]


functions_at = {}


def functions(pc):
    """The names of the functions at a pc, the innermost inlined one first."""
    if pc not in functions_at:
        names = []
        try:
            block = gdb.block_for_pc(pc)
        except RuntimeError:
            block = None
        while block is not None and not block.is_static and not block.is_global:
            if block.function is not None:
                names.append(block.function.print_name)
            block = block.superblock
        if not names:
            text = gdb.execute("info symbol %#x" % pc, to_string=True)
            if " in section" in text:
                name = re.split(r" \+ | in section", text)[0]
                names.append(re.sub(r"::h[0-9a-f]{16}.*", "", name))
        functions_at[pc] = names
    return functions_at[pc]


RUNTIME = re.compile(r"<*&?(mut )?(gosched|core|alloc|compiler_builtins|__rustc|rustc)::")


def is_programs(name):
    return "::" in name and not RUNTIME.match(name)


# ---- The machine -------------------------------------------------------------


class Selection:
    """Puts thread and frame back as they were, however the block ends."""

    def __enter__(self):
        self.thread = gdb.selected_thread()
        try:
            self.frame = gdb.selected_frame()
        except gdb.error:
            self.frame = None
        return self

    def __exit__(self, *_):
        if self.thread is not None and self.thread.is_valid():
            self.thread.switch()
            if self.frame is not None and self.frame.is_valid():
                self.frame.select()


class Machine(Selection):
    """The stopped machine, seen through a CPU that has the kernel in its memory."""

    def __enter__(self):
        super().__enter__()
        if self.thread is None:
            raise gdb.GdbError("gosched: not connected to a machine (target remote :PORT)")
        if self.thread.is_running():
            raise gdb.GdbError("gosched: the machine runs; stop it first (interrupt)")
        try:
            self.look_around()
        except (gdb.error, gdb.GdbError):
            self.__exit__()
            raise
        return self

    def look_around(self):
        allm = address_of(layout.allm)
        end = allm + layout.cpus * layout.M["size"]
        self.threads = {}  # by the address of the M
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            m = int(gdb.newest_frame().read_register("gs_base")) % 2**64
            if allm <= m < end:
                self.threads[m] = thread
        seer = self.threads.get(allm)
        if self.thread in self.threads.values():
            seer = self.thread
        if seer is None:
            raise gdb.GdbError(
                "gosched: the kernel is not up yet (still firmware or boot stage); "
                "go on to a place in it, such as: hbreak main function, continue"
            )
        seer.switch()
        self.seer = seer
        self.sched = address_of(layout.sched)
        self.ms = word(self.sched + layout.SCHED["ms"])

    def all_ms(self):
        allm = address_of(layout.allm)
        at = [allm + i * layout.M["size"] for i in range(layout.cpus)]
        return [m for i, m in enumerate(at) if self.ms >> i & 1 and m in self.threads]

    def goroutines(self):
        """All that are alive, by number."""
        found = []
        at = word(self.sched + layout.SCHED["allgs"])
        while at != 0:
            g = Goroutine(at)
            if g.status not in ("idle", "dead"):
                found.append(g)
            at = g.alllink
        return sorted(found, key=lambda g: g.goid)


def cpu_of(m):
    return (m - address_of(layout.allm)) // layout.M["size"]


def p_name(p):
    return "P%d" % half(p + layout.P["id"]) if p else "-"


def goid_at(g):
    return str(word(g + layout.G["goid"])) if g else "-"


class Goroutine:
    def __init__(self, address):
        data = read(address, layout.G["size"])
        G = layout.G

        def word_at(field):
            return struct.unpack_from("<Q", data, G[field])[0]

        self.address = address
        self.goid, self.m, self.lockedm = word_at("goid"), word_at("m"), word_at("lockedm")
        self.lo, self.hi, self.startpc = word_at("lo"), word_at("hi"), word_at("startpc")
        self.gobuf = {"rip": word_at("pc"), "rsp": word_at("sp"), "rbp": word_at("bp")}
        self.alllink, self.system = word_at("alllink"), data[G["system"]] != 0
        number = struct.unpack_from("<I", data, G["status"])[0] & ~layout.SCAN
        names = {value: name for name, value in layout.STATUS.items()}
        self.status = names.get(number, "status %d" % number)
        self.reason = data[G["waitreason"]]
        self.name_at = word_at("name_ptr"), word_at("name_len")

    def what(self):
        """Its status, as in a dump."""
        text = self.status
        if text == "waiting" and self.reason < layout.reason_count:
            at = address_of(layout.reasons) + self.reason * layout.text_size
            text = read(word(at), word(at + layout.text_len)).decode() or text
        return text + (", locked to thread" if self.lockedm else "")

    def name(self):
        at, length = self.name_at
        if at == 0:
            return None
        try:
            text = read(at, min(length, MAX_NAME)).decode(errors="replace")
        except gdb.MemoryError:
            return "?"
        # A name may hold anything, and is to stay a piece of a line.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

    def label(self):
        name = self.name()
        return "" if name is None else "  {name: %s}" % name

    def holds(self, sp):
        return self.lo <= sp < self.hi

    def stands(self, machine):
        """Its registers where its own code stands, and whether rip is that of the next
        instruction (else: a return address). None while it is being switched.

        That of a running one is the first frame of its CPU that is on its stack: what lies inside
        is an interrupt's. If there is none, the CPU is on g0 for it, and its Gobuf is current.
        """
        thread = machine.threads.get(self.m) if self.status == "running" else None
        if thread is not None:
            thread.switch()
            frame, exact = gdb.newest_frame(), True
            while frame is not None:
                if self.holds(int(frame.read_register("rsp")) % 2**64):
                    at = {name: int(frame.read_register(name)) % 2**64 for name in GENERAL}
                    return at, exact
                exact = frame.type() == gdb.SIGTRAMP_FRAME
                frame = frame.older()
        if self.gobuf["rip"] != 0 and self.holds(self.gobuf["rsp"]):
            return self.gobuf, False
        return None

    def function(self, machine):
        """The innermost function of the program's on its stack; else where it began."""
        stands = self.stands(machine)
        machine.seer.switch()
        if stands is None:
            return "(being switched)"
        at, exact = stands
        names = functions(at["rip"] - (not exact))
        for pc in [None] + list(self.return_addresses(at["rbp"])):
            if pc is not None:
                names = functions(pc - 1)
            for name in names:
                if is_programs(name):
                    return name
        begin = (functions(self.startpc) or functions(at["rip"]) or ["%#x" % at["rip"]])[-1]
        # One that never ran begins in the function that is made for each type of closure.
        closure = re.match(r"gosched::sched::newproc::entry<(.*)>$", begin)
        return closure.group(1) if closure else begin

    def return_addresses(self, bp):
        """By the chain of frame pointers, from memory that is read at once."""
        if not self.holds(bp):
            return
        base = bp
        stack = read(base, min(self.hi - base, 4096))
        for _ in range(MAX_CALLS):
            if not base <= bp <= base + len(stack) - 16:
                return
            older, pc = struct.unpack_from("<QQ", stack, bp - base)
            yield pc
            if older <= bp:
                return
            bp = older


# ---- Commands ----------------------------------------------------------------


class InfoGoroutines(gdb.Command):
    """List the goroutines: number, status or wait reason, CPU, innermost function of the program's.
A * marks those that a CPU runs."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, _, _from_tty):
        with Machine() as machine:
            found = machine.goroutines()
            if not found:
                print("gosched: no goroutines yet: the kernel still boots")
            for g in found:
                cpu = "CPU %d" % cpu_of(g.m) if g.m else ""
                mark = "*" if g.status == "running" else " "
                kind = "  (runtime)" if g.system else ""
                print(
                    "%s %-5d %-20s %-6s %s%s%s"
                    % (mark, g.goid, g.what(), cpu, g.function(machine), g.label(), kind)
                )


def set_registers(values):
    for name, value in values.items():
        gdb.newest_frame().select()
        gdb.execute("with language c -- set var $%s = %#xULL" % (name, value), to_string=True)


def run_as(g, machine, command):
    """Runs a gdb command where the goroutine stands: on a CPU whose registers are borrowed."""
    stands = g.stands(machine)
    if stands is None:
        raise gdb.GdbError("gosched: goroutine %d is just being switched; stepi a little" % g.goid)
    at, _ = stands
    if machine.threads.get(g.m) is None or g.status != "running":
        machine.seer.switch()
    gdb.newest_frame().select()
    before = {name: int(gdb.newest_frame().read_register(name)) % 2**64 for name in GENERAL}
    changed = {name: value for name, value in at.items() if before[name] != value}
    try:
        set_registers(changed)
        gdb.newest_frame().select()
        gdb.execute(command)
    finally:
        set_registers({name: before[name] for name in changed})


class GoroutineCommand(gdb.Command):
    """Run a command as if a goroutine had stopped gdb: goroutine ID CMD, goroutine all CMD.
CMD looks (bt, frame N, info registers, x, p); it cannot make the machine run."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, argument, _from_tty):
        words = argument.split(None, 1)
        if len(words) != 2 or not (words[0] == "all" or words[0].isdigit()):
            raise gdb.GdbError("usage: goroutine ID CMD, or: goroutine all CMD")
        which, command = words
        if re.split(r"[\s/]", command)[0] in RESUMING:
            raise gdb.GdbError("gosched: '%s' would run the machine; CMD only looks" % command)
        with Machine() as machine:
            found = machine.goroutines()
            if which == "all":
                for g in found:
                    print("goroutine %d [%s]:%s" % (g.goid, g.what(), g.label()))
                    try:
                        run_as(g, machine, command)
                    except gdb.GdbError as error:
                        print(error)
                    print("")
                return
            for g in found:
                if g.goid == int(which):
                    return run_as(g, machine, command)
            raise gdb.GdbError("gosched: there is no goroutine %s" % which)


class InfoMs(gdb.Command):
    """List the Ms, which are the CPUs: gdb's thread, P, goroutine, m.locks, and what each one does.
A * marks the thread that is selected."""

    def __init__(self):
        super().__init__("info ms", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def state(self, m, machine):
        g, curg = word(m + layout.M["g"]), word(m + layout.M["curg"])
        if half(m + layout.M["dying"]) != 0:
            return "reports the end of the image"
        if g != curg and g != word(m + layout.M["g0"]):
            return "in an interrupt" + (" of goroutine %s" % goid_at(curg) if curg else "")
        if g == curg:
            return "runs goroutine %s" % goid_at(curg)
        if read(m + layout.M["spinning"], 1) != b"\0":
            return "spins: looks for work"
        if read(machine.sched + layout.SCHED["started"], 1) == b"\0":
            return "boots" if cpu_of(m) == 0 else "waits for the end of boot"
        return "in the scheduler" if word(m + layout.M["p"]) else "idle"

    def invoke(self, _, _from_tty):
        with Machine() as machine:
            print("  M    thread  P    curg   locks  lockedg  state")
            for m in machine.all_ms():
                thread = machine.threads[m]
                row = (
                    "*" if thread == machine.thread else " ",
                    "M%d" % cpu_of(m),
                    thread.num,
                    p_name(word(m + layout.M["p"])),
                    goid_at(word(m + layout.M["curg"])),
                    half(m + layout.M["locks"]),
                    goid_at(word(m + layout.M["lockedg"])),
                    self.state(m, machine),
                )
                print("%s %-4s %-7d %-4s %-6s %-6d %-8s %s" % row)


class InfoPs(gdb.Command):
    """List the Ps: status, M, length of the run queue, runnext, schedtick.
Below them the global queue."""

    def __init__(self):
        super().__init__("info ps", gdb.COMMAND_STACK, gdb.COMPLETE_NONE)

    def invoke(self, _, _from_tty):
        with Machine() as machine:
            names = {value: name for name, value in layout.PSTATUS.items()}
            count = half(machine.sched + layout.SCHED["gomaxprocs"])
            print("P    status   M    runq  runnext  schedtick")
            for p in (address_of(layout.allp) + i * layout.P["size"] for i in range(count)):
                m = word(p + layout.P["m"])
                row = (
                    p_name(p),
                    names.get(half(p + layout.P["status"]), "dead"),
                    "M%d" % cpu_of(m) if m else "-",
                    (half(p + layout.P["tail"]) - half(p + layout.P["head"])) % 2**32,
                    goid_at(word(p + layout.P["runnext"])),
                    word(p + layout.P["schedtick"]),
                )
                print("%-4s %-8s %-4s %-5d %-8s %d" % row)
            print(
                "gomaxprocs=%d idleprocs=%d runqueue=%d"
                % (
                    count,
                    half(machine.sched + layout.SCHED["npidle"]),
                    half(machine.sched + layout.SCHED["runqsize"]),
                )
            )


# ---- The end of the image ----------------------------------------------------


class FatalEnd(gdb.Breakpoint):
    """Stops behind every fatal report, before the machine is gone."""

    def __init__(self):
        # In hardware: before boot the image is not in memory, so nothing can be written there.
        kind = getattr(gdb, "BP_HARDWARE_BREAKPOINT", gdb.BP_BREAKPOINT)
        super().__init__("*%#x" % address_of(layout.exit_after_report), type=kind)

    def stop(self):
        print(
            "gosched: the image ends here; the report is on its console. All stands still: "
            "info goroutines, goroutine ID bt, bt, info ms. continue: the end"
        )
        return True


def watch_the_end(_event=None):
    """At the first stop: a hardware breakpoint needs a connection."""
    gdb.events.stop.disconnect(watch_the_end)
    try:
        FatalEnd()
    except gdb.error as error:
        print("gosched: fatal reports will not stop here: %s" % error)


InfoGoroutines()
GoroutineCommand()
InfoMs()
InfoPs()
gdb.events.stop.connect(watch_the_end)
