# SPDX-License-Identifier: GPL-2.0
"""The commands that boot machines of the table and count results, and those that boot one for
people."""

import functools
import os
import subprocess
import threading
from pathlib import Path

from lab import debian, machines
from lab.build import SELFTEST, Build, cargo_tests, uml_boot
from lab.kernels import kernel
from lab.machines import Run, machine, test_boot
from lab.results import Results, log_check
from lab.steps import BUILD, CACHE, DRY, LOGS, SHOW, SRC, Log, lanes, say, step, timed


def boots(build: Build, results: Results, names: list[str]) -> None:
    """Machines of one kernel, one after the other."""
    for name in names:
        test_boot(Run(build.kernel, machine(name)), results)


def prepare_one(arch: str) -> Build:
    """All that machines of the tests need of the stock kernel of an architecture."""
    build = Build(kernel(arch))
    build.prepare_tests()
    build.programs()
    if arch == "amd64":
        build.i386()
    build.tests_initramfs(i386=arch == "amd64")
    return build


def of_arch(found: list[tuple[str, machines.Machine]]) -> dict[str, list[str]]:
    """Machines by the kernel that they boot."""
    names: dict[str, list[str]] = {}
    for arch, one in found:
        names.setdefault(arch, []).append(one.name)
    return names


def test() -> int:
    """make test: a lane for each architecture. Compiling goes on in one while the other
    fetches something, and in what time the machines leave."""
    results = Results(fresh=True)
    if os.environ.get("KVER"):
        say(f"  KVER={os.environ['KVER']}: this is not the default run")
    names = of_arch(machines.group("test"))

    def arm64() -> None:
        build = Build(kernel("arm64"))
        build.programs()
        build.prepare_tests()
        build.tests_initramfs()
        boots(build, results, names["arm64"])

    def amd64() -> None:
        build = prepare_one("amd64")

        def others() -> None:
            boots(build, results, names["amd64"])
            on_host(results)

        def uml() -> None:
            # In what time the others leave.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
            on_uml(results)
        lanes(others, uml)
    lanes(arm64, amd64)
    return results.finish()


def on_host(results: Results) -> None:
    """What needs no machine: the ABI header and the programs' own unit tests."""
    say("  ... ABI header and unit tests")
    results.command("uapi", SRC / "tests/uapi/compare")
    cargo_tests(results, "--workspace", "--exclude", "camera-to-screen", "--exclude", "picture")


def on_uml(results: Results) -> None:
    """The KUnit tests in User-mode Linux; they print their results into the kernel log."""
    build, console = Build(kernel("um")), LOGS / "kunit.console"
    build.kernel.choose()
    build.kernel.prepare()
    build.uml_module()
    if DRY or SHOW:
        say("  would: run KUnit in User-mode Linux")
        return
    with timed("KUnit in User-mode Linux"):
        results.kunit("kunit", console, uml_boot(build, console))
        results.kernel_log("kunit", console)


def kunit() -> int:
    """make kunit."""
    results = Results(fresh=True)
    on_uml(results)
    return results.finish()


def boot(arch: str, name: str = "suite") -> int:
    """One machine of those that the tests boot."""
    results, one = Results(fresh=True), machine(name)
    if one.kernel:
        build = Build(kernel(one.kernel))
        build.prepare_own()
    else:
        build = prepare_one(arch)
    test_boot(debian.run(build.kernel, name) if one.debian else Run(build.kernel, one), results)
    return results.finish()


def test_configs(pattern: str = "*") -> int:
    """make test-configs: two machines at a time, of whatever architecture."""
    found = machines.select("test-configs", pattern)
    results = Results(fresh=True)
    builds: dict[str, Build] = {}

    def prepare_machines(arch: str) -> None:
        builds[arch] = prepare_one(arch)
    lanes(*(functools.partial(prepare_machines, arch) for arch in of_arch(found)))
    lanes(*(functools.partial(test_boot, Run(builds[arch].kernel, one), results)
            for arch, one in found), width=2)
    return results.finish()


def sanitize(pattern: str = "*") -> int:
    """make sanitize: two machines at a time."""
    found = machines.select("sanitize", pattern)
    results = Results(fresh=True)
    build = Build(kernel("sanitizer"))
    build.prepare_own()
    lanes(*(functools.partial(test_boot, Run(build.kernel, one), results) for _, one in found),
          width=2)
    return results.finish()


def test_in_tree() -> int:
    """make test-in-tree: a machine for each way to build it, one after the other: they share
    the folder in which the kernel is built."""
    results = Results(fresh=True)
    for _, one in machines.group("test-in-tree"):
        build = Build(kernel(one.kernel))
        build.prepare_own()
        boots(build, results, [one.name])
    return results.finish()


def prepare(arch: str = "amd64") -> int:
    """From packages to a machine that can be booted."""
    Build(kernel(arch)).prepare()
    return 0


def demo(arch: str = "amd64") -> int:
    """make demo: the whole way from packages to verified buffers, on one page."""
    build = Build(kernel(arch))
    build.prepare()
    say(f"  ... boot {arch}, load the module, verify every heap")
    run = Run(build.kernel, machine("demo"), f"demo-{arch}")
    status = run.boot()
    if DRY or SHOW:
        return 0
    out = run.log("out")
    say("", out.read_text(errors="replace").rstrip("\n") if out.exists() else "", "")
    console = run.log("console")
    text, good = log_check(console.read_text(errors="replace").splitlines()
                           if console.exists() else [])
    say(text.rstrip("\n"))
    status = status or int(not good)
    say(f"demo on {arch}: all was well." if not status else
        f"demo on {arch}: FAILED (status {status}). Output and kernel log:"
        f" build/log/vm-demo-{arch}.{{out,console}}")
    return status


def shell(arch: str = "amd64") -> int:
    """make shell."""
    build = Build(kernel(arch))
    build.prepare()
    run = Run(build.kernel, machine("shell"))
    return subprocess.run([*run.command(), "-serial", "mon:stdio"], check=False).returncode


def in_machine(run: Run) -> int:
    """Runs a shell command in a machine, and gives its output and status."""
    status = run.boot()
    if run.log("out").exists() and not (DRY or SHOW):
        say(run.log("out").read_text(errors="replace").rstrip("\n"))
    return status


def vm(arch: str, *words: str) -> int:
    """With the module not loaded."""
    build = Build(kernel(arch))
    build.prepare()
    build.stock_modules()
    build.selftest()
    build.initramfs(build.out / SELFTEST, build.kernel.modules)
    return in_machine(Run(build.kernel, machine("vm"), "vm",
                          job=f". /lab/lib.sh\n{' '.join(words)}\n"))


def sanitizer_vm(*words: str) -> int:
    """The same on the kernel with sanitizers."""
    build = Build(kernel("sanitizer"))
    build.prepare_own()
    return in_machine(Run(build.kernel, machine("sanitizer-vm"), "vm",
                          job=f". /lab/lib/sanitized.sh\n{' '.join(words)}\n"))


def rust_analyzer() -> int:
    """make rust-analyzer: for the stock kernel of amd64, with paths as they are outside of the
    Debian root."""
    build = Build(kernel("amd64"))
    build.kernel.choose()
    build.kernel.prepare()
    build.module()

    def describe(log: Log) -> None:
        build.kernel.make(log, f"M={SRC}", f"MO={build.out}/module", "rust-analyzer")
        with Path(BUILD, "rust-project.json").open("w") as out:
            log.run(SRC / "tools/machine/rust-analyzer", "--rename",
                    f"{CACHE}={os.environ['LAB_CACHE']}", "--rename",
                    f"/usr={os.environ['LAB_ROOT']}/usr", build.out / "module", stdout=out)
    step("describe the crates", "rust-analyzer", describe)
    return 0
