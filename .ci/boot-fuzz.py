#!/usr/bin/env python3
"""Damaged images, command lines and loader's information: boot-fuzz.py [COUNT=60] [SEED [CASE]].

Each case is a function of the seed and its number, so a CASE that failed can be had again alone. It
damages some bytes of one part of what is booted, and wants an end within its time: the image's own
end, or a refusal in one line with status 2. Where a loader can see the damage (headers, tables,
configuration, lengths) nothing else will do. Where it cannot (code, data, the entry point), the
kernel may report a fault, or go astray, but not in the boot stage: there neither a hang nor a
triple fault nor silence is an answer. What is caught: a length or an offset that boot/ or the
kernel's parsers believe without a look, an overflow in their sums, a loop that damage makes
endless.
"""

import collections
import os
import random
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

from console import finish, result

LIMIT_S = 15  # a whole boot takes 0.3 s here
LONG_LIMIT_S = 90  # until a boot that should end is called hung, on a host with other work
BOOT_STAGE = range(0x100000, 0x200000)
MEMORY_MIB = 64
KERNEL_AT, INFORMATION_AT = 0x1000000, 0x300000
RUN = b'run="exit 0"'
FATAL = re.compile(r"panic:|fatal error:|unexpected exception|internal error|in the boot stage")


def build(*arguments):
    """The executable that cargo makes."""
    done = subprocess.run([".ci/executables.sh", "build", *arguments], stdout=-1, check=True)
    return done.stdout.decode().split()[-1]


KERNEL = build("--package", "gosched", "--bin", "gosched")
STAGE = build("--package", "gosched-boot", "--release")
with open(KERNEL, "rb") as file:
    ELF = file.read()
with open(STAGE, "rb") as file:
    STAGE_ELF = file.read()
work = tempfile.TemporaryDirectory()


def path(name):
    """A file of this run."""
    return os.path.join(work.name, name)


def number(offset, size, image=ELF):
    """A little-endian number in a file."""
    return int.from_bytes(image[offset : offset + size], "little")


PHOFF, SHOFF, PHNUM, SHNUM = number(32, 8), number(40, 8), number(56, 2), number(60, 2)


def sections():
    """Name to range in the file, of those that have bytes there."""
    at = [SHOFF + 64 * index for index in range(SHNUM)]
    names = number(at[number(62, 2)] + 24, 8)
    found = {}
    for header in at:
        start = names + number(header, 4)
        name = ELF[start : ELF.index(b"\0", start)].decode()
        offset, size = number(header + 24, 8), number(header + 32, 8)
        if number(header + 4, 4) not in (0, 8) and size:
            found[name] = range(offset, offset + size)
    return found


SECTIONS = sections()

# ---- One boot ----------------------------------------------------------------------------------

End = collections.namedtuple("End", "record console rip why")


def registers(monitor):
    """RIP of a machine that runs."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(monitor)
        link.sendall(b"info registers\n")
        seen = b""
        while not (match := re.search(rb"[RE]IP=([0-9a-f]+)", seen)):
            seen += link.recv(65536)
        return int(match[1], 16)


def has_triple_fault():
    """Whether QEMU has noted one."""
    if not os.path.exists(path("reset")):
        return False
    with open(path("reset"), errors="replace") as file:
        return "Triple fault" in file.read()


def boot(options, may_go_astray):
    """Boots; the exit record, the console, and where the machine was if it gave none."""
    for name in ("record", "reset", "monitor"):
        if os.path.exists(path(name)):
            os.remove(path(name))
    machine = subprocess.Popen(
        ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        + ["-machine", "q35", "-cpu", "max", "-m", f"{MEMORY_MIB}M", "-serial", "stdio"]
        + ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-d", "cpu_reset"]
        + ["-D", path("reset"), "-no-shutdown", "-debugcon", f"file:{path('record')}"]
        + ["-monitor", f"unix:{path('monitor')},server=on,wait=off", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    console, rip, why = b"", None, ""
    started = time.monotonic()
    typed = started
    while True:
        if select.select([machine.stdout], [], [], 0.5)[0]:
            piece = os.read(machine.stdout.fileno(), 65536)
            if not piece:
                break
            console += piece
        # Paused then, by -no-reboot and -no-shutdown, as it was when it happened.
        if has_triple_fault():
            rip = registers(path("monitor"))
            why = f"triple fault at {rip:#x}"
            machine.kill()
            break
        now = time.monotonic()
        if now - typed > 1:
            # Some command lines lead to the shell.
            typed = now
            try:
                os.write(machine.stdin.fileno(), b"\x15exit 0\r")
            except BrokenPipeError:
                pass
        # A report that repeats itself is no end either.
        if now - started > LIMIT_S or len(console) > 1 << 22:
            rip = registers(path("monitor"))
            over = now - started > LONG_LIMIT_S or len(console) > 1 << 22
            if over or (may_go_astray and rip not in BOOT_STAGE):
                machine.kill()
                why = f"hung at {rip:#x}"
                break
    status = machine.wait()
    machine.stdin.close()
    machine.stdout.close()
    record = b""
    if os.path.exists(path("record")):
        with open(path("record"), "rb") as file:
            record = file.read()
    text = console.decode(errors="replace").replace("\r", "")
    if not why and status != 33:
        why = f"QEMU's status {status}"
    last = record.decode(errors="replace").split("\n")[-2:]
    return End(last[0] if status == 33 else "", text, rip, why)


def boot_elf(image, line=RUN, may_go_astray=False):
    """By PVH, with these bytes as the kernel's file."""
    with open(path("kernel"), "wb") as file:
        file.write(image)
    options = ["-kernel", STAGE, "-initrd", path("kernel"), "-append", line]
    return boot(options, may_go_astray)


# ---- Multiboot2 --------------------------------------------------------------------------------


def tag(kind, body):
    """One tag of the information."""
    whole = struct.pack("<II", kind, 8 + len(body)) + body
    return whole + bytes(-len(whole) % 8)


def memory_map(entries, entry_len=24):
    """The tag with the memory map."""
    rows = (struct.pack("<QQII", *row, 0).ljust(entry_len, b"\xee") for row in entries)
    return tag(6, struct.pack("<II", entry_len, 0) + b"".join(rows))


MAP = memory_map(
    [(0, 0x9FC00, 1), (0x9FC00, 0x400, 2), (0xF0000, 0x10000, 2)]
    # SeaBIOS has its tables at the top.
    + [(0x100000, (MEMORY_MIB - 2) << 20, 1), ((MEMORY_MIB - 1) << 20, 1 << 20, 2)]
)
LINE = tag(1, b'"run=\\"exit 0\\"" slice_us=10000\0')
NAME = tag(2, b"GRUB 2.06\0")
MODULE = tag(3, struct.pack("<II", KERNEL_AT, KERNEL_AT + len(ELF)) + b"kernel\0")
STOP = tag(0, b"")


def information(*tags):
    """The whole of it."""
    body = b"".join(tags)
    return struct.pack("<II", 8 + len(body), 0) + body


INFORMATION = information(LINE, NAME, MODULE, MAP, STOP)


def multiboot2_entry():
    """What the tag of type 3 in the boot stage's header says."""
    at = STAGE_ELF.index(struct.pack("<I", 0xE85250D6))
    end = at + number(at + 8, 4, STAGE_ELF)
    at += 16
    while at < end:
        kind, size = number(at, 4, STAGE_ELF), number(at + 4, 4, STAGE_ELF)
        if kind == 3:
            return number(at + 8, 4, STAGE_ELF)
        at += (size + 7) & ~7
    raise SystemExit("the boot stage has no Multiboot2 entry")


def make_loader(magic):
    """The loader of multiboot2.S that leaves this in EAX; its file."""
    name = path(f"loader-{magic:x}")
    values = {"MAGIC": magic, "INFORMATION": INFORMATION_AT, "ENTRY": multiboot2_entry()}
    defines = [f"--defsym={key}={value}" for key, value in values.items()]
    subprocess.run(["as", "--32", *defines, "-o", name + ".o", ".ci/multiboot2.S"], check=True)
    subprocess.run(
        ["ld", "-m", "elf_i386", "--build-id=none", "-Ttext=0x280000"]
        + ["--section-start=.note.pvh=0x281000", "-o", name, name + ".o"],
        check=True,
    )
    return name


def boot_multiboot2(info, magic=0x36D76289, may_go_astray=False):
    """With these bytes as the loader's information."""
    with open(path("information"), "wb") as file:
        file.write(info)
    raw = "force-raw=on"
    options = ["-kernel", make_loader(magic), "-device", f"loader,file={STAGE}"]
    options += ["-device", f"loader,file={KERNEL},addr={KERNEL_AT:#x},{raw}"]
    options += ["-device", f"loader,file={path('information')},addr={INFORMATION_AT:#x},{raw}"]
    return boot(options, may_go_astray)


# ---- Damage ------------------------------------------------------------------------------------

EDGES = [0, 1, 0x7F, 0x80, 0xFF]


def damage(chance, data, where, most=4):
    """Changes up to `most` bytes of it: a bit, an edge value, any value."""
    data = bytearray(data)
    for _ in range(chance.randint(1, most)):
        at = chance.choice(where)
        kind = chance.randrange(3)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        else:
            data[at] = chance.choice(EDGES) if kind == 1 else chance.randrange(256)
    return bytes(data)


def elf_part(*wheres, astray=False, line=RUN, most=4):
    """A kind of damage: these parts of the kernel's file."""

    def one(chance):
        return boot_elf(damage(chance, ELF, chance.choice(wheres), most), line, astray)

    return one


def cut(chance):
    """The file cut short, near something or anywhere; or longer, which is no fault."""
    borders = [0, 4, 64, PHOFF + 56 * PHNUM, SHOFF, SHOFF + 64 * SHNUM, len(ELF)]
    borders += [end for where in SECTIONS.values() for end in (where.start, where.stop)]
    near = chance.choice(borders) + chance.randint(-9, 9)
    length = max(1, chance.choice([near, chance.randrange(len(ELF))]))
    return boot_elf(ELF[:length] + chance.randbytes(max(0, length - len(ELF))))


BACKTRACES = b'run="bt all; exit 0"'
LINES = [
    RUN,
    b'run="exit 0" sched=global preempt=coop slice_us=500 seed=7',
    b'gomaxprocs=1 chaos=50 traceback=all run="echo \\"a b\\" \\\\; exit 0"',
    b'schedtrace=100 scheddetail=1 trace=off args="a b" run="uptime; exit 0"',
]


def command_line(chance):
    """A command line with other bytes, one or many; NUL would end it."""
    line = bytearray(chance.choice(LINES))
    for _ in range(chance.choice([1, 1, 1, 2, 4, 9])):
        at = chance.randrange(len(line) + 1)
        byte = chance.choice([chance.randrange(1, 256), chance.choice(b'="\\ ;0,\t\n')])
        change = chance.randrange(3)
        line[at : at + (change != 1)] = bytes([byte]) * (change != 2)
    if chance.randrange(10) == 0:
        line = line + b" " * chance.randrange(4096 - len(line))
    if chance.randrange(10) == 0:
        line = bytes(chance.randrange(1, 256) for _ in range(chance.randrange(4096)))
    end = boot_elf(ELF, bytes(line))
    # What was asked for.
    if b"panic" in line and end.record == "exit 2":
        return end._replace(record="exit 0")
    return end


def loader_words(chance):
    """The information, but for the memory map's entries, which are a kind of their own."""
    safe = [at for at in range(len(INFORMATION)) if at not in MAP_ENTRIES]
    return boot_multiboot2(damage(chance, INFORMATION, safe))


def loader_memory(chance):
    """The memory map's entries. A lie that only the kernel comes upon may lead it astray."""
    return boot_multiboot2(damage(chance, INFORMATION, MAP_ENTRIES), may_go_astray=True)


MAP_START = INFORMATION.index(MAP) + 16
MAP_ENTRIES = range(MAP_START, MAP_START + len(MAP) - 16)
ENTRY_POINT = range(24, 27)  # the lower bytes: in the code, mostly
NAMES = [name for name in SECTIONS if name.startswith(".debug") or name.endswith("tab")]
READ_BY_KERNEL = [SECTIONS[name] for name in NAMES]
CODE = [SECTIONS[name] for name in (".text", ".rodata", ".data", ".data.rel.ro", ".eh_frame")]
KINDS = {  # name: weight, whether a kernel may go astray, what it does
    "ELF header": (14, False, elf_part(range(0, 24), range(32, 64))),
    "program headers": (18, False, elf_part(range(PHOFF, PHOFF + 56 * PHNUM))),
    "section headers": (18, False, elf_part(range(SHOFF, SHOFF + 64 * SHNUM))),
    "configuration": (12, False, elf_part(SECTIONS[".bootloader-config"])),
    "length": (8, False, cut),
    "symbols and lines": (6, False, elf_part(*READ_BY_KERNEL, line=BACKTRACES, most=3000)),
    "command line": (14, False, command_line),
    "Multiboot2": (10, False, loader_words),
    "Multiboot2's memory map": (3, True, loader_memory),
    "entry point": (2, True, elf_part(ENTRY_POINT, astray=True)),
    "code and data": (5, True, elf_part(*CODE, astray=True, most=3000)),
}


def judge(end, may_go_astray):
    """What kind of end it was, and whether it will do."""
    lines = end.console.strip().split("\n")
    if end.why:
        in_stage = end.rip is None or end.rip in BOOT_STAGE
        what = re.sub(r" at .*", "", end.why)
        where = "boot stage" if in_stage else "kernel"
        return f"{what} in the {where}", may_go_astray and not in_stage
    if not end.console.strip():
        return "silence", False
    if end.record == "exit 2" and len(lines) == 1 and not FATAL.search(lines[0]):
        if lines[0].startswith("gosched-boot: "):
            early = "in the kernel, before" in lines[0]
            return ("fault before the kernel's IDT" if early else "refused by the boot stage"), True
        if lines[0].startswith("gosched: "):
            return "refused by the kernel", True
    if FATAL.search(end.console):
        return "reported by the kernel", may_go_astray and "in the boot stage" not in end.console
    if re.fullmatch(r"exit \d+", end.record):
        return "booted", True
    return f"ended by {end.record!r}", False


def fixed():
    """What a Multiboot2 loader may leave that is wrong, each with its line."""
    end = boot_multiboot2(INFORMATION)
    result("boots by Multiboot2", end.record == "exit 0" and not end.why, end)
    long_line = tag(1, b"args=" + b"x" * 65536 + b"\0")
    no_rsdp = tag(14, b"RSD PTR " + bytes(12))
    no_end = tag(1, b"x")
    for text, info, magic in [
        ("without its magic number", INFORMATION, 0x2BADB002),
        ("no kernel", information(LINE, NAME, MAP, STOP), None),
        ("2 modules", information(LINE, MODULE, MODULE, MAP, STOP), None),
        ("file is empty", information(tag(3, bytes(8) + b"\0"), MAP, STOP), None),
        ("no memory map", information(LINE, MODULE, STOP), None),
        ("last tag is not the end tag", information(LINE, MODULE, MAP), None),
        ("impossible size", INFORMATION[:12] + b"\xff\xff\xff\x7f" + INFORMATION[16:], None),
        ("not within the first 4 GiB", b"\xf0\xff\xff\xff" + INFORMATION[4:], None),
        ("longer than 64 KiB", information(long_line, MODULE, MAP, STOP), None),
        ("text of its tag of type 1 has no end", information(no_end, MODULE, MAP, STOP), None),
        ("ACPI root pointer", information(no_rsdp, MODULE, MAP, STOP), None),
        ("two tags of type 6", information(MODULE, MAP, MAP, STOP), None),
        ("impossible entry", information(MODULE, memory_map([(2**64 - 1, 2, 1)]), STOP), None),
        ("too many entries", information(MODULE, memory_map([(1, 1, 2)] * 200), STOP), None),
        ("not enough memory", information(MODULE, memory_map([]), STOP), None),
        ("but there is none", information(MODULE, memory_map([(1 << 27, 1 << 26, 1)]), STOP), None),
        ("but there is none", information(MODULE, memory_map([(0xFFF00000, 1 << 20, 1)]), STOP), None),
    ]:
        end = boot_multiboot2(info, magic or 0x36D76289)
        what, _ = judge(end, False)
        ok = what == "refused by the boot stage" and text in end.console
        result(f"refuses by Multiboot2: {text}", ok, end)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(1 << 32))
    cases = [int(sys.argv[3])] if len(sys.argv) > 3 else range(count)
    print(f"boot-fuzz.py: {count} cases of seed {seed}", flush=True)
    end = boot_elf(ELF)
    result("boots undamaged", end.record == "exit 0" and not end.why, end)
    if len(sys.argv) <= 3:
        fixed()
    ends = collections.Counter()
    for case in cases:
        chance = random.Random(f"{seed}/{case}")
        kind = chance.choices(list(KINDS), [weight for weight, _, _ in KINDS.values()])[0]
        _, may_go_astray, one = KINDS[kind]
        end = one(chance)
        what, ok = judge(end, may_go_astray)
        ends[kind, what] += 1
        seen = end._replace(console=end.console[:3000])
        result(f"case {case} of seed {seed}: {kind}: {what}", ok, seen)
    for kind in KINDS:
        for (its, what), times in sorted(ends.items()):
            if its == kind:
                print(f"{kind:<24} {what:<34} {times:5}")
    finish()


main()
