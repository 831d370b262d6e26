# SPDX-License-Identifier: GPL-2.0
"""make test-matrix: builds the module for every kernel of machines.toml that says so, and runs
there what is tested in an ordinary boot. One that cannot be had does not stop the others; the
table names it with the reason.

The host's part (cli.py) calls test_matrix in the root of each suite, and then matrix_table."""

import fnmatch
import functools
import re
import subprocess
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

from lab import machines
from lab.build import SELFTEST, Build
from lab.kernels import Kernel, kernel
from lab.machines import Run, machine, test_boot
from lab.results import Results
from lab.steps import BUILD, DRY, SHOW, SUITE, LabError, lanes, say

# What comes of a kernel: NAME.release, NAME.log, or NAME.reason if there are no results.
MATRIX = BUILD / "matrix"
# Two kernels have the programs for i386 in common.
I386 = threading.Lock()


def chosen(pattern: str) -> list[str]:
    """The kernels whose names match."""
    return [name for name in machines.matrix() if fnmatch.fnmatchcase(name, pattern)]


def test_matrix(pattern: str = "*") -> int:
    """The kernels of this root's suite, two at a time. The programs do not depend on them, so
    they are built while the first ones are being prepared."""
    kernels = [kernel(name) for name in chosen(pattern)
               if machines.kernel_table(name)["suite"] == SUITE]
    with ThreadPoolExecutor(1) as builder:
        programs = {arch: builder.submit(Build(one).programs)
                    for arch, one in {one.arch.name: one for one in kernels}.items()}
        lanes(*(functools.partial(attempt, one, programs[one.arch.name]) for one in kernels),
              width=2)
    return 0


def find(one: Kernel) -> None:
    """Picks a kernel that may not be there."""
    one.lists.refresh()
    one.source_lists.refresh()
    if one.arch.name == "armhf":
        one.lists.unverified()
    if not one.find():
        trouble = f" (not read anew: {one.lists.trouble})" if one.lists.trouble else ""
        raise LabError(
            f"no kernel {one.flavour} of {' '.join(one.series) or 'a supported series'} with"
            " its source in the package lists, which have:"
            f" {' '.join(one.all_series()) or 'none'}{trouble}")


def attempt(one: Kernel, programs: Future[None]) -> None:
    """One kernel. What fails here is told in the table."""
    try:
        find(one)
        test(one, programs)
    except LabError as error:
        write(f"{one.label}.reason", error.args[0])
    except (OSError, subprocess.SubprocessError) as error:
        write(f"{one.label}.reason", f"it ended before its results were there: {error}")


def test(one: Kernel, programs: Future[None]) -> None:
    """Builds, boots, and leaves the results."""
    say(f"  kernel {one.release} (Debian package {one.package}) for {one.label}")
    write(f"{one.label}.release", one.release)
    build, results = Build(one), Results(MATRIX / one.label, fresh=True)
    one.prepare()
    build.stock_modules()
    build.selftest()
    build.module()
    programs.result()
    files = [build.out / SELFTEST, one.modules]
    with I386:
        if one.flavour == "amd64" and SUITE == "trixie":
            build.i386()
            files += [one.programs / "dmaheap-kselftest-i386", build.out / f"{SELFTEST}-i386"]
        build.initramfs(*files)
    # 32-bit ARM is emulated slowly.
    test_boot(Run(one, machine("suite"), seconds=1800), results)
    if not (DRY or SHOW):
        summary = results.summary()
        write(f"{one.label}.log", f"{summary.text}\n{summary.last}")


def write(name: str, text: str) -> None:
    """A file of MATRIX."""
    (MATRIX / name).write_text(f"{text}\n")


def read(name: str) -> str:
    """What it says, if it is there."""
    return (MATRIX / name).read_text().rstrip("\n") if (MATRIX / name).exists() else ""


def outcome(name: str) -> tuple[str, str]:
    """What came of a kernel: passed, failed or missing, and that in words."""
    if log := read(f"{name}.log").splitlines():
        return "passed" if re.match("[1-9][0-9]* passed, 0 failed", log[-1]) else "failed", log[-1]
    suite = machines.kernel_table(name)["suite"]
    return "missing", f"not run: {read(f'{name}.reason') or read(f'{suite}.reason')}"


def matrix_table(pattern: str = "*") -> int:
    """What came of all of them, and in which tests some failed."""
    if DRY or SHOW:
        return 0
    found = {name: outcome(name) for name in chosen(pattern)}
    for name in (name for name, (word, _) in found.items() if word == "failed"):
        say("", f"{name}:", *(line for line in read(f"{name}.log").splitlines()[:-1]
                              if not line.startswith(("  ok ", "    skipped"))))
    say("", f"  {'kernel':<15} {'release':<26} result",
        *(f"  {name:<15} {read(f'{name}.release') or '-':<26} {text}"
          for name, (_, text) in found.items()), "")
    count = Counter(word for word, _ in found.values())
    # Nothing but this on the last line: others read it.
    say(f"{count['passed']} kernels passed, {count['failed']} failed, {count['missing']} not run")
    return 1 if count["failed"] + count["missing"] else 0
