# SPDX-License-Identifier: GPL-2.0
"""The Debian roots: compilers, QEMU and the rest of what the lab works with. How one is
made, and how a command runs in it."""

import os
import subprocess
import sys
from pathlib import Path

from lab import host
from lab.machines import table
from lab.steps import BUILD, LAB, SRC, Log, digest, remove

# For a root of its own: mounts and processes die with the command, and the command with
# this process, even on kill -9.
ISOLATED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork",
            "--kill-child")


def packages(suite: str) -> list[str]:
    """What the suite's root holds besides its base system."""
    return [str(name) for name in table()["suite"][suite]["packages"]]


def path(cache: Path, suite: str) -> Path:
    """Where the suite's root is; the name tells what it was made from."""
    return cache / f"root-{suite}-{digest(' '.join(packages(suite)), RECIPE)}"


def make(suite: str, root: Path, log: Log) -> None:
    """Makes a root in a temporary folder: only a complete one gets its final name. From the
    first mirror that has the suite, else from debootstrap's own default."""
    env = host.proxies()
    for mirror in [*host.mirrors(), ""]:
        remove(root)
        argv = ["timeout", "900", "debootstrap", "--variant=minbase", suite, str(root)]
        last = not mirror
        if log.run(*argv, *([] if last else [mirror]), env=env,
                   ok=(0,) if last else tuple(range(256))) == 0:
            break
        log.say(f"no {suite} from this machine's mirror {mirror}, trying the next")
    settle(suite, root, log)


def settle(suite: str, root: Path, log: Log) -> None:
    """Its sources, settings and packages."""
    # Kernels come from backports, on the mirror that debootstrap has used. i386 is there
    # for a Rust standard library only. sid's kernel is sid's own.
    sources = root / "etc/apt/sources.list"
    mirror = sources.read_text().split()[1]
    foreign = [] if suite == "sid" else ["arm64", "i386"]
    lines = [f"deb [arch={','.join(['amd64', *foreign])}] {mirror} {suite} main\n"]
    if suite != "sid":
        lines.append(f"deb [arch=amd64,arm64] {mirror} {suite}-backports main\n")
    sources.write_text("".join(lines))
    # Nothing in the root outlives a crash of the machine, so it needs no fsync.
    (root / "etc/dpkg/dpkg.cfg.d/lab").write_text("force-unsafe-io\n" + "".join(
        f"path-exclude=/usr/share/{name}/*\n" for name in ("doc", "man", "locale", "info")))
    (root / "etc/apt/apt.conf.d/90lab").write_text(
        'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAcquire::Retries "3";\n')
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    host.configure_root(root)
    log.run("mount", "-t", "proc", "proc", root / "proc")

    def run(*argv: str, seconds: int = 1800) -> None:
        log.run("timeout", str(seconds), "chroot", root, *argv,
                env={"DEBIAN_FRONTEND": "noninteractive"})
    for arch in foreign:
        run("dpkg", "--add-architecture", arch)
    run("apt-get", "-q", "update", seconds=900)
    (root / "var/lib/apt/lists/lab-stamp").touch()
    run("apt-get", "-q", "-y", "install", *packages(suite))
    # Rust's standard library for other architectures: the archives alone. Installed as
    # packages they would bring a compiler each.
    for arch in foreign:
        run("sh", "-euc", 'cd /tmp; apt-get -q -o APT::Sandbox::User=root download "$1"\n'
            'find . -name "*.deb" -exec dpkg-deb -x {} / \\; -delete', "-",
            f"libstd-rust-dev:{arch}")
    run("apt-get", "-q", "clean")
    log.run("umount", root / "proc")


# A change to these makes every root anew.
RECIPE = digest(make, settle)


def environment(cache: Path, suite: str) -> dict[str, str]:
    """What a command in the suite's root finds in its environment."""
    root = path(cache, suite)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
           "TERM": os.environ.get("TERM", "dumb"), "SUITE": suite, "CARGO_HOME": "/lab/cargo",
           "LAB_CACHE": str(cache), "LAB_ROOT": str(root), "PYTHONPATH": str(LAB),
           "PYTHONPYCACHEPREFIX": f"/lab/pycache/{suite}", **host.network_env()}
    for name in "KVER", "LAB_KVM", "LAB_UNVERIFIED", "LAB_DRY", "LAB_SHOW_QEMU":
        env[name] = os.environ.get(name, "")
    if (root / "etc/ssl/certs/host.crt").exists():
        env["SSL_CERT_FILE"] = env["CARGO_HTTP_CAINFO"] = "/etc/ssl/certs/host.crt"
    return env


def enter(cache: Path, suite: str, *argv: str) -> None:
    """Becomes a command in the suite's root. This process has mounts and processes of its
    own, so whatever is mounted here is gone when the command ends, however it ends.

    In the root, /lab is the cache and the checkout has the path it has outside, so that a
    compiler's messages name files the user can open. The checkout is read-only there,
    except for build/."""
    root, env = path(cache, suite), environment(cache, suite)

    def mount(*words: str | Path) -> None:
        subprocess.run(["mount", *words], check=True)

    def link(target: str, name: str) -> None:
        (root / "dev" / name).symlink_to(target)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "mode=755", "dev", root / "dev")
    for node in "null", "zero", "full", "random", "urandom", "tty", "kvm", "udmabuf":
        if Path("/dev", node).exists():
            (root / "dev" / node).touch()
            mount("--bind", Path("/dev", node), root / "dev" / node)
    for name in "pts", "shm":
        (root / "dev" / name).mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", root / "dev/pts")
    link("pts/ptmx", "ptmx")
    link("/proc/self/fd", "fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        link(f"/proc/self/fd/{number}", name)
    mount("-t", "tmpfs", "shm", root / "dev/shm")
    mount("-t", "tmpfs", "tmp", root / "tmp")
    place = root / str(SRC)[1:]
    for folder in root / "lab", place:
        folder.mkdir(parents=True, exist_ok=True)
    mount("--bind", cache, root / "lab")
    mount("--bind", SRC, place)
    mount("--bind", BUILD, place / "build")
    mount("-o", "remount,bind,ro", place)
    os.chroot(root)
    os.chdir(SRC)
    os.execvpe(argv[0], argv, env)


if __name__ == "__main__":
    # As ISOLATED starts it: make SUITE ROOT, or enter CACHE SUITE COMMAND...
    if sys.argv[1] == "make":
        make(sys.argv[2], Path(sys.argv[3]), Log(BUILD / f"log/root-{sys.argv[2]}.log"))
    else:
        enter(Path(sys.argv[2]), *sys.argv[3:])
