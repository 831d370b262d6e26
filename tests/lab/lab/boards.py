# SPDX-License-Identifier: GPL-2.0
"""make test-boards: QEMU's models of boards, with the boards' own device trees.

They have no virtio: what the commands print comes by the serial port, in lines of the kernel's
log that tests/vm/boot/init marks. Not all can switch themselves off, so each is ended at its
last line."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

from lab import machines
from lab.build import Build
from lab.kernels import Kernel, kernel
from lab.machines import Run, table, test_boot
from lab.matrix import find
from lab.results import Results
from lab.steps import DRY, SHOW, LabError, Log, StepFailed, digest, lanes, say, step

# A line of the log that is the job's, or tells its status.
MARKED = re.compile(r"\[[^]]*\](?:\[[^]]*\])? lab: (out|status) (.*)")


def trees(one: Kernel) -> Path:
    """Where the cache has the boards' device trees of a kernel."""
    return one.dir / f"trees-{digest(str(table()['board']))}"


def fetch_trees(log: Log, one: Kernel) -> None:
    """Those of the boards that this kernel boots."""
    def pick(everything: Path, out: Path) -> None:
        for name, machine in machines.group("test-boards"):
            tree = Path(table()["board"][machine.board]["tree"])
            if name == one.name:
                found = list(everything.rglob(tree.name))
                if not found:
                    raise LabError(f"the package linux-base-{one.release} has no {tree}.")
                shutil.copy(found[0], out)
    one.keep(log, trees(one), "linux-base", pick)


class BoardRun(Run):
    """A board to be booted."""

    def __post_init__(self) -> None:
        self.board = table()["board"][self.machine.board]
        self.name = self.machine.name
        super().__post_init__()
        self.watch = self.sort

    def kernel_line(self) -> str:
        """What the kernel is told."""
        # Results stand in the log, and some ports are slow.
        return (f"{self.board['append']} loglevel=7 printk.devkmsg=on log_buf_len=4M panic=-1"
                " lab.serial")

    def command(self) -> list[str]:
        """QEMU's command line, but for the channels; and writes what it names."""
        self.write_initramfs()
        tree = self.log("dtb")
        self.compile_tree(self.without(self.tree_text(
            trees(self.kernel) / Path(self.board["tree"]).name)), tree)
        return [self.arch["qemu"], "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-audio", "none", *self.board["qemu"], "-m", self.memory,
                "-dtb", str(tree), "-kernel", str(self.kernel.image),
                "-initrd", str(self.log("cpio")), "-append", self.kernel_line()]

    def without(self, text: str) -> str:
        """A tree's source in which that is disabled which QEMU's model lacks."""
        for parent, nodes in self.board.get("without", {}).items():
            for node in nodes:
                # Else this would make a new one.
                if f"{node} {{" not in text:
                    raise LabError(f"the device tree {self.board['tree']} has no {node}.")
                text += f'/ {{ {parent} {{ {node} {{ status = "disabled"; }}; }}; }};\n'
        return text

    def channels(self) -> list[str]:
        """QEMU's words for what it is heard by."""
        return ["-serial", f"file:{self.log('serial')}"]

    def sort(self, process: subprocess.Popen[bytes]) -> None:
        """Makes of what the port has said the files that other machines have, and ends the
        board at its last line."""
        found: dict[str, list[str]] = {"console": [], "out": [], "status": []}
        serial = self.log("serial")
        text = serial.read_text(errors="replace") if serial.exists() else ""
        # The last line may not be whole.
        for line in text.replace("\r", "").split("\n")[:-1]:
            match = MARKED.fullmatch(line)
            found[match[1] if match else "console"].append(match[2] if match else line)
        for kind, lines in found.items():
            self.log(kind).write_text("".join(f"{line}\n" for line in lines))
        if any(line.startswith("exit") for line in found["status"]):
            process.kill()

    def once(self, words: list[str]) -> int | None:
        """Runs QEMU and gives its status: 0 if the board was ended at its last line."""
        self.log("serial").unlink(missing_ok=True)
        status = super().once(words)
        if self.process:
            # What it has said since the last look.
            self.sort(self.process)
        told = self.log("status")
        return 0 if told.exists() and "exit" in told.read_text() else status


def prepare(name: str) -> Build:
    """All that the boards of one kernel need."""
    build = Build(kernel(name))
    find(build.kernel)
    say(f"  kernel {build.kernel.release} (Debian package {build.kernel.package}) for {name}")
    build.kernel.prepare()
    build.stock_modules()
    build.module()
    build.programs()
    step(f"fetch the boards' device trees for {name}", f"trees-{name}",
         lambda log: fetch_trees(log, build.kernel))
    build.initramfs(build.kernel.modules)
    return build


def test_boards(pattern: str = "*") -> int:
    """make test-boards: two at a time. Boards whose kernel cannot be had are skipped by
    name."""
    names: dict[str, list[machines.Machine]] = {}
    for name, one in machines.select("test-boards", pattern):
        names.setdefault(name, []).append(one)
    results, runs = Results(fresh=True), []
    for name, boards in names.items():
        try:
            build = prepare(name)
        except StepFailed:
            raise
        except LabError as error:
            for one in boards:
                say(f"  --  {one.name} is not run: {error.args[0]}")
                if not DRY:
                    results.put(f"{one.name}/machine",
                                f"TAP version 13\n1..0 # SKIP not run: {error.args[0]}\n")
        else:
            runs += [BoardRun(build.kernel, one) for one in boards]
    if DRY or SHOW:
        for run in runs:
            run.boot()
        return 0
    lanes(*(functools.partial(test_boot, run, results) for run in runs), width=2)
    return results.finish()
