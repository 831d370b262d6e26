# SPDX-License-Identifier: GPL-2.0
"""What the lab asks of, and takes over from, the machine it runs on: rights, disk space,
debootstrap, mirror, proxies, certificates, cargo's sources; and the cache's lock."""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from lab.steps import BUILD, LOGS, SRC, LabError, output, say

# GiB that a full cache takes while it is being made, the same for the root of another
# suite and its kernel, and what a run with a full cache may still need.
DISK = {"trixie": 10, "other": 6, "warm": 1}


def check_rights(command: str) -> None:
    """Root, on amd64, in a checkout whose path a kernel build can take."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root rights: it makes a Debian root and works in it.",
                       f"Run it as root, for instance: sudo make {command}")
    if (arch := output("dpkg", "--print-architecture")) != "amd64":
        raise LabError(f"the lab runs on amd64 machines only; this one is {arch}.",
                       "On this machine `make`, `make install` and `make load` work all the same.")
    if re.search(r"[^A-Za-z0-9._/+@-]", str(SRC)):
        raise LabError(f"the path of this checkout, {SRC}, holds characters that a kernel build"
                       " cannot take.", "Move it to a path of letters, digits and . _ + @ - only.")


def check_disk(cache: Path, need: str, command: str) -> None:
    """Is there room in the cache for a root of that kind?"""
    free, wanted = shutil.disk_usage(cache).free >> 30, DISK.get(need, DISK["other"])
    if free < wanted:
        raise LabError(
            f"{cache} has {free} GiB free, and the lab needs {wanted} GiB there.",
            f"Free some space, or name another place: make {command} LAB_CACHE=/some/where")


def lock(cache: Path, command: str) -> IO[str]:
    """One run at a time: all write to the cache. Every process of a run holds the lock, so
    it also waits for what is left of a killed one."""
    cache.mkdir(parents=True, exist_ok=True)
    file = (cache / "lock").open("a+")
    os.set_inheritable(file.fileno(), True)
    for _ in range(50):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.1)
    else:
        file.seek(0)
        raise LabError(
            f"another run of the lab uses {cache}: {file.readline().strip()}",
            f"Wait for it to end, or name another cache: make {command} LAB_CACHE=/some/where")
    file.truncate(0)
    file.write(f"{command} (process {os.getpid()})\n")
    file.flush()
    return file


def need_debootstrap(cache: Path) -> None:
    """Installs it, if it is missing."""
    if shutil.which("debootstrap"):
        return
    say("The lab installs the package debootstrap on this machine, and nothing else.",
        f"Compilers, QEMU and kernels go into a Debian root below {cache}.")
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "timeout", "900", "apt-get", "-q", "-y",
           "-o", "DPkg::Lock::Timeout=120"]
    install = [*apt, "install", "--no-install-recommends", "debootstrap"]
    path = LOGS / "debootstrap-install.log"
    with path.open("wb") as log:
        # A machine that never fetched package lists knows no package.
        for argv in install, [*apt, "update"], install:
            done = subprocess.run(argv, check=False, stdout=log, stderr=log)
            if argv is install and done.returncode == 0:
                return
    sys.stderr.write("".join(path.read_text().splitlines(keepends=True)[-20:]))
    raise LabError("debootstrap cannot be installed.",
                   "Install it yourself (apt-get install debootstrap) and run this again.")


def mirrors() -> list[str]:
    """The archives of this machine's own release, where the root is to come from, most
    likely one first. Empty if apt says nothing usable."""
    release = re.search(r"^VERSION_CODENAME=\"?(\w+)", Path("/etc/os-release").read_text(), re.M)
    names = {release[1] if release else "", "stable", "oldstable", "testing"}
    found: dict[str, int] = {}
    for line in output("apt-get", "indextargets", "--format",
                       "$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)",
                       "Created-By: Packages").splitlines():
        origin, name, component, uri = line.split("|", 3)
        if name in names and component == "main" and re.match("https?:", uri):
            # Other vendors use Debian's code names too, so Debian's own label sorts first.
            found.setdefault(uri, origin != "Debian")
    return sorted(found, key=lambda uri: found[uri])


def proxies() -> dict[str, str]:
    """debootstrap knows them from the environment only, apt perhaps from its own settings."""
    if os.environ.get("http_proxy"):
        return {}
    said = output("apt-config", "shell", "http_proxy", "Acquire::http::Proxy",
                  "https_proxy", "Acquire::https::Proxy")
    return dict(re.findall(r"^(\w+)='(.+)'$", said, re.M))


def configure_root(root: Path) -> None:
    """Brings a root up to this machine's present network settings."""
    wanted = r"Acquire::(https?|ftp|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])\b"
    others = "Proxy-Auto-Detect|ProxyAutoDetect|CAInfo|SslCert|SslKey"
    conf = [line for line in output("apt-config", "dump").splitlines()
            if re.match(wanted, line) and not re.search(others, line)]
    for name in "resolv.conf", "hosts":
        if Path("/etc", name).exists():
            shutil.copyfile(Path("/etc", name), root / "etc" / name)
    certificates = root / "etc/ssl/certs/host.crt"
    certificates.unlink(missing_ok=True)
    for name in os.environ.get("SSL_CERT_FILE", ""), "/etc/ssl/certs/ca-certificates.crt":
        if name and Path(name).is_file() and Path(name).stat().st_size:
            certificates.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, certificates)
            conf.append('Acquire::https::CAInfo "/etc/ssl/certs/host.crt";')
            break
    (root / "etc/apt/apt.conf.d/80host").write_text("\n".join(conf) + "\n")


def cargo_conf() -> str:
    """Where crates come from: the source and registry tables of this machine's cargo
    configuration. Everything else in that file is somebody's taste."""
    user = os.environ.get("SUDO_USER")
    user_home = pwd.getpwnam(user).pw_dir if user else pwd.getpwuid(os.getuid()).pw_dir
    home = Path(os.environ.get("CARGO_HOME") or f"{user_home}/.cargo")
    for file in home / "config.toml", home / "config":
        if file.is_file():
            kept, keep = [], False
            for line in file.read_text().splitlines(keepends=True):
                if re.match(r"\s*\[", line):
                    keep = bool(re.match(r"\s*\[+\s*(source|registr(ies|y)|net|http)[].]", line))
                if keep and not re.match(r"\s*(proxy-)?cainfo\s*=", line):
                    kept.append(line)
            return "".join(kept)
    return ""


def network_env() -> dict[str, str]:
    """Variables that the root's programs may need to reach the network."""
    wanted = (r"(https?_proxy|HTTPS?_PROXY|ftp_proxy|no_proxy|NO_PROXY|all_proxy|ALL_PROXY"
              r"|CARGO_(REGISTR|SOURCE_|HTTP_PROXY|NET_)[A-Z_]*)$")
    return {name: value for name, value in os.environ.items() if re.match(wanted, name)}


def give_build_back() -> None:
    """build/ belongs to whoever called sudo."""
    user = os.environ.get("SUDO_UID")
    if user and BUILD.is_dir():
        group = os.environ.get("SUDO_GID", user)
        subprocess.run(["chown", "-R", "-h", f"{user}:{group}", BUILD], check=False)
