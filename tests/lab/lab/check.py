# SPDX-License-Identifier: GPL-2.0
"""make check: everything that can be said without running the module's code."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from lab import machines
from lab.build import Build, cargo, crates
from lab.kernels import ARCHES, kernel
from lab.steps import BUILD, LAB, SRC, LabError, Log, StepFailed, say, step

# git is not in the root, so what it ignores is left out by name.
IGNORED = {".git", "build", "vendor", "tools/target", "rust-project.json"}


def sources() -> list[str]:
    """Files of the project."""
    found = []
    for folder, folders, files in SRC.walk():
        place = folder.relative_to(SRC)
        folders[:] = sorted(name for name in folders
                            if str(place / name) not in IGNORED and name != "__pycache__")
        found += [str(place / name) for name in sorted(files) if str(place / name) not in IGNORED
                  and not (folder / name).is_symlink()]
    return found


def complain(complaints: list[str]) -> None:
    """Fails if there are any."""
    if complaints:
        raise LabError(*complaints)


def spdx(log: Log) -> None:
    """Cargo.lock is cargo's, LICENSE is the licence, *.md is for reading; of debian/
    debian/copyright tells."""
    def lacks(name: str, text: str) -> bool:
        return text not in "".join((SRC / name).read_text(errors="replace").splitlines(True)[:3])
    bad = [f'{name}: no SPDX line "SPDX-License-Identifier: GPL-2.0" at its top'
           for name in sources() if Path(name).name not in ("Cargo.lock", "LICENSE")
           and not name.endswith(".md") and not name.startswith("debian/")
           and lacks(name, "SPDX-License-Identifier: GPL-2.0")]
    header = "uapi/linux/dma-heap.h"
    if lacks(header, "GPL-2.0 WITH Linux-syscall-note"):
        bad.append(f"{header}: lacks the syscall note")
    complain(bad)


def denies_unsafe(name: str) -> bool:
    """Does the file, or a module above it, deny unsafe code? drivers/a/b.rs belongs to
    drivers/a.rs or drivers/a/mod.rs. The crate root cannot: module! expands to unsafe code
    there."""
    if name == "drivers/rust_dma_heap.rs":
        return True
    denial = re.compile(r"^#!\[(deny|forbid)\(unsafe_code\)\]", re.M)
    path = Path(name)
    while True:
        for file in SRC / path, SRC / path.parent / "mod.rs":
            if file.is_file() and denial.search(file.read_text()):
                return True
        if str(path.parent) == "drivers":
            return False
        path = path.parent.with_suffix(".rs")


def unsafe(log: Log) -> None:
    """Outside abstractions/ the compiler is told to refuse unsafe code, and the word stands in
    no code line, be it hidden in a macro."""
    bad = []
    for name in sources():
        if (not re.fullmatch(r"drivers/.*\.rs", name)
                or re.match(r"drivers/(.*/)?abstractions(/|\.rs$)", name)):
            continue
        bad += [f"{name}:{number}: {line}"
                for number, line in enumerate((SRC / name).read_text().splitlines(), 1)
                if re.search(r"\bunsafe\b", re.sub("//.*", "", line))]
        if not denies_unsafe(name):
            bad.append(f"{name}: neither it nor the module it belongs to has"
                       " #![deny(unsafe_code)]")
    complain(bad)


def shell_scripts(log: Log) -> None:
    """What differs for the guests' scripts is in .shellcheckrc beside them."""
    files = [name for name in sources() if name.endswith(".sh") or re.match(
        rb"#!.*\b(ba)?sh\b", (SRC / name).read_bytes()[:80].split(b"\n")[0])]
    log.run("shellcheck", *files, cwd=SRC)


def documents(log: Log) -> None:
    """The table of machines in CONTRIBUTING.md is the one of machines.toml."""
    if machines.markdown() not in (SRC / "CONTRIBUTING.md").read_text():
        raise LabError("the table of machines in CONTRIBUTING.md is not that of machines.toml.",
                       "Put there what this prints: tests/lab/run machines")
    complain([f"machines.toml: {one.job} is not there"
              for one in map(machines.machine, machines.table()["machine"])
              if not one.job.exists() and one.name not in ("vm", "sanitizer-vm")])


def check() -> int:
    """Each check runs, whatever the others said."""
    build = Build(kernel("amd64"))
    build.kernel.choose()
    build.kernel.prepare()
    crates()

    def rustfmt(log: Log) -> None:
        files = [name for name in sources()
                 if re.fullmatch(r"(drivers|tests/importer)/.*\.rs", name)]
        log.run("rustfmt", "--check", "--edition", "2021", "--config", "skip_children=true",
                "--config-path", build.kernel.source / ".rustfmt.toml", *files, cwd=SRC)

    def clippy_tools(log: Log) -> None:
        cargo(log, ARCHES["amd64"].rust, "clippy", "--locked", "--offline", "--workspace",
              "--all-targets", "--", "-D", "warnings", "-D", "clippy::undocumented_unsafe_blocks")

    def clippy_module(log: Log) -> None:
        # Clippy speaks only when it compiles, so the folder must be new.
        folder = BUILD / "clippy"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build.kernel.make(log, f"M={SRC}", f"MO={folder}", "CLIPPY=1", "RUST_DMA_HEAP_TESTS=1",
                          "KRUSTFLAGS=-Dwarnings -Dclippy::undocumented_unsafe_blocks", "modules")

    checks: list[tuple[str, str, Callable[[Log], object]]] = [
        ("SPDX lines", "spdx", spdx),
        ("unsafe code only in abstractions", "unsafe", unsafe),
        ("the table of machines", "documents", documents),
        ("types of the lab (mypy)", "mypy", lambda log: log.run(
            "mypy", "--strict", "--cache-dir=/lab/pycache/mypy", "lab", cwd=LAB)),
        ("lints of the lab (flake8)", "flake8", lambda log: log.run(
            "flake8", "--max-line-length=100", "lab", "tests", cwd=LAB)),
        ("tests of the lab (pytest)", "pytest", lambda log: log.run(
            "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=LAB)),
        ("rustfmt, module", "rustfmt", rustfmt),
        ("rustfmt, programs", "cargo-fmt", lambda log: log.run(
            "cargo", "fmt", "--all", "--check", cwd=SRC / "tools")),
        ("shellcheck", "shellcheck", shell_scripts),
        ("clippy, programs", "clippy-tools", clippy_tools),
        ("clippy, module", "clippy-module", clippy_module)]
    failed = 0
    for text, name, work in checks:
        try:
            step(text, f"check-{name}", work)
        except StepFailed:
            failed += 1
    say("", f"{failed} checks failed." if failed else "all checks passed.")
    return int(failed > 0)
