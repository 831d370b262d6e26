# SPDX-License-Identifier: GPL-2.0
"""make bench: measures our heaps against the kernel's own. make bench-maps: measures how long
a device takes to map and unmap a buffer of either, by what stands before the device. The
machines are those of the table."""

import re
import shlex
import subprocess
import sys

from lab import machines
from lab.build import Build
from lab.kernels import kernel
from lab.machines import Machine, Run
from lab.results import log_check
from lab.steps import BUILD, DRY, LOGS, SHOW, say, shown, timed


def bench(arch: str = "amd64") -> int:
    """make bench."""
    return measure("bench", arch)


def bench_maps(arch: str = "amd64") -> int:
    """make bench-maps."""
    return measure("bench-maps", arch)


def measure(target: str, arch: str) -> int:
    """Boots the machines and puts what they have measured into build/TARGET.json and
    build/TARGET.svg, also if it is not all."""
    build = Build(kernel(arch))
    build.prepare()
    build.c_heaps()
    build.initramfs(*build.built_c_heaps())
    if arch != "amd64":
        # The report is made on this side.
        Build(kernel("amd64")).programs()
    files, complaints = [], []
    for one in (one for where, one in machines.group(target) if where == arch):
        run = prepare_run(build, one)
        with timed(f"boot {arch}: {one.about}"):
            status = run.boot()
        if DRY or SHOW:
            continue
        complaints += what_went_wrong(run, status)
        if run.log("out").exists() and run.log("out").read_bytes()[:1] == b"{":
            files.append(LOGS / f"{run.name}.json")
            run.log("out").rename(files[-1])
    if files:
        done = subprocess.run(
            [BUILD / "amd64/dmaheap-lab", "bench-report", "--json", BUILD / f"{target}.json",
             "--svg", BUILD / f"{target}.svg", *files],
            check=False, stdout=subprocess.PIPE, text=True)
        (LOGS / f"{target}.txt").write_text(done.stdout)
        say("", done.stdout, f"All of it: build/{target}.json, build/{target}.svg")
        if done.returncode and not complaints:
            complaints.append("not all could be measured: see above.")
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def prepare_run(build: Build, one: Machine) -> Run:
    """A machine, whose job knows what to measure, and what the results are to call it."""
    kind = one.name.removeprefix("bench-")
    run = Run(build.kernel, one, f"bench-{build.kernel.label}-{kind}")
    config = " ".join(["QEMU", *run.arch["machine"], *run.accelerator(), *run.devices()])
    run.job = shlex.join(["sh", "/lab/machines/bench.sh", re.sub("-[0-9]$", "", kind), config])
    return run


def what_went_wrong(run: Run, status: int) -> list[str]:
    """With a machine, for people."""
    console, out, complaints = run.log("console"), run.log("out"), []
    if status:
        lines = out.read_text(errors="replace").splitlines() if out.exists() else []
        complaints.append(f"the machine {run.name} ended with status {status}; its kernel log is"
                          f" {shown(console)}. " + " ".join(lines[-3:])[-600:])
    # The kernel's own heaps alone: nothing has set the mark of the first load.
    if "control" not in run.name and console.exists():
        text, good = log_check(console.read_text(errors="replace").splitlines())
        if not good:
            complaints.append(f"the kernel complained while {run.name} measured:\n{text}")
    return complaints
