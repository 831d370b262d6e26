# SPDX-License-Identifier: GPL-2.0
"""make deb, make dist: Debian packages, and the source with all crates beside it.

make test-packages: the packages in fresh Debian roots, with all that they depend on and with
stock kernels: installed, upgraded, through an update of the kernel, and purged. On amd64 they
are installed in a chroot, which machines are then booted from; on arm64 all of it happens in
a machine."""

import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from lab import debian
from lab.build import Build, copy_guest, crates, write_initramfs
from lab.check import sources
from lab.kernels import Kernel, by_version, kernel, pick_modules, supported_series
from lab.machines import Run, machine, test_boot
from lab.results import Results
from lab.steps import (BUILD, CACHE, DRY, LOGS, SHOW, SRC, LabError, Log, digest, lanes,
                       output, say, step, timed)

PACKAGES = BUILD / "packages"
FIRMWARE = Path("/usr/share/OVMF")


def deb(arch: str = "amd64") -> int:
    """make deb: leaves the packages in build/packages/ARCH."""
    arch = kernel(arch).arch.name
    need_crates()
    step(f"build Debian packages for {arch}", f"deb-{arch}", lambda log: build_packages(log, arch))
    # What it has to say that is no error stays in its log.
    step(f"look at the packages for {arch} (lintian)", f"lintian-{arch}", lambda log: log.run(
        "lintian", "--fail-on", "error", *(PACKAGES / arch).glob("*.changes")))
    return show(f"packages/{arch}/*.deb")


def dist() -> int:
    """make dist: build/rust-dma-heap-VERSION.tar.xz. `make deb` in it takes no network."""
    name = f"rust-dma-heap-{version()}"

    def work(log: Log) -> None:
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            copy_source(log, Path(folder, name), vendor=True)
            log.run("tar", "-C", folder, "-cf", BUILD / f"{name}.tar.xz", "-I", "xz -T0 -3",
                    "--sort=name", "--owner=0", "--group=0", name)
    crates()
    step("pack the source with its crates", "dist", work)
    return show(f"{name}.tar.xz")


def show(pattern: str) -> int:
    """What was made, for people."""
    for file in sorted(BUILD.glob(pattern)) if not DRY else []:
        say(output("ls", "-sh", file.relative_to(SRC), cwd=SRC))
    return 0


def version() -> str:
    """Of our packages."""
    return output("dpkg-parsechangelog", "-l", SRC / "debian/changelog", "-S", "Version")


def copy_source(log: Log, folder: Path, vendor: bool) -> None:
    """The source as it is packed, without what git ignores; vendor says: with its crates."""
    beside = [str(file.relative_to(SRC)) for file in (SRC / "vendor").rglob("*") if file.is_file()]
    for name in sources() + beside:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(SRC / name, folder / name)
    if vendor:
        place = folder / "vendor"
        config = log.output("cargo", "vendor", "--manifest-path", folder / "tools/Cargo.toml",
                            "--locked", "--offline", place)
        # As cargo reads it from anywhere.
        (place / "config.toml").write_text(config.replace(str(place), "vendor"))


def need_crates() -> None:
    """Those that stand beside the source need no network."""
    if not (SRC / "vendor").is_dir():
        crates()


def build_packages(log: Log, arch: str, newer: str = "", target: str = "") -> None:
    """The packages of this source; or in a newer version, of the source as `make dist` packs
    it, where there is no network. What is compiled lands in target."""
    # The folder's name is in what cargo compares: another one would compile all anew.
    folder = PACKAGES / arch / "source"
    shutil.rmtree(folder, ignore_errors=True)
    copy_source(log, folder, vendor=bool(newer))
    # What build-essential stands for is in the root, under its own names.
    words = ["dpkg-buildpackage", "-b", "-us", "-uc", "--ignore-builtin-builddeps"]
    if newer:
        changelog = folder / "debian/changelog"
        changelog.write_text(re.sub(r"\(.*?\)", f"({newer})", changelog.read_text(), count=1))
        words = ["unshare", "--net", *words]
    if arch != "amd64":
        # dpkg does not see what the root has for other architectures.
        words += ["-d", f"-a{arch}"]
    log.run(*words, cwd=folder, env={
        "CARGO_TARGET_DIR": target or f"{CACHE}/target/deb-{digest(output('rustc', '-vV'))}"})
    shutil.rmtree(folder)


def test_packages(arches: str = "amd64 arm64") -> int:
    """make test-packages: on one architecture, or on both."""
    results, tests = Results(fresh=True), {"amd64": test_amd64, "arm64": test_arm64}
    if unknown := set(arches.split()) - set(tests):
        raise LabError(f"no such architecture: {' '.join(unknown)}", "There are: amd64 arm64")
    need_crates()
    lanes(*(functools.partial(lambda arch: tests[arch](PackageTest(arch, results)), arch)
            for arch in arches.split()))
    return results.finish()


def kernel_packages(release: str, package: str) -> list[str]:
    """Image, headers and source of a kernel."""
    series = ".".join(release.split(".")[:2])
    return [f"{name}={package}" for name in (
        f"linux-image-{release}", f"linux-headers-{release}", f"linux-source-{series}")]


def older(kernel: Kernel) -> tuple[str, str]:
    """Release and version of the newest kernel that is older, has its source, and is of a
    supported series."""
    chosen, versions = kernel.release, kernel.lists.versions
    for series in supported_series():
        for release in kernel.releases(re.escape(series)):
            for package in versions(f"linux-headers-{release}:{kernel.arch.name}"):
                if (release != chosen and by_version([release, chosen])[0] == chosen
                        and package in versions(f"linux-source-{series}")):
                    return release, package
    raise LabError(f"the mirror has no {kernel.label} kernel older than {chosen} with its source,"
                   " of the series in tests/lab/series.",
                   "An update of the kernel cannot be tested without one.")


class PackageTest:
    """What the tests of one architecture have in common: our packages, a root with an image,
    and a repository of all that is needed there."""

    def __init__(self, arch: str, results: Results) -> None:
        self.arch, self.results, self.kernel = arch, results, kernel(arch)
        self.out = self.kernel.out = PACKAGES / arch / "machine"
        self.root, self.repository = (debian.DEBIANS / f"packages-{arch}{kind}"
                                      for kind in ("", "-repository"))
        self.image, self.source = Path(f"{self.root}.img"), self.out / "source.tar"
        self.kernel.choose()
        self.step("fetch the kernel", "kernel-fetch", self.kernel.fetch)
        Build(self.kernel).stock_modules()
        self.step("build Debian packages", "deb", self.build)
        self.fresh, self.vmlinuz = debian.root(self.kernel, "packages"), self.kernel.image

    def step(self, text: str, log: str, work: Callable[[Log], object]) -> None:
        """A step for this architecture."""
        step(f"{text} for {self.arch}", f"{log}-{self.arch}", work)

    def build(self, log: Log) -> None:
        """Our packages, and what a machine has before it has a root."""
        shutil.rmtree(PACKAGES / self.arch, ignore_errors=True)
        self.out.mkdir(parents=True)
        build_packages(log, self.arch)
        log.run("tar", "-C", SRC, "-cf", self.source, "--no-recursion", *sources())
        write_initramfs(self.out / "initramfs.cpio", self.kernel.busybox, self.kernel.modules)

    def reproducible(self) -> None:
        """Two builds of one source are the same, byte by byte."""
        def sums(folder: Path) -> dict[str, str]:
            return {file.name: digest(file.read_bytes().hex()) for file in folder.glob("*.deb")}

        def again(log: Log) -> None:
            folder, kept = PACKAGES / self.arch, PACKAGES / f"{self.arch}-first"
            shutil.rmtree(kept, ignore_errors=True)
            first = sums(folder)
            folder.rename(kept)
            folder.mkdir()
            with tempfile.TemporaryDirectory(dir=CACHE / "target") as target:
                build_packages(log, self.arch, target=target)
            second = sums(folder)
            shutil.rmtree(folder)
            kept.rename(folder)
            names = sorted(name for name in first | second
                           if first.get(name) != second.get(name))
            self.results.put(f"{self.arch}-packages-reproducible", "TAP version 13\n1..1\n"
                             + ("not " if names or not first else "")
                             + "ok 1 - two builds of the packages are the same\n"
                             + "".join(f"# {name} differs\n" for name in names))
        self.step("build the Debian packages once more", "deb-again", again)

    def fill_repository(self, log: Log, *names: str) -> None:
        """Packages and ours, with all that they depend on, as apt likes it. The name of the
        kernel's source comes in the version of the last one, too."""
        shutil.rmtree(self.repository, ignore_errors=True)
        # Those for debuggers would each want its own version of another one.
        ours = [file for file in (PACKAGES / self.arch).glob("*.deb")
                if "-dbgsym_" not in file.name]
        debs = self.repository / "debs"
        debian.download(log, self.arch, debs, "?essential", *debian.packages("packages"),
                        "linux-base/trixie-backports", *names, *map(str, ours),
                        *kernel_packages(self.kernel.release, self.kernel.package))
        if names:
            log.run("timeout", "600", "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download",
                    f"linux-source={names[-1].split('=')[1]}", cwd=debs)
        for file in ours:
            shutil.copy(file, debs)
        # As apt likes it; for PACKAGE/trixie-backports, too.
        packages = self.repository / "Packages"
        with packages.open("wb") as out:
            log.run("dpkg-scanpackages", "--multiversion", "debs", cwd=self.repository, stdout=out)
        data = packages.read_bytes()
        (self.repository / "Release").write_text(
            f"Suite: trixie-backports\nDate: {format_datetime(datetime.now(UTC), usegmt=True)}\n"
            f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} Packages\n")

    def unpack(self) -> None:
        """The fresh root, as a folder."""
        def work(log: Log) -> None:
            log.run("rm", "-rf", "--one-file-system", self.root)
            self.root.mkdir()
            log.run("debugfs", "-R", f"rdump / {self.root}", self.fresh)
            # It leaves out what is not rwx.
            (self.root / "usr/bin/sudo").chmod(0o4755)
            (self.root / "tmp").chmod(0o1777)
        self.step("unpack the fresh root", "packages-root", work)

    def boot(self, name: str, *arguments: str, source: bool = False) -> None:
        """A machine that writes to the image."""
        test_boot(Run(self.kernel, machine(name), image=self.vmlinuz,
                      arguments=[*debian.disk(self.image), *arguments],
                      files=[self.source] * source), self.results)

    def in_chroot(self, name: str, variables: dict[str, str]) -> None:
        """Runs tests/vm/packages/chroot-NAME.sh in the root."""
        if DRY:
            say(f"  would: {name}, in a root for {self.arch}")
            return
        out = LOGS / f"packages-{self.arch}-chroot-{name}.out"
        with timed(f"{name}, in a root for {self.arch}"), out.open("wb") as log:
            copy_guest(self.root / "lab")
            shutil.copy(self.source, self.root / "lab")
            (self.root / "srv/repository").mkdir(parents=True, exist_ok=True)
            words = debian.chroot(self.root, "sh", "/lab/packages/in-chroot.sh", name,
                                  mounts=["--bind", self.repository, "srv/repository"])
            status = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, env=variables).returncode
        self.results.split(f"{self.arch}-packages-chroot-{name}", out, status)

    def make_machine(self, release: str) -> None:
        """An image of the root, and what boots its kernel."""
        def work(log: Log) -> None:
            with tempfile.TemporaryDirectory() as folder:
                pick_modules(log, self.root, Path(folder), release, "virtio_blk ext4")
                write_initramfs(self.out / "initramfs.cpio", self.kernel.busybox,
                                Path(folder, "lib/modules"))
            debian.pack(log, self.root, self.image)
        self.step("make a machine of the root", "packages-machine", work)
        self.vmlinuz = self.root / f"usr/lib/modules/{release}/vmlinuz"

    def clean(self) -> None:
        """Removes what no later run can use."""
        if not (DRY or SHOW):
            subprocess.run(["rm", "-rf", "--one-file-system", self.root, self.repository,
                            self.image, f"{self.repository}.img"], check=True)


def test_amd64(test: PackageTest) -> None:
    """In a chroot and machines of it; what the documents say, in another one."""
    test.reproducible()
    test.step("build newer Debian packages, without network,", "deb-newer",
              lambda log: build_packages(log, test.arch, newer=f"{version()}+1"))
    old, old_package = older(test.kernel)
    say(f"  older kernel {old} ({old_package})")

    def fetch(log: Log) -> None:
        test.fill_repository(log, *(f"{name}/trixie-backports" for name in (
            "linux-image-amd64", "linux-headers-amd64", "linux-source")), "grub2-common",
                             *kernel_packages(old, old_package))
    test.step("fetch what the packages need", "packages-fetch", fetch)
    test.unpack()
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "VERSION": version(),
                 "OLD": old, "OLD_PACKAGE": old_package, "NEW": test.kernel.release,
                 "NEW_PACKAGE": test.kernel.package, "SERIES": test.kernel.branch}
    test.in_chroot("install", variables)
    test.make_machine(old)
    test.boot("packages-boot", source=True)
    for name in "upgrade", "kernel", "by-hand":
        test.in_chroot(name, variables)
    test.make_machine(test.kernel.release)

    def keys(log: Log) -> None:
        mine, key = FIRMWARE / "OVMF_VARS_4M.fd", test.out / "mok.pem"
        shutil.copy(mine, test.out / "refused.fd")
        log.run("openssl", "x509", "-inform", "DER", "-in", test.root / "var/lib/dkms/mok.pub",
                "-out", key)
        log.run("virt-fw-vars", "--input", mine, "--output", test.out / "enrolled.fd",
                "--add-db", "6b1ad9a4-5d4c-4b2c-9d0a-3b6d6f6f3a51", key)
    test.step("make firmware that knows DKMS's key", "packages-keys", keys)
    for name in "refused", "enrolled":
        test.boot(f"packages-{name}",
                  "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
                  "-drive", f"if=pflash,format=raw,file={test.out}/{name}.fd")
    test.boot("packages-purge", source=True)
    test.unpack()
    test.in_chroot("documents", variables)
    test.make_machine(test.kernel.release)
    for name in "documents", "area-missing", "area-there":
        test.boot(f"packages-{name}")
    test.clean()


def test_arm64(test: PackageTest) -> None:
    """In a machine, whose second disk is the repository."""
    image = Path(f"{test.repository}.img")

    def disks(log: Log) -> None:
        test.fill_repository(log)
        debian.pack(log, test.repository, image)
        shutil.rmtree(test.repository)
        # Compilers and the kernel's source take some room.
        log.run("cp", "--sparse=always", test.fresh, test.image)
        log.run("truncate", "-s", "8G", test.image)
        log.run("e2fsck", "-fp", test.image, ok=(0, 1))
        log.run("resize2fs", test.image)
    test.step("fetch what the packages need", "packages-fetch", disks)
    for name in "packages-install", "packages-purge":
        test.boot(name, *debian.disk(image, ",readonly=on", "repository"), source=True)
    test.clean()
