# SPDX-License-Identifier: GPL-2.0
"""Debian roots for virtual machines, of either architecture, with systemd: disk images that
the cache keeps, by the packages that are in them (tables [debian.NAME] of machines.toml).

A machine's job runs there under systemd, with everything of the initramfs in /lab and the
stock kernel's modules in /lib/modules. Nothing of ours is in the image."""

import hashlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab import machines
from lab.kernels import Kernel
from lab.machines import Run, machine
from lab.steps import CACHE, GUEST, LabError, Log, digest, step

DEBIANS = CACHE / "debian"
CONFIGURE = GUEST / "debian/configure-root.sh"


def packages(name: str) -> list[str]:
    """What a root has, beside what is essential."""
    tables = machines.table()["debian"]
    return [package for table in ("base", name) for package in tables[table]["packages"]]


def root(kernel: Kernel, name: str) -> Path:
    """The image of a root; made, unless it is there. A change to what makes it makes it anew.
    For another architecture a machine does that, with the kernel's initramfs."""
    arch, native = kernel.arch.name, kernel.arch.name == "amd64"
    key = digest(fetch, download, chroot, pack, CONFIGURE, *packages(name))
    image, folder = DEBIANS / f"{arch}-{name}-{key}.img", DEBIANS / f"{arch}-{name}.tmp"
    if image.exists():
        return image

    def work(log: Log) -> None:
        for old in [folder, *DEBIANS.glob(f"{arch}-{name}-*")]:
            log.run("rm", "-rf", "--one-file-system", old)
        fetch(log, arch, folder / "root", packages(name))
        if native:
            log.run(*chroot(folder / "root", "sh", "/debs/configure-root"))
        pack(log, folder / "root", folder / "image")
        if not native:
            configure_there(log, kernel, folder / "image")
        (folder / "image").rename(image)
        log.run("rm", "-rf", "--one-file-system", folder)
    step(f"make a Debian root for {arch}" + ("" if native else ", in a machine of it"),
         f"debian-{name}-{arch}", work)
    return image


def download(log: Log, arch: str, archives: Path, *names: str) -> None:
    """Packages with all that they depend on, for a system of that architecture alone, with
    nothing installed."""
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        sources, status = Path(state, "sources.list"), Path(state, "status")
        sources.write_text(re.sub(r"\[[^]]*\] ", "", Path("/etc/apt/sources.list").read_text()))
        status.touch()
        settings = ("APT::Sandbox::User=root", f"APT::Architecture={arch}",
                    f"APT::Architectures={arch}", f"Dir::Etc::sourcelist={sources}",
                    f"Dir::State::status={status}", f"Dir::Cache::archives={archives}",
                    "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=")
        log.run("timeout", "3600", "apt-get", "-q", "-y",
                *(word for setting in settings for word in ("-o", setting)),
                "--download-only", "install", *names)


def fetch(log: Log, arch: str, folder: Path, names: list[str]) -> None:
    """The packages; those without which no other can be installed are unpacked."""
    debs, essential = folder / "debs", folder / "essential"
    download(log, arch, essential, "?essential", "apt")
    download(log, arch, debs, "?essential", "apt", *names)
    for deb in essential.glob("*.deb"):
        log.run("dpkg-deb", "-x", deb, folder)
        (debs / deb.name).unlink()
    for name in "lab", "usr/lib/modules":
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "var/lib/dpkg/status").touch()
    shutil.copy(CONFIGURE, debs / "configure-root")
    (folder / "etc/hostname").write_text("debian\n")
    # Else the first start asks for settings.
    identity = hashlib.sha256(" ".join([arch, *names]).encode()).hexdigest()[:32]
    (folder / "etc/machine-id").write_text(f"{identity}\n")


def chroot(folder: Path, *argv: str, mounts: Sequence[str | Path] = ()) -> list[str]:
    """A command in a root, with mounts that end with it."""
    lines = [["cd", str(folder)], ["mount", "-t", "proc", "proc", "proc"],
             ["mount", "--rbind", "/dev", "dev"], ["mount", "-t", "tmpfs", "run", "run"],
             *([["mount", *map(str, mounts)]] if mounts else []), ["exec", "chroot", ".", *argv]]
    # The lab's root is no mount point: no propagation can be set there. It is private already.
    return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec",
            "\n".join(map(shlex.join, lines))]


def configure_there(log: Log, kernel: Kernel, image: Path) -> None:
    """The same in a machine of the image's architecture."""
    one = Run(kernel, machine("debian-configure"), f"debian-configure-{kernel.arch.name}",
              arguments=disk(image))
    status = one.boot()
    log.say(one.log("out").read_text(errors="replace"))
    if status:
        raise LabError(f"the machine ended with status {status}.")


def pack(log: Log, folder: Path, image: Path) -> None:
    """With room for what machines write."""
    mebibytes = int(log.output("du", "-sm", folder).split()[0])
    with image.open("wb") as file:
        file.truncate((mebibytes * 3 + 1024) << 20)
    log.run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d",
            folder, image)


def disk(image: Path, options: str = "", name: str = "root") -> list[str]:
    """QEMU's words for a disk, which is /dev/vda if it is the first."""
    return ["-device", f"virtio-blk-pci,drive={name}", "-drive",
            f"if=none,id={name},format=raw,cache=unsafe,file={image}{options}"]


def run(kernel: Kernel, name: str) -> Run:
    """A machine with a Debian root. It writes to a copy that ends with it, so each finds the
    root as it was made."""
    one = machine(name)
    return Run(kernel, one, arguments=disk(root(kernel, one.debian), ",snapshot=on"),
               env={"TMPDIR": str(DEBIANS)})
