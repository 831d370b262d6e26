# SPDX-License-Identifier: GPL-2.0
"""What is built for a kernel and its machines: the module, the programs, the kernel's own
heaps and selftest, and the initramfs. It is always built, by its own build systems; only what
comes from elsewhere is kept in the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from lab.kernels import ARCHES, GCC, InTree, Kernel, Uml
from lab.results import Results
from lab.steps import (BUILD, CACHE, DRY, GUEST, SRC, SUITE, LabError, Log, digest, lanes,
                       output, say, step)

MODULE, IMPORTER, SELFTEST = "rust_dma_heap", "dma_buf_test_importer", "dmabuf-heap"
C_HEAPS = ("dma-heap", "system_heap", "cma_heap")
# What every machine of the tests has, and what only those with sanitizers need.
USUAL = ("dmaheap", "dmaheap-lab", "dmaheap-kselftest")
PROGRAMS = (*USUAL, "dmaheap-torture", "dmaheap-fault-sweep")
# Those for video take long to compile, and only machines with video run them.
VIDEO = ("camera-to-screen", "picture")
I386 = "i686-unknown-linux-gnu"
CARGO = threading.Lock()


def cargo_target() -> Path:
    """Keyed by compiler and checkout: cargo compares times of files only, so two checkouts
    must not share what it has built."""
    return CACHE / "target" / digest(output("rustc", "-vV"), str(SRC))


def cargo_env(target: str) -> dict[str, str]:
    """The settings for all targets go to every call: cargo makes what runs at build time anew,
    and all that depends on it, when the machine's own linker changes."""
    env = {"CARGO_BUILD_TARGET": target, "CARGO_TARGET_DIR": str(cargo_target())}
    for rust, gnu in [(I386, "i686-linux-gnu"), *((a.rust, a.gnu) for a in ARCHES.values())]:
        name = "CARGO_TARGET_" + rust.upper().replace("-", "_")
        env[f"{name}_LINKER"] = f"{gnu}-{GCC}"
        env[f"{name}_RUSTFLAGS"] = "-C target-feature=+crt-static"
    return env


def cargo(log: Log, target: str, *words: str) -> None:
    """cargo in tools/, for a Rust target."""
    log.run("cargo", *words, cwd=SRC / "tools", env=cargo_env(target))


def fetch_crates(log: Log) -> None:
    """Once; all later calls find them in the cache and need no network."""
    with CARGO:
        if log.run("cargo", "fetch", "--locked", "--offline", cwd=SRC / "tools",
                   ok=(0, 101)) != 0:
            log.run("timeout", "900", "cargo", "fetch", "--locked", cwd=SRC / "tools")


def crates() -> None:
    """The crates, as a step."""
    step("fetch crates", "crates-fetch", fetch_crates)


def build_programs(log: Log, target: str, out: Path, packages: tuple[str, ...],
                   rename: str = "{}") -> None:
    """Programs of tools/ into a folder, linked statically: the same file runs in an initramfs
    and on any board."""
    out.mkdir(parents=True, exist_ok=True)
    words = [word for name in packages for word in ("--package", name)]
    cargo(log, target, "build", "--release", "--locked", "--offline", *words, "--bins")
    for name in packages:
        built = cargo_target() / target / "release" / name
        shutil.copy(built, out / rename.format(name))
        if name == "dmaheap" and built.stat().st_size >= 6 << 20:
            raise LabError(f"{built} has {built.stat().st_size} bytes.",
                           "It is to stay below 6 MiB, for small boards.")


def cargo_tests(results: Results, *words: str) -> None:
    """The programs' own unit tests, as results; words tell cargo which programs. (libtest's
    JSON is for nightly compilers only, so this reads the lines it prints for people.)"""
    if DRY:
        say("  would: run the programs' unit tests")
        return
    done = subprocess.run(
        ["cargo", "test", "--locked", "--offline", *words], check=False, cwd=SRC / "tools",
        env={**os.environ, **cargo_env(ARCHES["amd64"].rust)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    results.put("cargo", cargo_tap(done.stdout), done.returncode)


def cargo_tap(text: str) -> str:
    """What cargo test prints, as TAP. A failure's reasons come after all tests: they are put
    behind the test's line."""
    reasons = {match[1]: match[2] for match in re.finditer(
        r"^---- (\S+) stdout ----\n(.*?)(?=^---- |^failures:|\Z)", text, re.M | re.S)}
    lines, number = ["TAP version 13"], 0
    for line in text.splitlines():
        if match := re.match(r"test (.*?) \.\.\. (.*)", line):
            number += 1
            good = match[2].startswith(("ok", "ignored"))
            lines.append(("" if good else "not ") + f"ok {number} - {match[1]}"
                         + (" # SKIP ignored" if match[2].startswith("ignored") else ""))
            if not good:
                lines += [f"# {reason}" for reason in reasons.get(match[1], "").splitlines()]
        else:
            lines.append(f"# {line}")
    return "\n".join([*lines, f"1..{number}\n"])


def archive(folder: Path) -> bytes:
    """What is in a folder, as a cpio archive, in one order and owned by root."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], check=True,
                          cwd=folder, input="\n".join(names).encode(),
                          stdout=subprocess.PIPE).stdout


def copy_documents(folder: Path) -> None:
    """What machines' tests read of the documents."""
    subprocess.run([sys.executable, "-B", SRC / "tests/docs/documents.py", folder], check=True)


def copy_guest(folder: Path) -> None:
    """What a machine finds in /lab, but for what is built."""
    shutil.copytree(GUEST, folder, symlinks=True, dirs_exist_ok=True)
    copy_documents(folder / "documents")


def write_initramfs(out: Path, busybox: Path, *files: Path) -> None:
    """What a virtual machine finds at its start: busybox, the scripts of tests/vm, and files
    in /lab. If one of them is a directory "modules", modprobe finds what is in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in "bin", "lib", "proc", "sys", "dev", "tmp", "run", "etc":
            (folder / one).mkdir()
        shutil.copy(busybox, folder / "bin/busybox")
        copy_guest(folder / "lab")
        for file in files:
            if file.is_dir():
                shutil.copytree(file, folder / "lab" / file.name, symlinks=True)
            else:
                shutil.copy(file, folder / "lab")
        shutil.copy(GUEST / "boot/init", folder / "init")
        (folder / "lib/modules").symlink_to("/lab/modules")
        (folder / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n"
                                           "nobody:x:65534:65534:nobody:/:/bin/sh\n")
        # Users without rights run there, too.
        for path in folder, folder / "init":
            path.chmod(0o755)
        temporary = out.with_suffix(".tmp")
        temporary.write_bytes(archive(folder))
        temporary.rename(out)


def strip(log: Log, kernel: Kernel, source: Path, out: Path) -> None:
    """Debug information makes a module many times its size."""
    log.run(f"{kernel.arch.cross}objcopy", "--strip-debug", source, out)


def build_module(log: Log, kernel: Kernel, tree: Path, folder: Path, out: Path) -> None:
    """The module and the test importer of a tree, into a folder; that stays clean."""
    folder.mkdir(parents=True, exist_ok=True)
    kernel.make(log, f"M={tree}", f"MO={folder}", "RUST_DMA_HEAP_TESTS=1", "modules")
    for name in MODULE, IMPORTER:
        strip(log, kernel, folder / f"{name}.ko", out / f"{name}.ko")


class Build:
    """What is built for one kernel, as steps; all of it lands in kernel.out, the programs in
    kernel.programs."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.label, self.out = kernel, kernel.name, kernel.out

    def module(self) -> None:
        """The module and the test importer."""
        step(f"build the module for {self.label}", f"module-{self.label}",
             lambda log: build_module(log, self.kernel, SRC, self.out / "module", self.out))

    def uml_module(self) -> None:
        """The module for User-mode Linux, where modules lie further from the kernel than 32
        bits reach, and the module loader knows no GOT: C modules get -mcmodel=large by the
        kernel's own makefiles, Rust is new to them."""
        def work(log: Log) -> None:
            (self.out / "module").mkdir(parents=True, exist_ok=True)
            self.kernel.make(log, f"M={SRC}", f"MO={self.out}/module", "KRUSTFLAGS="
                             "-Crelocation-model=static -Ccode-model=large", "modules")
            shutil.copy(self.out / f"module/{MODULE}.ko", self.out)
        step("build the module for User-mode Linux", "module-um", work)

    def c_heaps(self) -> None:
        """The kernel's own C heaps as modules, out of the source that the build folder belongs
        to: what ours are compared with. tests/c-heaps says which of them a kernel needs."""
        def work(log: Log) -> None:
            folder = self.out / "c-heaps"
            folder.mkdir(parents=True, exist_ok=True)
            # What another kernel needed, this one may have built in.
            for old in [*folder.glob("*.ko"), *(self.out / f"{name}.ko" for name in C_HEAPS)]:
                old.unlink(missing_ok=True)
            self.kernel.make(log, f"M={SRC}/tests/c-heaps", f"MO={folder}", "modules")
            for module in folder.glob("*.ko"):
                strip(log, self.kernel, module, self.out / module.name)
        step(f"build the kernel's C heaps for {self.label}", f"c-heaps-{self.label}", work)

    def built_c_heaps(self) -> list[Path]:
        """Those that there are, in the order in which they load."""
        paths = (self.out / f"{name}.ko" for name in C_HEAPS)
        return [path for path in paths if path.exists()]

    def stock_modules(self) -> None:
        """The stock kernel's own importers."""
        step(f"fetch drivers of the stock kernel for {self.label}",
             f"stock-modules-{self.label}", self.kernel.fetch_modules)

    def selftest(self, compiler: str = "", suffix: str = "") -> None:
        """The kernel's own selftest of dma-buf heaps, from the source of the kernel that it is
        to run on, by the kernel's own build system and as it is: linked statically."""
        compiler = compiler or self.kernel.arch.gcc
        kernel, folder = self.kernel, self.out / f"selftest-{compiler}"

        def work(log: Log) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            kernel.make(log, "headers")
            # Without FORCE_TARGETS a test that does not build counts as a success.
            log.run("make", "-C", kernel.source / "tools/testing/selftests", f"O={folder}",
                    "TARGETS=dmabuf-heaps", "FORCE_TARGETS=1", f"ARCH={kernel.arch.karch}",
                    f"CC={compiler}", f"KHDR_INCLUDES=-isystem {kernel.build_dir}/usr/include")
            shutil.copy(folder / f"kselftest/dmabuf-heaps/{SELFTEST}",
                        self.out / f"{SELFTEST}{suffix}")
        step(f"build the kernel's selftest for {suffix[1:] or self.label}",
             f"selftest-{self.label}{suffix}", work)

    def programs(self) -> None:
        """The programs of the kernel's architecture."""
        crates()
        arch, suite = self.kernel.arch, "" if SUITE == "trixie" else f"{SUITE}-"
        if arch.name == "armhf":
            step("fetch Rust's standard library for armhf", "std-armhf", self._armhf_std)
        step(f"build the programs for {arch.name}", f"tools-{suite}{arch.name}",
             lambda log: build_programs(log, arch.rust, self.kernel.programs, PROGRAMS))

    def _armhf_std(self, log: Log) -> None:
        """Into the root: see root.py."""
        folder, temporary = Path("/usr/lib/rustlib", ARCHES["armhf"].rust), CACHE / "armhf/std.tmp"
        if not folder.is_dir():
            version = output("dpkg-query", "-W", "-f", "${source:Version}", "rustc")
            self.kernel.lists.refresh()
            self.kernel.lists.fetch(log, temporary, f"libstd-rust-dev:armhf={version}")
            shutil.move(temporary / str(folder)[1:], folder)
            shutil.rmtree(temporary)

    def i386(self) -> None:
        """The test programs for i386, to run on an amd64 kernel."""
        self.selftest(f"i686-linux-gnu-{GCC}", "-i386")
        step("build the test program for i386", "tools-i386", lambda log: build_programs(
            log, I386, self.kernel.programs, ("dmaheap-kselftest",), "{}-i386"))

    def video_programs(self) -> None:
        """The example, and for this machine what looks at its pictures."""
        def work(log: Log) -> None:
            build_programs(log, self.kernel.arch.rust, self.kernel.programs, VIDEO[:1])
            build_programs(log, ARCHES["amd64"].rust, BUILD / "amd64", VIDEO[1:])
        step(f"build the programs for video for {self.label}", f"tools-video-{self.label}", work)

    def initramfs(self, *files: Path, programs: tuple[str, ...] = USUAL) -> None:
        """The usual content, and files."""
        if not DRY:
            modules = (self.out / f"{name}.ko" for name in (MODULE, IMPORTER))
            write_initramfs(self.out / "initramfs.cpio", self.kernel.busybox,
                            *(path for path in modules if path.exists()),
                            *(self.kernel.programs / name for name in programs), *files)

    def prepare(self) -> None:
        """From packages to a machine that can be booted, for the commands that need one."""
        self.kernel.choose()

        def module() -> None:
            self.kernel.prepare()
            self.module()
        # One processor is enough for much of either.
        lanes(module, self.programs)
        self.initramfs()

    def prepare_tests(self) -> None:
        """What a machine of the tests needs but for the programs and the initramfs."""
        self.kernel.choose()
        self.kernel.prepare()
        self.stock_modules()
        self.selftest()
        self.module()
        self.c_heaps()

    def tests_initramfs(self, i386: bool = False) -> None:
        """All that machines of the tests need; i386 says whether its programs are there."""
        files = [self.kernel.programs / "dmaheap-kselftest-i386", self.out / f"{SELFTEST}-i386"]
        self.initramfs(*self.built_c_heaps(), self.out / SELFTEST, self.kernel.modules,
                       *(files if i386 else ()))

    def prepare_own(self) -> None:
        """For a kernel of the lab's own, which needs no more."""
        self.kernel.choose()
        self.kernel.prepare()
        self.programs()
        if not isinstance(self.kernel, InTree):
            self.module()
        self.selftest()
        self.initramfs(self.out / SELFTEST, self.kernel.modules, programs=PROGRAMS)


def uml_boot(build: Build, console: Path) -> int:
    """Loads the module in User-mode Linux, which runs its KUnit tests, and leaves the kernel's
    log."""
    kernel = build.kernel
    assert isinstance(kernel, Uml)
    with tempfile.TemporaryDirectory() as name:
        initramfs, job = Path(name, "initramfs"), Path(name, "job/lab")
        write_initramfs(initramfs, kernel.busybox, build.out / f"{MODULE}.ko")
        job.mkdir(parents=True)
        shutil.copy(GUEST / "machines/kunit.sh", job / "job")
        with initramfs.open("ab") as file:
            file.write(archive(job.parent))
        with console.open("wb") as log:
            return subprocess.run(
                ["timeout", "-k", "5", "120", kernel.dir / "linux", "mem=512M",
                 f"initrd={initramfs}", "rdinit=/init", "stderr=1", "printk.devkmsg=on",
                 "panic=-1"],
                check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
