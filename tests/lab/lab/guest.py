# SPDX-License-Identifier: GPL-2.0
"""make try: a test in a machine that is kept running between calls.

try_build() runs in the Debian root, as every command, and leaves a plan in build/try. The rest
runs on the host, which holds no lock of the cache by then. The machine is asked through a
virtio port (tests/vm/machines/try.sh); it ends when another command of the lab starts, or by
itself when nobody has asked it for half an hour."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path
from typing import Any

from lab import root
from lab.build import IMPORTER, MODULE, SELFTEST, USUAL, Build, copy_documents
from lab.kernels import kernel
from lab.machines import BEGIN, Run, machine
from lab.results import Results, log_check, split_output
from lab.steps import BUILD, CACHE, DRY, GUEST, LOGS, SHOW, SRC, LabError, digest, say, timed

TRY = BUILD / "try"
# What the skips of this machine's tests are listed for.
LIKE = "amd64-suite"
SECONDS = 600


def topics() -> list[str]:
    """The topics of dmaheap-kselftest."""
    source = (SRC / "tests/kselftest/src/main.rs").read_text()
    table = re.search(r"^const TOPICS.*?^\];", source, re.M | re.S)
    return re.findall(r'\(\s*"([a-z-]+)",', table[0]) if table else []


def scripts() -> dict[str, str]:
    """The tests of tests/vm/tests, and the line that says what each is about."""
    return {file.stem: file.read_text().splitlines()[2].removeprefix("# ")
            for file in sorted((GUEST / "tests").glob("*.sh"))}


def listing() -> str:
    """What make try prints with T=--list."""
    return "\n".join([
        "Topics of dmaheap-kselftest:", *textwrap.wrap(
            " ".join(topics()), 96, initial_indent="  ", subsequent_indent="  "), "",
        "Scripts of tests/vm/tests (those that need another machine skip themselves):",
        *(f"  {name:<24} {about}" for name, about in scripts().items())])


def request(topic: str) -> str:
    """What the machine is asked for."""
    name, *words = topic.split()
    if set(name.split(",")) <= set(topics()):
        return " ".join(["sh /lab/try/topic.sh", name, *words])
    if name in scripts():
        return " ".join(["sh /lab/try/test.sh", name, *words])
    raise LabError(f"there is no topic and no script {name}.", "See: make try T=--list")


def try_build(topic: str = "") -> int:
    """Builds what has changed, and leaves the plan: the machine's command, and the files that
    it is to have."""
    if topic not in ("", "--reset"):
        request(topic)
    made = Build(kernel("amd64"))
    made.kernel.choose()
    made.kernel.prepare()
    made.module()
    made.programs()
    made.stock_modules()
    if not (made.out / SELFTEST).exists():
        made.selftest()
    if DRY:
        return 0
    made.initramfs(made.out / SELFTEST, made.kernel.modules)
    run = Run(made.kernel, machine("try"), "try")
    words = run.command()
    if SHOW:
        return run.boot()
    words += ["-serial", f"file:{run.log('console')}", "-device", "virtio-serial-pci"]
    for name, chardev in (("out", f"file,path={run.log('out')}"),
                          ("status", f"file,path={run.log('status')}"),
                          ("try", f"socket,path={CACHE}/try.sock,server=on,wait=off")):
        words += ["-chardev", f"{chardev},id={name}",
                  "-device", f"virtserialport,chardev={name},name=lab.{name}"]
    files = {file.name: str(file) for file in [
        made.out / f"{MODULE}.ko", made.out / f"{IMPORTER}.ko",
        *(made.kernel.programs / name for name in USUAL)]}
    files |= {str(file.relative_to(GUEST)): str(file) for file in GUEST.rglob("*")
              if file.is_file() and file.suffix == ".sh"}
    copy_documents(TRY / "documents")
    files |= {f"documents/{file.name}": str(file) for file in (TRY / "documents").iterdir()}
    key = digest(" ".join(words), GUEST / "boot/init", GUEST / "machines/try.sh")
    (TRY / "plan.json").write_text(json.dumps({"command": words, "key": key, "files": files}))
    return 0


class Kept:
    """The machine that is kept, as the host sees it. The cache has its process and socket;
    build/try/sent.json says what files it has."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.pid_file, self.sent = cache, cache / "try.pid", TRY / "sent.json"
        self.link: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Its process, 0 if there is none."""
        try:
            pid = int(self.pid_file.read_text())
            alive = b"lab.root" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return 0
        return pid if alive else 0

    def end(self) -> None:
        """Ends it, if there is one."""
        if pid := self.pid:
            # Its namespace, and so QEMU, goes with it.
            os.kill(pid, signal.SIGKILL)
            while self.pid:
                time.sleep(0.02)
        for path in self.pid_file, self.cache / "try.sock":
            path.unlink(missing_ok=True)

    def start(self, plan: dict[str, Any]) -> None:
        """Boots it, once more if its kernel stands still."""
        for _ in range(2):
            self.end()
            for kind in "console", "out", "status":
                (LOGS / f"vm-try.{kind}").unlink(missing_ok=True)
            with (LOGS / "vm-try.qemu").open("wb") as log:
                # Without the first words of it: nobody's end is its own.
                process = subprocess.Popen(
                    [*root.ISOLATED[3:], sys.executable, "-m", "lab.root", "enter", self.cache,
                     "trixie", *plan["command"]], stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, start_new_session=True)
            self.pid_file.write_text(str(process.pid))
            out, until = LOGS / "vm-try.out", time.monotonic() + BEGIN
            while time.monotonic() < until and process.poll() is None:
                if out.exists() and "ready" in out.read_text():
                    self.sent.write_text(json.dumps({
                        "pid": process.pid, "key": plan["key"], "files": hashes(plan)}))
                    return
                time.sleep(0.1)
            say("  note: the machine stood still while its kernel started, or died")
        raise LabError("the machine does not start; see build/log/vm-try.console and .qemu")

    def ready(self, plan: dict[str, Any]) -> dict[str, str]:
        """Has the machine of this plan running; gives the files that it has."""
        try:
            state = json.loads(self.sent.read_text())
        except (OSError, ValueError):
            state = {}
        if not self.pid or state.get("pid") != self.pid or state.get("key") != plan["key"]:
            with timed("boot the machine that is kept"):
                self.start(plan)
            state = json.loads(self.sent.read_text())
        files: dict[str, str] = state["files"]
        return files

    def ask(self, command: str, seconds: int, bundle: bytes = b"", show_it: bool = True
            ) -> tuple[str, int]:
        """Sends files and has a command run; gives what it printed and its status."""
        with socket.socket(socket.AF_UNIX) as link:
            # A long name of the cache does not fit into a socket's.
            folder = os.open(self.cache, os.O_PATH)
            link.connect(f"/proc/self/fd/{folder}/try.sock")
            os.close(folder)
            link.settimeout(seconds + 30)
            ident = f"{os.getpid()}-{time.monotonic_ns()}"
            link.sendall(f"{ident} {len(bundle)} {seconds} {command}\n".encode() + bundle)
            lines: list[str] = []
            begun = False
            for line in (raw.rstrip("\r\n") for raw in link.makefile(errors="replace")):
                if line == f"### start {ident}":
                    begun = True
                elif begun and (match := re.fullmatch(rf"### stop {ident} (\d+)", line)):
                    return "\n".join(lines) + "\n", int(match[1])
                elif begun:
                    lines.append(line)
                    if show_it:
                        say(line)
        raise LabError("the machine has died; see build/log/vm-try.console")


def hashes(plan: dict[str, Any]) -> dict[str, str]:
    """A digest of each file of the plan."""
    return {name: hashlib.sha256(Path(file).read_bytes()).hexdigest()
            for name, file in plan["files"].items()}


def changed_files(plan: dict[str, Any], old: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Those that the machine does not have as they are, as a tar archive; and what it has
    then."""
    new, out = hashes(plan), io.BytesIO()
    names = [name for name in new if old.get(name) != new[name]]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            archive.add(plan["files"][name], name, filter=lambda info: info.replace(
                mode=0o755, uid=0, gid=0, uname="root", gname="root"))
    return (out.getvalue() if names else b""), new


def try_it(kept: Kept, topic: str) -> int:
    """On the host: what make try does after the build."""
    plan, start = json.loads((TRY / "plan.json").read_text()), time.monotonic()
    old = kept.ready(plan)
    if topic in ("", "--reset"):
        if topic and kept.ask("sh /lab/try/set-back.sh", 60)[1] != 0:
            say("  note: it cannot be set back; starting it again")
            kept.end()
            kept.ready(plan)
        return 0
    console, before = LOGS / "vm-try.console", (LOGS / "vm-try.console").stat().st_size
    bundle, new = changed_files(plan, old)
    try:
        text, status = kept.ask(request(topic), SECONDS, bundle)
    except BaseException as error:
        # What runs there would go on.
        kept.end()
        if isinstance(error, LabError):
            last = console.read_text(errors="replace").splitlines()[-25:]
            raise LabError(*error.args, *(f"| {line}" for line in last)) from None
        raise
    took = time.monotonic() - start
    kept.sent.write_text(json.dumps({"pid": kept.pid, "key": plan["key"], "files": new}))
    results = Results(TRY / "results", fresh=True)
    tests, stray = split_output(text)
    for name, (tap, code) in tests.items():
        results.put(f"{LIKE}/{name}", tap, 137 if code is None else code)
    with console.open(errors="replace") as log:
        log.seek(before)
        lines = log.read().splitlines()
    if any("lab: the log check begins here" in line for line in lines):
        tap, good = log_check(lines)
        results.put(f"{LIKE}/kernel-log", tap, 0 if good else 1)
    if status != 0 or not tests:
        results.machine(LIKE, False, "the machine ran the test", [f"status {status}", *stray])
    say(f"  ok  {topic}: {took:.1f} s after the build")
    return results.finish()
