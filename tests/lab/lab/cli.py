# SPDX-License-Identifier: GPL-2.0
"""The lab's commands. This runs twice: on the host, where it makes the Debian root if it is
missing, and once more within that root, where it carries the command out."""

import argparse
import importlib
import inspect
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from pathlib import Path
from typing import IO

from lab import guest, host, machines, root
from lab.matrix import chosen
from lab.steps import BUILD, LAB, LOGS, LabError, StepFailed, remove, say

DEFAULT_CACHE = "/var/cache/rust-dma-heap"
INSIDE = bool(os.environ.get("LAB_ROOT"))

# The commands that are carried out within the root, by the module that has them: "test-all" is
# its function test_all(), which says what words it takes.
COMMANDS = {name: module for module, names in {
    "tests": "demo test kunit test-configs test-in-tree sanitize rust-analyzer prepare boot vm "
             "sanitizer-vm shell",
    "media": "demo-video test-video test-media", "boards": "test-boards",
    "matrix": "test-matrix matrix-table", "mutants": "test-mutants", "bench": "bench bench-maps",
    "check": "check docs rustdoc", "packages": "deb dist test-packages",
    "guest": "try-build"}.items() for name in names.split()}
# What make test-all runs: all that .ci/run has no time for, the shortest first.
REST = ("demo ARCH=arm64", "demo-video", "demo-video ARCH=arm64", "test-video",
        "test-video ARCH=arm64", "test-boards", "test-media", "bench-maps", "bench-maps ARCH=arm64",
        "bench", "bench ARCH=arm64", "test-mutants", "test-matrix", "sanitize", "test-packages")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    others = "help machines clean-cache root test-all try".split()
    parser = argparse.ArgumentParser(
        prog="tests/lab/run", description="`make help` says what they are.",
        usage="%(prog)s [--dry-run] [--show-qemu] COMMAND [WORD...]",
        epilog="Beside those of make: boot ARCH MACHINE; vm ARCH COMMAND..., in a machine; root"
        " COMMAND..., in the Debian root; machines, the table for docs/testing.md.")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--show-qemu", action="store_true",
                        help="print the machines' commands, to be pasted, and boot none")
    parser.add_argument("command", choices=[*COMMANDS, *others], metavar="COMMAND",
                        help=", ".join(sorted([*COMMANDS, *others])))
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    return parser.parse_args(argv)


def help_text() -> str:
    """What `make help` prints: the file "help", with names of machines and kernels."""
    text = (LAB / "help").read_text().partition("\n")[2].rstrip("\n")
    for name, words in (("test-configs", machines.names("test-configs")),
                        ("test-boards", machines.names("test-boards")),
                        ("sanitize", machines.names("sanitize")), ("matrix", machines.matrix())):
        text = text.replace(f"@{name}@", textwrap.fill(
            " ".join(words), 80, initial_indent=" " * 22, subsequent_indent=" " * 22,
            break_on_hyphens=False))
    return text


# What needs no root.
TOLD = {"help": help_text, "machines": machines.markdown}


def carry_out(command: str, words: list[str]) -> int:
    """Within the root: calls the command's function."""
    function = getattr(importlib.import_module(f"lab.{COMMANDS[command]}"),
                       command.replace("-", "_"))
    try:
        inspect.signature(function).bind(*words)
    except TypeError as error:
        raise LabError(f"{command} {' '.join(words)}: {error}",
                       f"It takes: {inspect.signature(function)}") from None
    return int(function(*words))


class Host:
    """A run of the lab, as the host sees it."""

    def __init__(self, command: str, words: list[str]) -> None:
        self.command, self.words = command, words
        self.cache = Path(os.environ.get("LAB_CACHE") or DEFAULT_CACHE).resolve()
        self.fds: tuple[int, ...] = ()
        self.copy: IO[bytes] | None = None

    def isolated(self, *argv: str | Path) -> int:
        """Runs a part of root.py with mounts and processes of its own."""
        words = [*root.ISOLATED, sys.executable, "-m", "lab.root", *map(str, argv)]
        child = subprocess.Popen(
            words, pass_fds=self.fds, stdout=subprocess.PIPE if self.copy else None,
            stderr=subprocess.STDOUT if self.copy else None)
        try:
            for line in child.stdout or ():
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
                if self.copy:
                    self.copy.write(line)
            return child.wait()
        finally:
            # A signal may have ended this; and the namespace ends with its first process.
            child.kill()
            child.wait()

    def in_root(self, suite: str, *argv: str) -> int:
        """Carries a command of the lab out within the suite's root."""
        return self.isolated("enter", self.cache, suite, "/usr/bin/python3", "-m", "lab", *argv)

    def need_root(self, suite: str) -> None:
        """Makes the suite's root if it is missing."""
        path = root.path(self.cache, suite)
        if not path.is_dir():
            if os.environ.get("LAB_DRY"):
                raise LabError(f"would make the Debian root {path} first.",
                               "What comes then depends on it: make it, by any command.")
            self.make_root(suite, path)
        else:
            host.check_disk(self.cache, "warm", self.command)
        host.configure_root(path)

    def make_root(self, suite: str, path: Path) -> None:
        """Makes it, and removes those of older lists, and what an interrupted run has left."""
        host.check_disk(self.cache, suite, self.command)
        host.need_debootstrap(self.cache)
        for old in self.cache.glob(f"root-{suite}-*"):
            remove(old)
        temporary = path.with_name(path.name + ".tmp")
        text, start = f"Debian root for compilers and QEMU, {suite}", time.monotonic()
        say(f"  ... {text}")
        if self.isolated("make", suite, temporary) != 0:
            log = LOGS / f"root-{suite}.log"
            for line in log.read_text(errors="replace").splitlines()[-30:]:
                print(f"  | {line}", file=sys.stderr)
            raise LabError(
                f"the Debian root cannot be made; the whole story is in build/log/{log.name}.",
                "Most often the mirror is out of reach: check `apt-get update` on this machine.")
        temporary.rename(path)
        say(f"  ok  {text} ({time.monotonic() - start:.0f} s)")

    def matrix(self, pattern: str) -> int:
        """Each kernel in the root of its suite, then the table."""
        names = chosen(pattern)
        if not names:
            raise LabError(f"no kernel of tests/lab/machines.toml is called {pattern}.",
                           f"There are: {' '.join(machines.matrix())}")
        shutil.rmtree(BUILD / "matrix", ignore_errors=True)
        (BUILD / "matrix").mkdir(parents=True)
        suites = {machines.kernel_table(name)["suite"] for name in names}
        for suite in sorted(suites, reverse=True):
            # A suite that the mirror does not have is no end of the others.
            try:
                self.need_root(suite)
            except LabError as error:
                print("error:", *error.args, sep="\n  ", file=sys.stderr)
                (BUILD / f"matrix/{suite}.reason").write_text(
                    f"the root of suite {suite} cannot be made\n")
                continue
            self.in_root(suite, "test-matrix", pattern)
        return self.in_root("trixie", "matrix-table", pattern)

    def test_all(self) -> int:
        """One command after the other, whatever those before have said; and a page of what
        came of them."""
        folder, page, failed = BUILD / "test-all", BUILD / "test-all.md", 0
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["| command | result | minutes |", "|---|---|---|"]
        for command in REST:
            say(f"make {command}")
            start, log = time.monotonic(), folder / f"{command.replace(' ', '-')}.log"
            with log.open("wb") as self.copy:
                try:
                    status = self.dispatch(*command.replace("ARCH=", "").split())
                except LabError as error:
                    status = 1
                    self.copy.write("\n".join(error.args).encode())
            said = log.read_text(errors="replace").rstrip().splitlines() or ["nothing"]
            failed += status != 0
            lines.append(f"| `make {command}` | {'**failed**: ' if status else ''}{said[-1]} |"
                         f" {(time.monotonic() - start) / 60:.0f} |")
            # After each, for whoever does not wait.
            page.write_text("\n".join(["# What `make test-all` has found", "", *lines, "",
                                       "All that they said: `build/test-all/`.", ""]))
        self.copy = None
        say("", page.read_text(), f"{len(REST) - failed} commands passed, {failed} failed")
        return int(failed > 0)

    def try_it(self, topic: str, held: IO[str]) -> int:
        """Builds, and asks the machine that is kept, without the lock."""
        kept = guest.Kept(self.cache)
        if topic == "--end":
            kept.end()
            return 0
        status = self.in_root("trixie", "try-build", topic)
        held.close()
        if status or os.environ.get("LAB_DRY") or os.environ.get("LAB_SHOW_QEMU"):
            return status
        return guest.try_it(kept, topic)

    def dispatch(self, command: str, *words: str) -> int:
        """A command, in the root that it is for."""
        if command == "test-matrix":
            return self.matrix(words[0] if words else "*")
        return self.in_root("trixie", command, *words)

    def clean_cache(self) -> int:
        """By name: the directory may be somebody's who put other things there too."""
        names = ("source armhf kernel uml sanitizer in-tree debian cargo target pycache lock "
                 "try.pid try.sock")
        for path in [*self.cache.glob("root-*"), *(self.cache / name for name in names.split())]:
            remove(path)
        if not any(self.cache.iterdir()):
            self.cache.rmdir()
        say(f"removed what the lab kept in {self.cache}")
        return 0

    def run(self) -> int:
        """The whole of it."""
        host.check_rights(self.command)
        if self.command == "clean-cache" and not self.cache.is_dir():
            return 0
        LOGS.mkdir(parents=True, exist_ok=True)
        held = host.lock(self.cache, self.command)
        self.fds = (held.fileno(),)
        if self.command != "try":
            guest.Kept(self.cache).end()
        if self.command == "clean-cache":
            return self.clean_cache()
        (self.cache / "cargo").mkdir(exist_ok=True)
        (self.cache / "cargo/config.toml").write_text(host.cargo_conf())
        self.need_root("trixie")
        if self.command == "root":
            return self.isolated("enter", self.cache, "trixie", *(self.words or ["bash"]))
        if self.command == "try":
            return self.try_it(" ".join(self.words), held)
        if self.command == "test-all":
            return self.test_all()
        return self.dispatch(self.command, *self.words)


def leave(number: int, _: object) -> None:
    """On a signal: ends as shells report it, by way of what is to be cleaned up."""
    raise SystemExit(128 + (signal.SIGTERM if number == signal.SIGHUP else number))


def main() -> None:
    """What __main__.py calls."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, leave)
    args = parse(sys.argv[1:])
    if args.dry_run:
        os.environ["LAB_DRY"] = "1"
    if args.show_qemu:
        os.environ["LAB_SHOW_QEMU"] = "1"
    try:
        if INSIDE:
            status = carry_out(args.command, args.words)
        elif args.command in TOLD or (args.command, args.words) == ("try", ["--list"]):
            status = 0
            say(TOLD.get(args.command, guest.listing)())
        elif args.command == "test-all" and args.dry_run:
            status = 0
            say(*(f"  would: make {command}" for command in REST))
        else:
            try:
                status = Host(args.command, args.words).run()
            finally:
                host.give_build_back()
    except LabError as error:
        status = 1
        if not isinstance(error, StepFailed):
            print("error: " + "\n       ".join(error.args), file=sys.stderr, flush=True)
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    except BrokenPipeError:
        # Whoever read has gone, as `head` does; nobody is left to be told.
        os._exit(128 + signal.SIGPIPE)
    except Exception:  # noqa: a mistake of the lab's own; its other lanes must end all the same
        status = 70
        traceback.print_exc()
    sys.stdout.flush()
    # Nothing waits for other lanes: the first process of the root's takes them with it.
    os._exit(status)
