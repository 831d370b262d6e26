# SPDX-License-Identifier: GPL-2.0
"""make test-mutants: are the tests worth anything? Each patch of tests/mutants breaks the
module on purpose, in a copy of the tree, and a test must fail then.

A patch says before its diff what it breaks, and in a line "Boot: MACHINE" in which machine of
the table that shows. A machine counts only if the module without a patch passes there first.
As many are tried at a time as there are processors, in processes of their own. Machines that
do not pass beside others, and patches without a failed test to show, because the machine died or
took too long, are tried again alone."""

import contextlib
import functools
import multiprocessing
import re
import subprocess
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lab.build import MODULE, Build, strip
from lab.kernels import Kernel, kernel
from lab.machines import Machine, Run, machine, table, test_boot
from lab.results import Results, Summary
from lab.steps import BUILD, DRY, JOBS, SHOW, SRC, LabError, Log, say, step
from lab.tests import prepare_one

FOLDER = BUILD / "mutants"
RESULTS = FOLDER / "results"
# A broken module may hang; the longest of these machines needs five minutes where nothing else
# runs.
SECONDS = 1200


class Unusable(Exception):
    """What is wrong with a patch, and lines that show it."""


def shown_by(patch: str) -> Machine:
    """The machine that a patch names."""
    header = re.split("^diff ", patch, maxsplit=1, flags=re.M)[0]
    match = re.search(r"^Boot: *([a-z-]+)$", header, re.M)
    if not match or match[1] not in table()["machine"]:
        raise Unusable('it has no line "Boot: MACHINE" that names one of machines.toml')
    return machine(match[1])


class Tree:
    """A copy of what the module is built from, to be patched, and the module of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree = folder, folder / "tree"
        self.module = folder / f"{MODULE}.ko"

    def fresh(self) -> None:
        """As it is in the checkout. Files that a patch has changed get a new time, so that they
        are compiled again."""
        self.tree.mkdir(parents=True, exist_ok=True)
        names = "Kbuild", "Kconfig", "drivers", "include", "uapi"
        subprocess.run(["rsync", "-rlc", "--delete", *(SRC / name for name in names), self.tree],
                       check=True)

    def apply(self, patch: Path, *options: str) -> None:
        """A patch."""
        done = subprocess.run(
            ["patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch", *options, "-i", patch],
            check=False, cwd=self.tree, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        if done.returncode:
            raise Unusable("the patch no longer applies:", *done.stdout.splitlines()[-5:])

    def build(self, log: Log, built_for: Kernel) -> None:
        """The module."""
        folder = self.folder / f"module-{built_for.name}"
        folder.mkdir(exist_ok=True)
        built_for.make(log, f"M={self.tree}", f"MO={folder}", "modules")
        strip(log, built_for, folder / f"{MODULE}.ko", self.module)


def end_after_failure(process: subprocess.Popen[bytes], out: Path) -> None:
    """Ends a machine soon after a test has failed: one is enough."""
    if out.exists() and re.search(rb"^not ok ", out.read_bytes(), re.M):
        time.sleep(3)
        process.terminate()


def boot(name: str, run: Run) -> Summary:
    """A machine, with what it says in a log."""
    results = Results(RESULTS / name, fresh=True)
    run.watch = lambda process: end_after_failure(process, run.log("out"))
    with (RESULTS / f"{name}.boot.log").open("w") as log, \
            contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        test_boot(run, results)
    summary = results.summary()
    (RESULTS / f"{name}.log").write_text(f"{summary.text}\n{summary.last}\n")
    return summary


def failures(summary: Summary) -> list[str]:
    """The tests that failed, each as NAME: TEXT. That a machine was ended is none."""
    found = (f"{file.rsplit('/', 1)[-1]}: " + re.sub(r"^not ok \d* *-? *", "", text)
             for file, text in summary.failures)
    return [one for one in found if not re.match("machine: |.*: the results are cut short", one)]


def run_of(tree: Tree, build: Build, one: Machine) -> Run:
    """A machine with the module of a tree."""
    return Run(build.kernel, one, files=[tree.module], seconds=SECONDS, logs=tree.folder)


def control(build: Build, one: Machine) -> list[str]:
    """Without a patch: nothing, or why the machine says nothing of one."""
    name, start, tree = one.name, time.monotonic(), MINE
    tree.fresh()
    tree.build(Log(RESULTS / f"control-{name}.build.log"), build.kernel)
    summary = boot(f"control-{name}", run_of(tree, build, one))
    if not summary.good:
        return [f'the tests "{name}" fail without a patch, so they say nothing of one:',
                *summary.text.splitlines()]
    say(f'  ok  without a patch the tests "{name}" pass ({time.monotonic() - start:.0f} s)')
    return []


# Instead of a test that failed.
UNCLEAR = "the machine died, or took too long"
# The tree of this process.
MINE = Tree(FOLDER / "alone")


def begin(numbers: "multiprocessing.Queue[int]") -> None:
    """Of a process of the pool."""
    global MINE
    MINE = Tree(FOLDER / f"process-{numbers.get()}")


def pool() -> ProcessPoolExecutor:
    """As many as there are processors, each with a tree that is there from one run to the next."""
    context = multiprocessing.get_context("fork")
    numbers = context.Queue()
    for number in range(JOBS):
        numbers.put(number)
    return ProcessPoolExecutor(JOBS, context, begin, (numbers,))


def attempt(patch: Path, build: Build, one: Machine) -> list[str]:
    """Builds and boots a mutant, and gives the verdict."""
    start, log, tree = time.monotonic(), Log(RESULTS / f"{patch.stem}.build.log"), MINE
    tree.fresh()
    try:
        tree.apply(patch)
        tree.build(log, build.kernel)
    except Unusable as error:
        return ["unusable", *error.args]
    except subprocess.CalledProcessError:
        errors = re.findall(r"^error(?:.*\n){,13}", log.path.read_text(errors="replace"), re.M)
        return ["unusable", "the module does not build with it:",
                *"".join(errors).splitlines()[:30]]
    summary = boot(patch.stem, run_of(tree, build, one))
    where, took = one.name, f"({time.monotonic() - start:.0f} s)"
    if summary.good:
        return ["survived", f'no test of "{where}" failed {took}']
    found = failures(summary) or [UNCLEAR]
    more = f"and {len(found) - 4} more (build/mutants/results/{patch.stem}.log)"
    return ["caught", f'in "{where}" {took} by', *found[:4], *[more][:len(found) > 4]]


def test_mutants(pattern: str = "*") -> int:
    """make test-mutants: all, or those whose names match."""
    patches = {patch: patch.read_text() for patch in sorted(
        (SRC / "tests/mutants").glob(f"{pattern}.patch"))}
    if not patches:
        raise LabError(f"no patch of tests/mutants is called {pattern}.patch.")
    Results(RESULTS, fresh=True)
    verdicts: Counter[str] = Counter()
    shown: dict[Path, Machine] = {}

    def verdict(patch: Path, word: str, text: str, *lines: str) -> None:
        say(f"  {word}: {patch.stem}, {text}", *(f"       {line}" for line in lines))
        verdicts[word] += 1
    # What cannot be tried is told before the long part.
    MINE.fresh()
    for patch, text in patches.items():
        try:
            MINE.apply(patch, "--dry-run")
            shown[patch] = shown_by(text)
        except Unusable as error:
            verdict(patch, "unusable", *error.args)
    builds: dict[str, Build] = {}
    for name in sorted({one.kernel for one in shown.values()}):
        builds[name] = Build(kernel(name)) if name else prepare_one("amd64")
        if name:
            builds[name].prepare_own()
        # Without a patch; each process makes its own of it.
        MINE.fresh()
        step("build the module without a patch", "mutants-build",
             functools.partial(MINE.build, built_for=builds[name].kernel))
    machines = {one.name: one for one in shown.values()}
    if DRY or SHOW:
        for one in machines.values():
            run_of(MINE, builds[one.kernel], one).boot()
        return 0
    with pool() as several:
        controls = {name: several.submit(control, builds[one.kernel], one)
                    for name, one in machines.items()}
        bad = {name for name, future in controls.items() if future.result()}
        tried = {patch: several.submit(attempt, patch, builds[one.kernel], one)
                 for patch, one in shown.items() if one.name not in bad}
        for patch, future in tried.items():
            if UNCLEAR not in (found := future.result()):
                verdict(patch, *found)
                del shown[patch]
    again = {name: control(builds[one.kernel], one)
             for name, one in machines.items() if name in bad}
    for patch, one in shown.items():
        if found := again.get(one.name, []):
            verdict(patch, "unusable", *found)
            # What the machine said is told once.
            del found[1:]
        else:
            verdict(patch, *attempt(patch, builds[one.kernel], one))
    if verdicts["unusable"]:
        say("", f"{verdicts['unusable']} could not be tried: see above.")
    # Nothing but this on the last line: others read it.
    say("", f"{verdicts['caught']} caught, {verdicts['survived']} survived")
    return 1 if verdicts["survived"] or verdicts["unusable"] else 0
