# SPDX-License-Identifier: GPL-2.0
"""Virtual machines: from a table of machines.toml to QEMU's command line, and a boot.

Each has two channels: the serial port carries the kernel's log and nothing else, a virtio
port carries what the commands print. So no kernel message can land in the middle of a
test's result."""

from __future__ import annotations

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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.steps import BUILD, DRY, GUEST, LAB, LOGS, SRC, LabError, output, say, shown

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

    @property
    def job(self) -> Path:
        """The script that it runs."""
        return guest_file(f"{self.script or self.name}.sh")


def guest_file(name: str) -> Path:
    """A machine's script, or what lies beside it."""
    return GUEST / name


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
