# SPDX-License-Identifier: GPL-2.0
"""Paths, messages, and timed steps: what all parts of the lab are written with."""

import concurrent.futures
import hashlib
import inspect
import os
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LAB = Path(__file__).resolve().parent.parent
SRC = LAB.parent.parent
BUILD = SRC / "build"
LOGS = BUILD / "log"
# Scripts that run in the machines.
GUEST = SRC / "tests/vm"
# The cache, as it is called in the Debian root, and which of the roots this is.
CACHE = Path("/lab")
SUITE = os.environ["SUITE"] if "LAB_ROOT" in os.environ else "trixie"
JOBS = len(os.sched_getaffinity(0))
# --dry-run: steps and machines are told, not done.
DRY = bool(os.environ.get("LAB_DRY"))
# --show-qemu: the machines' commands are printed, none is booted.
SHOW = bool(os.environ.get("LAB_SHOW_QEMU"))


class LabError(Exception):
    """What is wrong, and in further arguments what to do."""


class StepFailed(LabError):
    """A step has failed and has told so; text says it once more, for a table."""


def say(*lines: str) -> None:
    """Prints lines, at once."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def shown(path: Path) -> str:
    """A path as the user sees it: relative to the checkout."""
    return str(path.relative_to(SRC) if path.is_relative_to(SRC) else path)


def digest(*parts: Path | str | Callable[..., Any]) -> str:
    """The first 12 digits of the hash of files, texts, and functions' sources."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            total.update(part.read_bytes())
        else:
            total.update((part if isinstance(part, str) else inspect.getsource(part)).encode())
    return total.hexdigest()[:12]


class Log:
    """Runs commands with their output in a file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("wb", buffering=0)

    def say(self, text: str) -> None:
        """Adds a line."""
        self.file.write((text + "\n").encode())

    def run(self, *argv: str | Path, ok: Container[int] = (0,), **options: Any) -> int:
        """Runs a command; another status than those of ok is an error. The options are
        those of subprocess.run; env is added to the environment."""
        self._start(argv, options)
        options.setdefault("stdout", self.file)
        return self._check(argv, subprocess.run(argv, check=False, **options), ok).returncode

    def output(self, *argv: str | Path, ok: Container[int] = (0,), **options: Any) -> str:
        """The same for what a command prints; what it says beside that is in the log."""
        self._start(argv, options)
        done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, **options)
        return self._check(argv, done, ok).stdout.decode()

    def _start(self, argv: tuple[str | Path, ...], options: dict[str, Any]) -> None:
        self.say("+ " + " ".join(map(str, argv)))
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stderr", self.file)
        extra: Mapping[str, str] = options.get("env", {})
        options["env"] = {**os.environ, **extra}

    @staticmethod
    def _check(argv: tuple[str | Path, ...], done: subprocess.CompletedProcess[bytes],
               ok: Container[int]) -> subprocess.CompletedProcess[bytes]:
        if done.returncode not in ok:
            raise subprocess.CalledProcessError(done.returncode, [str(word) for word in argv])
        return done


def step(text: str, log: str, work: Callable[[Log], object], tail: int = 40) -> None:
    """Does work with its output in build/log/LOG.log, prints text with the time it took,
    and the end of the log when it fails."""
    if DRY:
        say(f"  would: {text}")
        return
    say(f"  ... {text}")
    start, file = time.monotonic(), Log(LOGS / f"{log}.log")
    try:
        work(file)
    except (subprocess.SubprocessError, OSError, LabError) as error:
        for line in map(str, error.args if isinstance(error, LabError) else [error]):
            file.say(line)
        told = f"{text} failed: {shown(file.path)}"
        lines = file.path.read_text(errors="replace").splitlines()[-tail:]
        print(f"error: {text} failed. The end of {shown(file.path)}:",
              *[f"  | {line}" for line in lines], sep="\n", file=sys.stderr, flush=True)
        raise StepFailed(told) from error
    finally:
        file.file.close()
    say(f"  ok  {text} ({time.monotonic() - start:.0f} s)")


@contextmanager
def timed(text: str) -> Iterator[None]:
    """Prints text before and, with the time, after what is no step: a machine, a check."""
    say(f"  ... {text}")
    start = time.monotonic()
    yield
    say(f"  ok  {text} ({time.monotonic() - start:.0f} s)")


def lanes(*work: Callable[[], object], width: int = 0) -> None:
    """Does all of it side by side, width at a time; fails as soon as one does. Who calls it
    last ends the process, and with it the others."""
    pool = concurrent.futures.ThreadPoolExecutor(width or max(1, len(work)))
    running = [pool.submit(one) for one in work]
    done, _ = concurrent.futures.wait(
        running, return_when=concurrent.futures.FIRST_EXCEPTION)
    pool.shutdown(wait=False, cancel_futures=True)
    for one in done:
        one.result()


def remove(path: Path) -> None:
    """Removes a file or folder, but nothing that is mounted in it."""
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=True)


def output(*argv: str | Path, **options: Any) -> str:
    """What a command prints, without the last line's end; what it says beside is not kept."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.DEVNULL)
    options["env"] = {**os.environ, **options.get("env", {})}
    options["text"] = True
    done: subprocess.CompletedProcess[str] = subprocess.run(
        argv, check=False, stdout=subprocess.PIPE, **options)
    return done.stdout.rstrip("\n")
