# SPDX-License-Identifier: GPL-2.0
"""Virtual machines: from a table of machines.toml to QEMU's command line, and a boot.

Each has two channels: the serial port carries the kernel's log and nothing else, a virtio
port carries what the commands print. So no kernel message can land in the middle of a
test's result. A board (boards.py) has only its own serial ports."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.steps import BUILD, DRY, GUEST, LAB, LOGS, SHOW, SRC, LabError, say, timed

if TYPE_CHECKING:
    from lab.kernels import Kernel
    from lab.results import Results

# Of a job's status: the machine did not end in time, or died.
TIMEOUT, DIED = 124, 125
# A kernel may stand still while it starts: on a busy host an emulated timer is sometimes
# lost. Within this many seconds each other one has begun its job.
BEGIN = 90


@functools.cache
def table() -> dict[str, Any]:
    """machines.toml."""
    return tomllib.loads((LAB / "machines.toml").read_text())


def kernel_table(name: str) -> dict[str, Any]:
    """A table [kernel.NAME], with what it leaves out."""
    entry = table()["kernel"].get(name)
    if entry is None:
        raise LabError(f"no such architecture: {name}",
                       f"The lab knows ARCH={', ARCH='.join(table()['arch'])}.")
    arch = entry.get("arch", name)
    # The options of the one that it is like come first.
    if "like" in entry:
        options = table()["kernel"][entry["like"]]["config"]
        entry = {**entry, "config": options + entry.get("config", [])}
    return {"arch": arch, "flavour": arch, "suite": "trixie", "series": "newest",
            "kind": "stock", **entry}


def matrix() -> list[str]:
    """The kernels of `make test-matrix`."""
    return [name for name, entry in table()["kernel"].items() if entry.get("matrix")]


@dataclass(frozen=True)
class Machine:
    """A table [machine.NAME]."""

    name: str
    about: str
    targets: dict[str, list[str]] = field(default_factory=dict)
    kernel: str = ""
    script: str = ""
    memory: str = ""
    devices: tuple[str, ...] = ()
    cma: str | None = None
    append: str = ""
    needs: str = ""
    files: tuple[str, ...] = ()
    time: int = 0
    begin: int = 0
    counts: bool = False
    debian: str = ""
    board: str = ""

    @property
    def job(self) -> Path:
        """The script that it runs."""
        return guest_file(f"{self.script or self.name}.sh")


def guest_file(name: str) -> Path:
    """A machine's script, or what lies beside it."""
    return GUEST / "machines" / name


@functools.cache
def machine(name: str) -> Machine:
    """The machine of that name."""
    entry = dict(table()["machine"].get(name, {}))
    if not entry:
        raise LabError(f"tests/lab/machines.toml has no machine {name}.",
                       "There are: " + " ".join(table()["machine"]))
    if "like" in entry:
        other = dict(table()["machine"][entry.pop("like")])
        while "like" in other:
            other = {**table()["machine"][other.pop("like")], **other}
        other.pop("in", None)
        entry = {**other, **entry}
    entry["targets"] = entry.pop("in", {})
    for key in "devices", "files":
        entry[key] = tuple(entry.get(key, ()))
    return Machine(name, **entry)


def group(target: str) -> list[tuple[str, Machine]]:
    """The machines that a command boots, each with the kernel's name."""
    found = [machine(name) for name in table()["machine"]]
    return [(arch, one) for one in found for arch in one.targets.get(target, ())]


def markdown() -> str:
    """The machines as a table for the documentation."""
    rows = []
    for one in map(machine, table()["machine"]):
        booted = ", ".join(f"`make {target}` ({', '.join(arches)})"
                           for target, arches in one.targets.items())
        rows.append(f"| `{one.name}` | {booted} | {one.about} |")
    return "\n".join(["| machine | booted by | what is special about it |", "|---|---|---|", *rows])


def names(target: str) -> dict[str, tuple[str, Machine]]:
    """The machines of a command by the names that people give it: sanitize-NAME and board-NAME
    are NAME, others are ARCH-NAME."""
    short = {"sanitize": "sanitize-", "test-boards": "board-"}.get(target)
    return {(one.name.removeprefix(short) if short else f"{arch}-{one.name}"): (arch, one)
            for arch, one in group(target)}


def select(target: str, pattern: str) -> list[tuple[str, Machine]]:
    """Of the machines of a command, those whose names match."""
    found = [one for name, one in names(target).items() if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise LabError(f"no machine of make {target} is called {pattern}.",
                       "There are: " + " ".join(names(target)))
    return found


@functools.cache
def kvm_works() -> bool:
    """KVM only where a boot has shown that it works: /dev/kvm may exist and QEMU still assert
    or hang on it. Without an init the kernel boots to its end and panics: a success."""
    from lab.kernels import kernel
    console, works = LOGS / "kvm-probe.console", False
    if Path("/dev/kvm").is_char_device():
        stock = kernel("amd64")
        stock.find()
        with (LOGS / "kvm-probe.log").open("wb") as log:
            subprocess.run(
                ["timeout", "-k", "5", "30", "qemu-system-x86_64", "-nodefaults",
                 "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35", "-accel",
                 "kvm", "-cpu", "host", "-m", "512M", "-kernel", stock.image, "-append",
                 "console=ttyS0 panic=-1 rdinit=/none", "-serial", f"file:{console}"],
                check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        works = console.exists() and b"Kernel panic - not syncing" in console.read_bytes()
    if not works:
        say("  note: LAB_KVM=1, but KVM does not work here (build/log/kvm-probe.log); using TCG")
    return works


@dataclass
class Run:
    """One machine to be booted. Its files are build/log/vm-NAME.*: console, the kernel's log,
    and out, what the job has printed."""

    kernel: Kernel
    machine: Machine
    name: str = ""
    # Beside what the table says.
    append: str = ""
    arguments: Sequence[str | Path] = ()
    files: Sequence[Path] = ()
    # Instead of it.
    job: Path | str = ""
    seconds: int = 0
    memory: str = ""
    image: Path | None = None
    initramfs: Path | None = None
    results: Results | None = None
    env: dict[str, str] = field(default_factory=dict)
    # What is done again and again while it runs.
    watch: Callable[[subprocess.Popen[bytes]], None] = lambda _: None
    process: subprocess.Popen[bytes] | None = None
    # Where its files are, if others of that name run at the same time.
    logs: Path | None = None

    def __post_init__(self) -> None:
        self.name = self.name or f"{self.kernel.label}-{self.machine.name}"
        entry = kernel_table(self.kernel.name)
        self.arch = table()["arch"][self.kernel.arch.name]
        self.kernel_entry = entry
        self.seconds = self.seconds or self.machine.time or entry.get("time", 900)
        self.begin = self.machine.begin or entry.get("begin", BEGIN)
        self.memory = (self.memory or self.machine.memory or entry.get("memory")
                       or self.arch["memory"])

    def log(self, kind: str) -> Path:
        """One of its files."""
        return (self.logs or LOGS) / f"vm-{self.name}.{kind}"

    def accelerator(self) -> list[str]:
        """What carries out its instructions, and how many processors it has."""
        if self.machine.counts:
            # The machine's clock counts instructions of its one processor, a nanosecond
            # each, and does not wait while that sleeps.
            return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]
        if (os.environ.get("LAB_KVM") == "1" and self.kernel.arch.name == "amd64"
                and kvm_works()):
            return ["-accel", "kvm", "-cpu", "host", "-smp", "2"]
        return ["-accel", "tcg,thread=multi", "-smp", "2"]

    def devices(self) -> list[str]:
        """QEMU's words for its devices."""
        words: list[str] = []
        for name in self.machine.devices:
            device = table()["device"][name]
            words += device.get("qemu", []) + device.get(self.kernel.arch.name, [])
            if "tree" in device:
                words += ["-dtb", str(self.device_tree(guest_file(device["tree"])))]
        return words

    def device_tree(self, addition: Path) -> Path:
        """The device tree of QEMU's machine with an addition."""
        tree = BUILD / f"test-{self.kernel.label}.dtb"
        words = [self.arch["qemu"], *self.arch["machine"], "-smp", "2", "-m", self.memory,
                 "-display", "none", "-machine", f"dumpdtb={tree}"]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
        self.compile_tree(self.tree_text(tree) + addition.read_text(), tree)
        return tree

    @property
    def dtc(self) -> list[str | Path]:
        """The compiler of device trees that the kernel's build has made."""
        return [self.kernel.build_dir / "scripts/dtc/dtc", "-q", "-I"]

    def tree_text(self, tree: Path) -> str:
        """The source of a device tree."""
        return subprocess.run([*self.dtc, "dtb", "-O", "dts", tree], check=True, text=True,
                              stdout=subprocess.PIPE).stdout

    def compile_tree(self, text: str, tree: Path) -> None:
        """From such a source, with additions."""
        subprocess.run([*self.dtc, "dts", "-O", "dtb", "-o", tree], check=True, text=True,
                       input=text)

    def kernel_line(self) -> str:
        """What the kernel is told."""
        cma = self.arch.get("cma", "") if self.machine.cma is None else self.machine.cma
        words = [f"console={self.arch['console']} loglevel=7 printk.devkmsg=on panic=-1",
                 self.kernel_entry.get("append", ""),
                 *(table()["device"][name].get("append", "") for name in self.machine.devices),
                 f"cma={cma}" if cma else "", self.machine.append, self.append]
        return " ".join(word for word in words if word)

    def command(self) -> list[str]:
        """QEMU's command line, but for the channels; and writes the initramfs that it
        names."""
        self.write_initramfs()
        return [self.arch["qemu"], "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", *self.arch["machine"], *self.kernel_entry.get("machine", []),
                *self.accelerator(), "-m", self.memory,
                # The device of the stock driver bochs, one of the importers.
                "-device", "bochs-display",
                "-kernel", str(self.image or self.kernel.image), "-initrd", str(self.log("cpio")),
                "-append", self.kernel_line(), *self.devices(), *map(str, self.arguments)]

    def write_initramfs(self) -> None:
        """The kernel's, with the job and what this machine alone has behind it."""
        from lab.build import archive
        with tempfile.TemporaryDirectory() as folder:
            lab = Path(folder, "lab")
            lab.mkdir()
            for file in [*self.files, *(SRC / name for name in self.machine.files)]:
                if file.is_dir():
                    shutil.copytree(file, lab / file.name)
                else:
                    shutil.copy(file, lab)
            if isinstance(self.job, str) and self.job:
                (lab / "job").write_text(self.job)
            else:
                shutil.copy(self.job or self.machine.job, lab / "job")
            with self.log("cpio").open("wb") as out:
                with (self.initramfs or self.kernel.out / "initramfs.cpio").open("rb") as base:
                    shutil.copyfileobj(base, out)
                out.write(archive(Path(folder)))

    def boot(self) -> int:
        """Boots it and gives its job's status."""
        if DRY:
            say(f"  would: boot {self.name}")
            return 0
        if SHOW:
            say(shlex.join(["tests/lab/run", "root", *self.command(), "-serial", "mon:stdio"]))
            return 0
        words = [*self.command(), "-pidfile", str(self.log("pid")), *self.channels()]
        status = self.once(words)
        if status is None:
            say(f"  note: the machine {self.name} stood still while its kernel started; starting"
                " it again")
            if self.results:
                self.results.restarted(self.name)
            status = self.once(words)
        self.log("cpio").unlink(missing_ok=True)
        if status is None:
            return self.failed(f"the machine {self.name} stood still once more", DIED)
        if status == TIMEOUT:
            return self.failed(
                f"the machine {self.name} did not end within {self.seconds} s", TIMEOUT)
        if status != 0:
            last = self.log("qemu").read_text(errors="replace").splitlines()[-5:]
            return self.failed("\n".join([*last, f"QEMU ended with status {status}"]), DIED)
        told = re.search(r"^exit (\d+)", self.log("status").read_text(), re.M)
        if not told:
            return self.failed(f"the machine {self.name} died before its work was done", DIED)
        return int(told[1])

    def channels(self) -> list[str]:
        """QEMU's words for what a machine is heard by."""
        words = ["-serial", f"file:{self.log('console')}", "-device", "virtio-serial-pci"]
        for name in "out", "status":
            words += ["-chardev", f"file,id={name},path={self.log(name)}",
                      "-device", f"virtserialport,chardev={name},name=lab.{name}"]
        return words

    def once(self, words: list[str]) -> int | None:
        """Runs QEMU and gives its status; None if the kernel stood still at its start."""
        for kind in "console", "out", "status", "pid":
            self.log(kind).unlink(missing_ok=True)
        start = time.monotonic()
        with self.log("qemu").open("wb") as log, subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.env}) as self.process:
            begun = False
            while self.process.poll() is None:
                if not begun:
                    file = self.log("status")
                    begun = file.exists() and file.read_text().startswith("begin")
                took = time.monotonic() - start
                if took > self.seconds or (not begun and took > self.begin):
                    self.process.kill()
                    self.process.wait()
                    return TIMEOUT if begun or took > self.seconds else None
                self.watch(self.process)
                try:
                    self.process.wait(0.2)
                except subprocess.TimeoutExpired:
                    pass
            return self.process.returncode

    def failed(self, text: str, status: int) -> int:
        """Says why there is no job's status."""
        console = self.log("console")
        lines = console.read_text(errors="replace").splitlines() if console.exists() else []
        print(f"error: {text}. The end of its kernel log:",
              *(f"  | {line.rstrip()}" for line in lines[-25:]), sep="\n", file=sys.stderr,
              flush=True)
        return status


def test_boot(run: Run, results: Results) -> None:
    """Boots a machine; what its job has printed and what its kernel has said are results."""
    label, suite, machine_ = run.kernel.label, run.machine.name, run.machine
    if DRY or SHOW:
        run.boot()
        return
    if machine_.needs and not Path(machine_.needs).exists():
        missing = f"needs {machine_.needs} on the machine that runs QEMU"
        say(f'  --  boot {label} for the tests "{suite}": {missing}')
        results.put(f"{run.name}/machine", f"TAP version 13\n1..0 # SKIP {missing}\n")
        return
    run.results = results
    with timed(f'boot {label} for the tests "{suite}"'):
        status = run.boot()
        results.split(run.name, run.log("out"), status)
        results.kernel_log(run.name, run.log("console"))
        if suite == "sanitize-kunit":
            # These print their results into the kernel log.
            results.kunit(f"{run.name}-suites", run.log("console"), 0)
