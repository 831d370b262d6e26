# SPDX-License-Identifier: GPL-2.0
"""Kernels: Debian's stock ones, and those that the lab builds from the same source. Each is
a table [kernel.NAME] of machines.toml."""

import fcntl
import functools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from lab import machines
from lab.steps import (BUILD, CACHE, DRY, JOBS, LAB, LOGS, SRC, SUITE, LabError, Log, digest,
                       output, say, shown, step)

# The compiler of this root's suite that builds kernels.
GCC = str(machines.table()["suite"][SUITE]["gcc"])
# The options by which a stock kernel's build folder may differ from that kernel: the version
# of a tool, and the 32-bit vDSO of arm64, which needs one more compiler and which no module
# can see.
HARMLESS = r"CONFIG_(PAHOLE_VERSION|COMPAT_VDSO|THUMB2_COMPAT_VDSO)="
# Where the tree stands within a kernel's source.
PLACE = "drivers/dma-buf/rust-dma-heap"
# Those that import dma-bufs and need no hardware, and what a Debian root on a disk takes.
STOCK_MODULES = "vgem bochs vivid virtio-gpu virtio_blk ext4 brd"


class Arch(NamedTuple):
    """What differs from architecture to architecture."""

    name: str
    karch: str
    gnu: str
    rust: str
    cross: str
    # The compiler that builds kernels for it.
    gcc: str


ARCHES = {one[0]: Arch(*one, f"{one[2]}-", f"{one[2]}-{GCC}") for one in (
    ("amd64", "x86", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu"),
    ("arm64", "arm64", "aarch64-linux-gnu", "aarch64-unknown-linux-gnu"),
    ("armhf", "arm", "arm-linux-gnueabihf", "armv7-unknown-linux-gnueabihf"))}


def by_version(names: Iterable[str]) -> list[str]:
    """Newest first, as dpkg and the kernel count."""
    return output("sort", "-rV", input="\n".join(names), stdin=None).splitlines()


def supported_series() -> list[str]:
    """The kernel series that the module supports, newest first."""
    return by_version(re.findall(r"^[0-9.]+$", (LAB / "series").read_text(), re.M))


class Lists:
    """apt's package lists: of the root, or, for armhf alone, of its own. On a mirror that
    lags behind with that architecture, all else goes on."""

    # Of those that this run has tried to read anew: what kept it from that, if anything.
    tried: dict[Path, str] = {}

    def __init__(self, arch: str) -> None:
        self.env: dict[str, str] = {}
        self.folder = Path("/var/lib/apt/lists")
        if arch == "armhf":
            home = CACHE / "armhf"
            self.folder = home / "lists"
            self.env = {"APT_CONFIG": str(home / "apt.conf")}
            for name in "lists/partial", "parts":
                (home / name).mkdir(parents=True, exist_ok=True)
            self.mirror, self.backports = re.findall(
                r"^deb \S+ (\S+) (\S+)", Path("/etc/apt/sources.list").read_text(), re.M)[-1]
            (home / "sources.list").write_text("".join(
                f"deb [arch=armhf] {self.mirror} {suite} main\n"
                for suite in (self.backports.removesuffix("-backports"), self.backports)))
            (home / "apt.conf").write_text("".join(f"{name};\n" for name in (
                'APT::Architectures { "amd64"; "armhf"; }', f'Dir::State::lists "{home}/lists"',
                'Dir::State::status "/dev/null"', f'Dir::Etc::sourcelist "{home}/sources.list"',
                f'Dir::Etc::sourceparts "{home}/parts"', 'Dir::Cache::pkgcache ""',
                'Dir::Cache::srcpkgcache ""', 'APT::Get::AllowUnauthenticated '
                f'"{os.environ.get("LAB_UNVERIFIED") or 0}"')))

    @property
    def fresh(self) -> bool:
        """Were they read in this run?"""
        return self.tried.get(self.folder) == ""

    @property
    def trouble(self) -> str:
        """Why they could not be."""
        return self.tried.get(self.folder, "")

    def refresh(self) -> None:
        """Reads them again, once a day. Without a network the old ones serve."""
        if DRY:
            return
        # Kernels and programs are prepared side by side, and of two of apt's one would fail.
        with (self.folder.parent / "lab-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stamp = self.folder / "lab-stamp"
            if self.folder in self.tried or (
                    stamp.exists() and time.time() - stamp.stat().st_mtime < 86400):
                return
            log = Log(LOGS / f"lists-{self.folder.parent.name}.log")
            status = log.run("timeout", "300", "apt-get", "-q", "-o", "Acquire::Retries=0",
                             "update", env=self.env, ok=range(256))
            text = log.path.read_text()
            if status == 0 and "\nW: Failed to fetch" not in text:
                stamp.touch()
                self.tried[self.folder] = ""
                return
            failed = re.search(r"^[EW]: Failed to fetch [a-z]*://[^/]*/(\S*) +(.*?)( \[IP: .*)?$",
                               text, re.M)
            self.tried[self.folder] = (f"{failed[1]}: {failed[2]}" if failed else
                                       f"see {shown(log.path)}")
            day = time.strftime("%F", time.localtime(self.folder.stat().st_mtime))
            say(f"  note: the package lists cannot be read anew ({shown(log.path)}); going on with"
                f" those of {day}")

    def unverified(self) -> None:
        """With LAB_UNVERIFIED=1: takes the list of backports as the mirror has it, although
        it is not the one that the mirror's signature is for. Nothing vouches for it then,
        nor for the packages that it names."""
        if not self.trouble:
            return
        mirror = self.mirror.rstrip("/")
        # apt's name of such a list.
        name = re.sub("^[a-z]*://", "", mirror).replace("_", "%5f").replace("/", "_")
        name = f"{name}_dists_{self.backports}_"
        file = self.folder / f"{name}main_binary-armhf_Packages"
        # What an earlier run took so.
        if not (self.folder / f"{name}InRelease").exists():
            file.unlink(missing_ok=True)
        if os.environ.get("LAB_UNVERIFIED") == "1":
            for old in self.folder.glob(file.name + "*"):
                old.unlink()
            log = Log(LOGS / "lists-unverified.log")
            url = f"{mirror}/dists/{self.backports}/main/binary-armhf/Packages.xz"
            log.run("/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=root", "download-file",
                    url, f"{file}.xz", env=self.env)
            log.run("xz", "-d", f"{file}.xz")
            say("  note: LAB_UNVERIFIED=1: kernels for armhf as the mirror lists them, without a"
                " signature")

    @functools.cached_property
    def headers(self) -> list[str]:
        """The packages with kernels' headers, of all flavours."""
        return output("apt-cache", "pkgnames", "linux-headers-", env=self.env).splitlines()

    def versions(self, package: str) -> list[str]:
        """The versions of a package, newest first."""
        lines = output("apt-cache", "madison", package, env=self.env).splitlines()
        return list(dict.fromkeys(line.split("|")[1].strip() for line in lines))

    def fetch(self, log: Log, folder: Path, *packages: str) -> None:
        """Downloads packages and unpacks them into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as debs:
            log.run("timeout", "1800", "apt-get", "-q", "-o", "APT::Sandbox::User=root",
                    "download", *packages, cwd=debs, env=self.env)
            for deb in sorted(Path(debs).glob("*.deb")):
                log.run("dpkg-deb", "-x", deb, folder)


class Kernel:
    """A stock kernel: after choose() it is known which, after prepare() a module can be
    built for it and machines can boot it."""

    cache = CACHE / "kernel"

    def __init__(self, name: str) -> None:
        entry = machines.kernel_table(name)
        # The name is the table's, the label is shown, and in the names of results.
        self.name, self.label, self.suite = name, name, str(entry["suite"])
        self.arch = ARCHES[entry["arch"]]
        self.flavour = str(entry["flavour"])
        self.series = supported_series()[1 if entry["series"] == "previous" else 0:]
        self.out = BUILD / ("" if name in ARCHES else "kernels") / name
        self.programs = BUILD / (self.arch.name if SUITE == "trixie" else
                                 f"{SUITE}-{self.arch.name}")
        self.lists = Lists(self.arch.name)
        # The source is the same for all architectures, and armhf's lists need not be sound.
        self.source_lists = Lists("amd64") if self.arch.name == "armhf" else self.lists
        self.release = self.base = self.branch = self.package = self._tools = ""
        self.dir = self.source = self.build_dir = self.image = self.busybox = Path()
        self.modules = Path()

    def releases(self, series: str) -> list[str]:
        """All of this flavour that the lists have for a series or version, newest first."""
        wanted = (rf"linux-headers-({series}(\.[0-9]+)*[-+][a-z0-9]*\+?deb[0-9]+(u[0-9]+)?"
                  rf"-{self.flavour})")
        found = [re.fullmatch(wanted, name) for name in self.lists.headers]
        return by_version([match[1] for match in found if match])

    def all_series(self) -> list[str]:
        """Every series that the lists have for this flavour, newest first."""
        found = self.releases(r"[0-9]+\.[0-9]+")
        return list(dict.fromkeys(".".join(re.split("[.+-]", one)[:2]) for one in found))

    def choose(self) -> None:
        """Picks the newest kernel of the newest supported series that has its exact source,
        or what KVER asks for; and says so."""
        wanted = os.environ.get("KVER")
        self.lists.refresh()
        if not self.find([wanted] if wanted else self.series):
            raise LabError(
                f"the package lists have no {self.label} kernel with its source for: "
                + (wanted or " ".join(self.series)),
                f"The mirror has for {self.label}: {' '.join(self.all_series())}",
                f"Try one of them: ARCH={self.arch.name} KVER=...")
        say(f"  kernel {self.release} (Debian package {self.package})")
        newest, known = self.all_series()[:1], supported_series()[0]
        if not wanted and by_version([*newest, known])[0] != known:
            say(f"  note: Debian has linux {newest[0]}, newer than {known}, the newest in"
                f" tests/lab/series. Try it: KVER={newest[0]}")

    def find(self, wanted: list[str] | None = None) -> bool:
        """The same, but says nothing."""
        wanted = wanted or self.series
        for series in wanted:
            for release in self.releases(re.escape(series)):
                for version in self.lists.versions(f"linux-headers-{release}:{self.arch.name}"):
                    self._take(release, version)
                    if version in self.source_lists.versions(f"linux-source-{self.branch}"):
                        if not self.ready and not self.lists.fresh:
                            self._from_cache(wanted)
                        return True
        return False

    def _take(self, release: str, package: str) -> None:
        self.release, self.package = release, package
        self.base = re.split("[-+]", release)[0]
        self.branch = ".".join(self.base.split(".")[:2])
        self.source = CACHE / f"source/linux-{self.branch}-{package}"
        self._places()

    def _key(self, *parts: str) -> str:
        """What a kernel is made from, beside what makes it: its package, and the compilers."""
        if not self._tools:
            self._tools = "".join(output(*argv) for argv in (
                ("rustc", "-vV"), ("bindgen", "--version"), ("clang", "--version"),
                ("pahole", "--version"), (self.arch.gcc, "--version"),
                (self.arch.cross + "ld", "--version")))
        return digest(*parts, f"{self.package} {digest(self._tools)}")

    def _places(self) -> None:
        # What the cache has of this kernel; the name tells what it was made from. In it are its
        # packages' files, the build folder "o", and "done" when it is complete.
        self.dir = self.cache / f"{self.release}-{self._key(self.recipe)}"
        self.build_dir = self.dir / "o"
        self.image = self.dir / f"package/usr/lib/modules/{self.release}/vmlinuz"
        self.busybox = self.dir / "package/usr/bin/busybox"
        # Can be a guest's /lib/modules. Its parent's name tells what is in it.
        self.modules = self.dir / f"stock-{digest(STOCK_MODULES)}/modules"

    @property
    def ready(self) -> bool:
        """Is all of it in the cache?"""
        return (self.dir / "done").exists()

    def _from_cache(self, wanted: list[str]) -> None:
        """Goes back to a kernel that the cache holds complete. A newer one is fetched only
        in a run that has just reached the mirror, so that a full cache serves without a
        network."""
        chosen = self.release, self.package
        found = {str(file): file for file in self.cache.glob("*/done")}
        for name in by_version(list(found)):
            arch, release, package = (found[name].read_text().split() + ["", "", ""])[:3]
            if arch == self.arch.name and any(
                    re.fullmatch(rf"{re.escape(series)}[-+.].*[0-9]-{self.flavour}", release)
                    for series in wanted):
                self._take(release, package)
                if self.ready:
                    return
        self._take(*chosen)

    def make(self, log: Log, *targets: str) -> None:
        """make in the build folder, by the compiler that has built the stock kernel."""
        config = (self.dir / "config").read_text()
        match = re.search(r'^CONFIG_CC_VERSION_TEXT="(\S*gcc-[0-9]+) ', config, re.M)
        if not match:
            raise LabError(f"the configuration of {self.release} does not say which gcc built it.")
        if not shutil.which(match[1]):
            raise LabError(f"{self.release} was built with {match[1]}, which the root lacks.",
                           "Add its package to tests/lab/machines.toml.")
        log.run("make", "-C", self.build_dir, f"ARCH={self.arch.karch}",
                f"CROSS_COMPILE={self.arch.cross}", f"CC={match[1]}",
                f"LOCALVERSION={self.release.removeprefix(self.base)}", f"-j{JOBS}", *targets)

    def prepare(self) -> None:
        """All of it; what is in the cache already is not made again."""
        if not self.ready:
            step("fetch the kernel's source", "source-fetch", self.fetch_source)
            step(f"fetch kernel and headers for {self.label}", f"kernel-fetch-{self.label}",
                 self.fetch)
            step(f"make the kernel's Rust artefacts for {self.label}",
                 f"kernel-build-{self.label}", self.build)
        prune(self.dir, self.source)

    def fetch_source(self, log: Log) -> None:
        """The kernel's source, once for all architectures."""
        self.source.parent.mkdir(parents=True, exist_ok=True)
        with (CACHE / "source/lock").open("w") as lock:
            # Two lanes may want it.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.source.is_dir():
                return
            for old in [*self.source.parent.glob("*.tmp"), self.source.parent / "package"]:
                shutil.rmtree(old, ignore_errors=True)
            package, temporary = self.source.parent / "package", Path(f"{self.source}.tmp")
            temporary.mkdir()
            self.source_lists.fetch(log, package, f"linux-source-{self.branch}={self.package}")
            log.run("tar", "-C", temporary, "--strip-components=1", "-xf",
                    package / f"usr/src/linux-source-{self.branch}.tar.xz")
            shutil.rmtree(package)
            temporary.rename(self.source)

    def fetch(self, log: Log) -> None:
        """The kernel image, its headers, and a busybox of its architecture."""
        package = self.dir / "package"
        if package.is_dir():
            return
        shutil.rmtree(self.dir, ignore_errors=True)
        temporary, arch = self.dir / "package.tmp", self.arch.name
        self.lists.fetch(log, temporary, f"linux-headers-{self.release}:{arch}={self.package}",
                         f"linux-binary-{self.release}:{arch}={self.package}",
                         f"busybox-static:{arch}")
        temporary.rename(package)

    def build(self, log: Log) -> None:
        """A build folder with the Rust artefacts that Debian's headers package lacks. They are
        made from the same source, configuration and compilers as the stock kernel, so the
        symbol names that rustc derives are the same, too."""
        headers = self.dir / f"package/usr/src/linux-headers-{self.release}"
        # Kbuild goes on where an interrupted build has stopped.
        self.build_dir.mkdir(exist_ok=True)
        shutil.copy(headers / ".config", self.dir / "config")
        if "CONFIG_RUST=y\n" not in (self.dir / "config").read_text():
            raise LabError(f"the stock kernel {self.release} is built without CONFIG_RUST.")
        for name in ".config", "Module.symvers":
            shutil.copy(headers / name, self.build_dir)
        log.run("make", "-C", self.source, f"O={self.build_dir}", f"ARCH={self.arch.karch}",
                "outputmakefile")
        self.make(log, "olddefconfig")
        # Structures that a module shares with the kernel depend on these options, so a
        # difference would show only as memory corruption.
        options = [{line for line in file.read_text().splitlines() if not line.startswith("#")
                    and not re.match(HARMLESS, line)}
                   for file in (self.dir / "config", self.build_dir / ".config")]
        if options[0] != options[1]:
            raise LabError("the build folder's configuration is not the stock kernel's:",
                           *sorted(options[0] ^ options[1]), "Most likely a tool in the root is"
                           " of another version: make clean-cache, and again.")
        # Rust's procedural macros run once: to optimize them takes longer.
        self.make(log, "HOSTRUSTFLAGS=-Copt-level=0", "prepare", "modules_prepare")
        release = (self.build_dir / "include/config/kernel.release").read_text().strip()
        if release != self.release:
            raise LabError(f"the build folder calls itself {release} instead of {self.release}.")
        (self.dir / "done").write_text(f"{self.arch.name} {self.release} {self.package}\n")

    # A change to these makes every build folder anew.
    recipe = digest(build, make)

    def fetch_modules(self, log: Log) -> None:
        """Drivers of the stock kernel."""
        def pick(everything: Path, out: Path) -> None:
            # kmod looks for lib/modules below the directory it is given.
            (everything / "lib").symlink_to("usr/lib")
            log.run("depmod", "-b", everything, self.release)
            pick_modules(log, everything, out, self.release, STOCK_MODULES)
            (out / "lib/modules").rename(out / "modules")
            (out / "lib").rmdir()
        self.keep(log, self.modules.parent, "linux-modules", pick)

    def keep(self, log: Log, folder: Path, package: str, pick: Callable[[Path, Path], None]
             ) -> None:
        """Of a package of this kernel that is large and for the most part of no use here: keeps
        in the cache what pick() puts from the first folder into the second. The folder's name
        tells what that is."""
        if folder.is_dir():
            return
        for old in self.dir.glob(folder.name.partition("-")[0] + "-*"):
            shutil.rmtree(old)
        temporary = Path(f"{folder}.tmp")
        everything = temporary / "all"
        self.lists.fetch(log, everything,
                         f"{package}-{self.release}:{self.arch.name}={self.package}")
        pick(everything, temporary)
        shutil.rmtree(everything)
        temporary.rename(folder)


def pick_modules(log: Log, root: Path, out: Path, release: str, names: str) -> None:
    """Of the modules in a root, those named, with what they need, into OUT/lib/modules,
    unpacked: the guest's busybox need not know how they are compressed."""
    folder = out / "lib/modules" / release
    folder.mkdir(parents=True, exist_ok=True)
    for name in names.split():
        needed = log.output("modprobe", "-d", root, "-S", release, "--show-depends", name)
        for file in (Path(line.split()[1]) for line in needed.splitlines()
                     if line.startswith("insmod ")):
            if file.suffix == ".ko":
                shutil.copy(file, folder)
            elif file.suffix == ".xz":
                with (folder / file.stem).open("wb") as unpacked:
                    log.run("xz", "-dc", file, stdout=unpacked)
            else:
                raise LabError(f"no way is known to unpack {file}.",
                               "Add it to tests/lab/lab/kernels.py.")
    log.run("depmod", "-b", out, release)


class OwnKernel(Kernel):
    """A kernel of the lab's own: from the same source as amd64's stock kernel, with a
    configuration that says all it has, and into a folder of the cache named by the digest of
    all that it is made from."""

    text = ""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.label = self.arch.name
        entry = machines.kernel_table(name)
        self.out = BUILD / str(entry["kind"])
        self.options = [option if "=" in option else f"{option}=y" for option in entry["config"]]

    def _places(self) -> None:
        key = self._key(self.recipe, *self.options)
        self.dir = self.cache / f"{self.base}-{key}"
        self.build_dir = self.dir / "o"
        self.image = self.build_dir / "arch/x86/boot/bzImage"
        self.busybox, self.modules = Path("/usr/bin/busybox"), self.dir / "package/lib/modules"

    def fetch_modules(self, log: Log) -> None:
        """They were built with the kernel."""

    def prepare(self) -> None:
        step("fetch the kernel's source", "source-fetch", self.fetch_source)
        if not self.ready:
            step(f"build the {self.text} kernel", f"{self.text}-build", self.build)
        prune(self.dir, self.source)

    def configure(self, log: Log, source: Path, *more: str) -> None:
        """A build folder with exactly the options that the table names, and what that brings
        with it."""
        # Kbuild goes on where an interrupted build has stopped.
        self.build_dir.mkdir(parents=True, exist_ok=True)
        log.run("make", "-C", source, f"O={self.build_dir}", "outputmakefile")
        wanted = self.build_dir / "wanted.config"
        wanted.write_text("".join(f"CONFIG_{option}\n" for option in [*self.options, *more]))
        self.make(log, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig")
        # Kconfig drops what it cannot have without a word.
        has = (self.build_dir / ".config").read_text().splitlines()
        missing = [line for line in wanted.read_text().splitlines() if line not in has]
        if missing:
            raise LabError(f"Linux {self.base} cannot have what the table [kernel.{self.name}] of"
                           " machines.toml asks for:", *missing)

    def install_modules(self, log: Log, *settings: str) -> None:
        """Into the folder that becomes a guest's /lib/modules."""
        shutil.rmtree(self.dir / "package", ignore_errors=True)
        self.make(log, f"INSTALL_MOD_PATH={self.dir}/package", *settings, "modules_install")


class Sanitizer(OwnKernel):
    """The kernel of `make sanitize`, by clang: CONFIG_RUST and CONFIG_KASAN go together with
    no other compiler."""

    cache, text = CACHE / "sanitizer", "sanitizer"

    def make(self, log: Log, *targets: str) -> None:
        log.run("make", "-C", self.build_dir, "ARCH=x86", "LLVM=1", f"-j{JOBS}", *targets)

    def build(self, log: Log) -> None:
        self.configure(log, self.source)
        self.make(log, "HOSTRUSTFLAGS=-Copt-level=0", "bzImage", "modules")
        self.install_modules(log)
        (self.dir / "done").touch()

    recipe = digest(OwnKernel.configure, build, make)


class Uml(OwnKernel):
    """A User-mode Linux kernel with KUnit: an ordinary process, so nothing is emulated."""

    cache, text = CACHE / "uml", "User-mode-Linux"

    def _places(self) -> None:
        super()._places()
        self.build_dir = self.dir

    def make(self, log: Log, *targets: str) -> None:
        log.run("make", "-C", self.build_dir, "ARCH=um", "SUBARCH=x86", f"CC={self.arch.gcc}",
                f"-j{JOBS}", *targets)

    def build(self, log: Log) -> None:
        self.configure(log, self.source)
        self.make(log, "HOSTRUSTFLAGS=-Copt-level=0", "linux", "modules")
        (self.dir / "done").touch()

    recipe = digest(OwnKernel.configure, build, make)


class InTree(OwnKernel):
    """A kernel with this tree in its source: built in, or as a module of that kernel."""

    cache = CACHE / "in-tree"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.how = str(machines.kernel_table(name)["how"])

    def _places(self) -> None:
        super()._places()
        self.image = self.dir / "bzImage"

    def make(self, log: Log, *targets: str) -> None:
        log.run("make", "-C", self.build_dir, "ARCH=x86", f"CC={self.arch.gcc}",
                "RUST_DMA_HEAP_TESTS=1", f"-j{JOBS}", *targets)

    def prepare(self) -> None:
        step("fetch the kernel's source", "source-fetch", self.fetch_source)
        prune(self.dir, self.source)
        step(f"build a kernel with this tree in its source ({self.how})",
             f"in-tree-{self.how}", self.build)

    def place(self) -> Path:
        """The kernel's source with ours in its place. All other files are links to the source
        in the cache, so nothing may write to them."""
        source = self.dir / "source"
        if not source.is_dir():
            temporary = self.dir / "source.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(self.source, temporary, symlinks=True, copy_function=os.link)
            temporary.rename(source)
            for name, line in (("Kconfig", f'source "{PLACE}/Kconfig"'),
                               ("Makefile", f"obj-y += {Path(PLACE).name}/")):
                # Made anew, as a file of its own.
                file = (source / PLACE).parent / name
                text = file.read_text()
                file.unlink()
                file.write_text(f"{text}{line}\n")
        shutil.rmtree(source / PLACE, ignore_errors=True)
        for name in "Kbuild", "Kconfig", "drivers", "include", "uapi", "tests/importer":
            target = source / PLACE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (SRC / name).is_dir():
                shutil.copytree(SRC / name, target, symlinks=True)
            else:
                shutil.copy2(SRC / name, target)
        return source

    def build(self, log: Log) -> None:
        source = self.place()
        self.configure(log, source, f"RUST_DMA_HEAP={self.how}")
        self.make(log, "HOSTRUSTFLAGS=-Copt-level=0", "bzImage", "modules")
        self.install_modules(log, "INSTALL_MOD_STRIP=1")
        shutil.copy(self.build_dir / "arch/x86/boot/bzImage", self.image)
        self.out.mkdir(parents=True, exist_ok=True)
        for old in self.out.glob("*.ko"):
            old.unlink()
        for name in "rust_dma_heap.ko", "dma_buf_test_importer.ko":
            for file in list(self.modules.rglob(name)):
                # The cache and build/ are mounts of their own.
                shutil.move(file, self.out / name)

    recipe = digest(OwnKernel.configure, place, build, make)


KINDS: dict[str, type[Kernel]] = {
    "stock": Kernel, "sanitizer": Sanitizer, "um": Uml, "in-tree": InTree}


def kernel(name: str) -> Kernel:
    """The kernel of a table [kernel.NAME], or for an architecture's name the ordinary one."""
    return KINDS[machines.kernel_table(name)["kind"]](name)


def prune(*used: Path) -> None:
    """Removes what was made for kernels that nobody has used for a month."""
    for folder in used:
        if folder.is_dir():
            folder.touch()
    for kind in "kernel", "source", "uml", "sanitizer", "in-tree":
        for folder in (CACHE / kind).glob("*/"):
            if time.time() - folder.stat().st_mtime > 30 * 86400:
                shutil.rmtree(folder, ignore_errors=True)
