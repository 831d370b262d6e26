# SPDX-License-Identifier: GPL-2.0
"""Results: files of TAP below build/test, where each comes from, and what they add up to."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.steps import BUILD, DRY, LAB, SHOW, SRC, LabError, say, shown

SKIPS = SRC / "tests/skips"
TEST = re.compile(r"(not )?ok\b\s*(\d+)?\s*(.*?)\s*(?:#\s*skip\S*\s*(.*))?$", re.I)
LOCK = threading.Lock()


@dataclass
class Tap:
    """What a stream of TAP says. Reasons stand after the "not ok" that they belong to."""

    passed: int = 0
    skipped: list[str] = field(default_factory=list)
    failed: list[list[str]] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> Tap:
        """From a stream; broken or cut short it counts as one failure more for each way."""
        tap, planned, plans_at, count, errors = cls(), -1, [], 0, []
        quote = False
        lines = text.splitlines()
        for line in lines:
            if match := re.fullmatch(r"1\.\.(\d+)\s*(?:#\s*skip\S*\s*(.*))?", line, re.I):
                planned = int(match[1])
                plans_at.append(count)
                if not planned:
                    tap.skipped.append(f"all: {match[2] or 'no reason given'}")
            elif match := TEST.match(line):
                count += 1
                quote = False
                if match[2] and int(match[2]) != count:
                    errors.append(f"test {match[2]} where {count} is due")
                if match[4] is not None:
                    tap.skipped.append(f"{match[3]}: {match[4]}")
                elif match[1]:
                    tap.failed.append([line])
                    quote = True
                else:
                    tap.passed += 1
            elif line.startswith("Bail out!"):
                tap.failed.append([line])
            elif quote and line.strip() and not line.startswith("# Totals:"):
                tap.failed[-1].append(line)
        if not lines:
            errors.append("no output")
        if len(plans_at) != 1:
            errors.append(f"{len(plans_at) or 'no'} plans")
        elif planned != count:
            errors.append(f"planned {planned} tests but ran {count}")
        elif plans_at[0] not in (0, count):
            errors.append("the plan is in the middle")
        for error in errors:
            tap.failed.append([f"the results are cut short or broken: {error}"])
        return tap


@dataclass
class Summary:
    """What a folder of results adds up to. text is for people; failures are pairs of a file
    and what failed in it."""

    text: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Something passed, nothing failed."""
        return bool(self.passed and not self.failed)

    @property
    def last(self) -> str:
        """The last line of every run of tests: others read it."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read_skips(file: Path) -> list[tuple[str, str]]:
    """Which skips are known: lines of "file | text of the test or its reason | why it may",
    the first two as regular expressions."""
    skips = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not re.match(r"\s*(#|$)", line):
            parts = re.split(r"\s+\|\s+", line, maxsplit=2)
            if len(parts) != 3:
                raise LabError(f"{shown(file)}:{number}: a line is: file | text | why")
            skips.append((parts[0], parts[1]))
    return skips


class Results:
    """A folder of results. Beside NAME.tap, NAME.exit holds the status of who wrote it; the
    file restarts names the machines that were started again because their kernels stood
    still."""

    def __init__(self, folder: Path = BUILD / "test", fresh: bool = False) -> None:
        self.folder = folder
        if fresh and not DRY:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def put(self, name: str, tap: str, status: int = 0) -> None:
        """One file of results."""
        file = self.folder / f"{name}.tap"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tap)
        file.with_suffix(".exit").write_text(f"{status}\n")

    def command(self, name: str, *argv: str | Path, **options: Any) -> None:
        """Of a command that prints TAP."""
        if not DRY:
            done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, text=True,
                                  errors="replace", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, **options)
            self.put(name, done.stdout, done.returncode)

    def machine(self, name: str, good: bool, text: str, reasons: Iterable[str]) -> None:
        """That a machine did what it was booted for is a test, too."""
        self.put(f"{name}/machine", "TAP version 13\n1..1\n" + ("" if good else "not ")
                 + f"ok 1 - {text}\n" + "".join(f"# {reason}\n" for reason in reasons))

    def split(self, name: str, output: Path, status: int) -> None:
        """What a machine has printed: a file for each run_test of tests/vm/lib.sh, and one
        for the machine itself, which ran to its end with that status, and nothing left
        open."""
        text = output.read_text(errors="replace") if output.exists() else ""
        tests, stray = split_output(text)
        for test, (tap, code) in tests.items():
            if re.match(r"selftest(-|$)", test):
                # The kernel's own.
                tap = reasons_after(tap)
            self.put(f"{name}/{test}", tap, 137 if code is None else code)
        died = [test for test, (_, code) in tests.items() if code is None]
        good = status == 0 and bool(tests) and not died
        self.machine(name, good, "the machine ran all its tests and switched off", [
            *([] if good else [f"status {status}" + "".join(f", died in {one}" for one in died)]),
            *stray])

    def kunit(self, name: str, console: Path, status: int) -> None:
        """The KUnit suites in a kernel log: a file for each, so that every test in them
        counts, and one for the machine: the module was loaded and unloaded, and at least one
        suite ran."""
        suites, done = split_kunit(console.read_text(errors="replace"))
        for suite, (tap, code) in suites.items():
            self.put(f"{name}/{suite}", tap, code)
        self.machine(name, status == 0 and done and bool(suites),
                     "the machine loaded the module, ran its KUnit suites and ended well",
                     [f"{len(suites)} suites, status {status}"])

    def kernel_log(self, name: str, console: Path) -> None:
        """What the kernel said meanwhile."""
        text = console.read_text(errors="replace") if console.exists() else ""
        tap, good = log_check(text.splitlines())
        self.put(f"{name}/kernel-log", tap, 0 if good else 1)

    def restarted(self, name: str) -> None:
        """A machine was started again. That is no failure, but told."""
        with LOCK:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "restarts").open("a") as file:
                file.write(f"{name}\n")

    def summary(self) -> Summary:
        """Every file, a line for each and whatever failed in it. A file counts one failure
        more when it was written by a command whose status (4 is a skip to kselftest) no
        failed test explains. A skip that is not known is a failure."""
        total, known, text = Summary(), read_skips(SKIPS), []
        files = sorted(self.folder.rglob("*.tap"))
        if not files:
            raise LabError(f"there are no results in {shown(self.folder)}.")
        for file in files:
            name = str(file.relative_to(self.folder))[:-4]
            tap = Tap.read(file.read_text(errors="replace"))
            skipped = [skip for skip in tap.skipped if any(
                re.fullmatch(where, name) and re.search(what, skip) for where, what in known)]
            text += [f"    skipped: {skip}" for skip in skipped]
            failed = tap.failed + [[f"a skip that {shown(SKIPS)} does not list: {skip}"]
                                   for skip in tap.skipped if skip not in skipped]
            exit_file = file.with_suffix(".exit")
            status = exit_file.read_text().strip() if exit_file.exists() else "0"
            if status != "0" and not (status == "4" and skipped) and not failed:
                failed.append([f"ended with status {status} though no test failed"])
            text.append(f"  {'FAIL' if failed else 'ok  '} {name:<32} {tap.passed} passed"
                        + (f", {len(failed)} failed" if failed else "")
                        + (f", {len(skipped)} skipped" if skipped else ""))
            for first, *reasons in failed:
                text += [f"       {first}", *(f"         {reason}" for reason in reasons)]
                total.failures.append((name, first))
            total.passed += tap.passed
            total.failed += len(failed)
            total.skipped += len(skipped)
        restarts = self.folder / "restarts"
        if restarts.exists():
            names = restarts.read_text().split()
            text.append(f"{len(names)} {'machine was' if len(names) == 1 else 'machines were'}"
                        f" started again: {', '.join(names)}")
        total.text = "\n".join(text)
        return total

    def finish(self) -> int:
        """Prints it, and gives the status that it stands for."""
        if DRY or SHOW:
            return 0
        summary = self.summary()
        say("", "Results:", summary.text, summary.last)
        return 0 if summary.good else 1


def split_output(text: str) -> tuple[dict[str, tuple[str, int | None]], list[str]]:
    """What stands between the lines of run_test, with its status (None: cut short), and the
    lines beside that."""
    tests: dict[str, tuple[str, int | None]] = {}
    stray, name = [], ""
    lines: list[str] = []
    for line in text.splitlines():
        if match := re.fullmatch(r"### begin (\S+)", line):
            name, lines = match[1], []
        elif (match := re.fullmatch(r"### end \S+ (\d+)", line)) and name:
            # run_test ends the last line of a test that does not.
            tap = "".join(f"{one}\n" for one in lines)
            tests[name] = (re.sub(r"\n\n\Z", "\n", tap), int(match[1]))
            name = ""
        elif name:
            lines.append(line)
        elif line.strip():
            stray.append(line)
    if name:
        tests[name] = ("".join(f"{one}\n" for one in lines), None)
    return tests, stray


def reasons_after(tap: str) -> str:
    """What the kernel's own writers of TAP print (KUnit, kselftest.h): they say why a test
    fails, in comments, before its "not ok". Afterwards the comments come behind it."""
    lines: list[str] = []
    start = 0
    for line in tap.splitlines():
        if line.startswith("not ok"):
            lines.insert(start, line)
            start = len(lines)
        else:
            lines.append(line)
            if not line.startswith("#"):
                start = len(lines)
    return "".join(f"{line}\n" for line in lines)


def log_lines(lines: Iterable[str]) -> list[str]:
    """Lines of a kernel log without time and, where it has that, task."""
    return [re.sub(r"^\[ *[CT][0-9]+\]\s?", "", re.sub(r"^\[[^]]*\]\s?", "", line.rstrip("\r\n")))
            for line in lines]


def split_kunit(text: str) -> tuple[dict[str, tuple[str, int]], bool]:
    """The suites in a kernel log, each a block indented by four spaces and closed by its
    result without them; and whether the log says that the module was unloaded."""
    suites: dict[str, tuple[str, int]] = {}
    tap, done, marked = "", False, False
    for line in (re.sub(r"^\[[^]]*\]\s?", "", one.rstrip("\r\n")) for one in text.splitlines()):
        done |= line.startswith("lab: loaded and unloaded")
        # Before it the kernel runs suites of its own.
        marked |= line.startswith("lab: the log check begins here")
        if marked and line.startswith("    KTAP version"):
            tap = "TAP version 13\n"
        elif tap and line.startswith("    "):
            tap += f"{line[4:]}\n"
        elif tap and (match := re.match(r"(not )?ok \d+ (\S+)", line)):
            suites[match[2]] = (reasons_after(tap), 1 if match[1] else 0)
            tap = ""
        elif tap:
            # A message of the code under test.
            tap += f"# {line}\n"
    return suites, done and not tap


def log_check(lines: Iterable[str]) -> tuple[str, bool]:
    """Reads a kernel log from the mark that stands before our first load, and reports, as
    TAP, every line that matches an expression of log-patterns, unless a test has declared it
    (expect_log in tests/vm/lib.sh), and every declared line that is missing."""
    patterns = [re.compile(line) for line in (LAB / "log-patterns").read_text().splitlines()
                if not re.match(r"\s*(#|$)", line)]
    log, marked, bad = log_lines(lines), False, []
    # Each: the number left (None: any), the expression, the number declared.
    declared: list[tuple[list[int] | None, re.Pattern[str], str]] = []
    for number, line in enumerate(log):
        if line.startswith("lab: the log check begins here"):
            marked = True
        elif match := re.match(r"lab: expect (\d+|any) (.*)", line):
            left = None if match[1] == "any" else [int(match[1])]
            declared.append((left, re.compile(match[2]), match[1]))
        elif marked and any(pattern.search(line) for pattern in patterns):
            fits = [left for left, pattern, _ in declared
                    if (left is None or left[0] > 0) and pattern.search(line)]
            # An "any" of an earlier test takes nothing from a later one that counts.
            counted = next((left for left in fits if left is not None), None)
            if counted is not None:
                counted[0] -= 1
            elif not fits:
                bad.append(number)
    reasons = [] if marked else ["the log does not hold the mark of the first load"]
    reasons += [f"declared {told} times but seen {int(told) - left[0]} times: {pattern.pattern}"
                for left, pattern, told in declared if left is not None and left[0] > 0]
    # Each complaint with what stands around it, no line twice.
    following = 0
    for number in bad[:5]:
        last = min(number + 25, len(log) - 1)
        reasons += [f"{'>' if one == number else ' '} {log[one]}"
                    for one in range(max(number - 3, following), last + 1)]
        following = max(following, last + 1)
    if len(bad) > 5:
        reasons.append(f"and {len(bad) - 5} more")
    return ("TAP version 13\n1..1\n" + ("not " if reasons else "")
            + "ok 1 - the kernel log holds no complaint\n"
            + "".join(f"# {reason}\n" for reason in reasons)), not reasons


if __name__ == "__main__":
    import sys
    found = Results(Path(sys.argv[1])).summary()
    say(found.text, found.last)
