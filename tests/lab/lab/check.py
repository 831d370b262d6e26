# SPDX-License-Identifier: GPL-2.0
"""make check: everything that can be said without running the module's code."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from lab.build import Build, cargo, crates
from lab.compile_fail import compile_fail
from lab.kernels import ARCHES, kernel
from lab.steps import BUILD, LAB, SRC, LabError, Log, StepFailed, say, step

# git is not in the root, so what it ignores is left out by name.
CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache"}
IGNORED = {".git", "build", "vendor", "tools/target", "rust-project.json"}


def sources() -> list[str]:
    """Files of the project."""
    found = []
    for name, folders, files in os.walk(SRC):
        folder = Path(name)
        place = folder.relative_to(SRC)
        folders[:] = sorted(name for name in folders
                            if str(place / name) not in IGNORED and name not in CACHES)
        found += [str(place / name) for name in sorted(files) if str(place / name) not in IGNORED
                  and not (folder / name).is_symlink()]
    return found


def shell_scripts(log: Log) -> None:
    """What differs for the guests' scripts is in .shellcheckrc beside them."""
    files = [name for name in sources() if name.endswith(".sh") or re.match(
        rb"#!.*\b(ba)?sh\b", (SRC / name).read_bytes()[:80].split(b"\n")[0])]
    log.run("shellcheck", *files, cwd=SRC)


def checkpatch(log: Log, script: Path) -> None:
    """What the kernel's checkpatch says, against the exceptions of tests/checkpatch."""
    accepted = {tuple(cell.strip() for cell in line.split("|")[:2])
                for line in (SRC / "tests/checkpatch").read_text().splitlines()
                if line and not line.startswith("#")}
    files = [name for name in sources()
             if re.fullmatch(r"(drivers|include|uapi|tests/importer)/.*\.(rs|c|h)", name)]
    text = log.output("perl", script, "--strict", "--no-tree", "--terse", "--show-types",
                      "-f", *files, cwd=SRC, ok=(0, 1))
    types: dict[str, set[str]] = {}
    for name, one in re.findall(r"^([^:\s]+):\S* (?:ERROR|WARNING|CHECK):([A-Z_]+):", text, re.M):
        types.setdefault(name, set()).add(one)
    said = {(name, " ".join(sorted(found))) for name, found in types.items()}
    if wrong := said ^ accepted:
        raise LabError("checkpatch and tests/checkpatch differ:",
                       *(" | ".join(one) for one in sorted(wrong)))


def write_documents(log: Log) -> None:
    """Manual pages, completions and the page of dmaheap, from its help, in build/documents."""
    cargo(log, ARCHES["amd64"].rust, "run", "--locked", "--offline", "-p", "dmaheap",
          "--", "documents", str(BUILD / "documents"))


def docs() -> int:
    """make docs: the pages that are made by a command. The Makefile puts them in their place,
    which is read-only here."""
    crates()
    step("make docs/dmaheap.md", "docs", write_documents)
    return 0


def links_to_kernel(source: Path) -> None:
    """What the module's documentation says of the kernel's source must be there."""
    names = {name for file in SRC.glob("drivers/**/*.rs")
             for name in re.findall(r"\(srctree/([^)]+)\)", file.read_text())}
    if missing := sorted(name for name in names if not (source / name).exists()):
        raise LabError("the kernel's source does not have:", *missing)


def rustdoc() -> int:
    """make rustdoc: what the module's files say of it, as pages."""
    build, folder = Build(kernel("amd64")), BUILD / "rustdoc"
    build.kernel.choose()
    build.kernel.prepare()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    step("make the module's documentation", "rustdoc", lambda log: build.kernel.make(
        log, f"M={SRC}", f"MO={folder}", "RUST_DMA_HEAP_RUSTDOC=1", "modules"))
    say("", "See build/rustdoc/rustdoc/rust_dma_heap/index.html.")
    return 0


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
                          "RUST_DMA_HEAP_RUSTDOC=1",
                          "KRUSTFLAGS=-Dwarnings -Dclippy::undocumented_unsafe_blocks", "modules")
        links_to_kernel(build.kernel.source)

    def documents(log: Log) -> None:
        write_documents(log)
        log.run("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/docs", cwd=SRC,
                env={"MADE": str(BUILD / "documents")})

    checks: list[tuple[str, str, Callable[[Log], object]]] = [
        ("types of the lab (mypy)", "mypy", lambda log: log.run(
            "mypy", "--strict", "--cache-dir=/lab/pycache/mypy", "lab", "../docs",
            cwd=LAB)),
        ("lints of the lab (flake8)", "flake8", lambda log: log.run(
            "flake8", "--max-line-length=100", "lab", "tests", "../docs", cwd=LAB)),
        ("tests of the lab, rules of the tree (pytest)", "pytest", lambda log: log.run(
            "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=LAB)),
        ("documents (pytest)", "documents", documents),
        ("rustfmt, module", "rustfmt", rustfmt),
        ("rustfmt, programs", "cargo-fmt", lambda log: log.run(
            "cargo", "fmt", "--all", "--check", cwd=SRC / "tools")),
        ("shellcheck", "shellcheck", shell_scripts),
        ("checkpatch", "checkpatch", lambda log: checkpatch(
            log, build.kernel.source / "scripts/checkpatch.pl")),
        ("clippy, programs", "clippy-tools", clippy_tools),
        ("clippy and rustdoc, module", "clippy-module", clippy_module),
        ("code that must not compile", "compile-fail", lambda log: compile_fail(build))]
    failed = 0
    for text, name, work in checks:
        try:
            step(text, f"check-{name}", work)
        except StepFailed:
            failed += 1
    say("", f"{failed} checks failed." if failed else "all checks passed.")
    return int(failed > 0)
