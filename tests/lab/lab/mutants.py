# SPDX-License-Identifier: GPL-2.0
"""make test-mutants: are the tests worth anything? Each patch of tests/mutants breaks the
module on purpose, in a copy of the tree, and a test must fail then.

A patch says before its diff what it breaks, and in a line "Boot: MACHINE" in which machine of
the table that shows. A machine counts only if the module without a patch passes there first."""

import contextlib
import re
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab.build import MODULE, Build, strip
from lab.kernels import kernel
from lab.machines import Machine, Run, machine, table, test_boot
from lab.results import Results, Summary
from lab.steps import BUILD, DRY, SHOW, SRC, LabError, Log, say, step
from lab.tests import prepare_one

PATCHES = SRC / "tests/mutants"
FOLDER = BUILD / "mutants"
TREE, RESULTS, BROKEN = FOLDER / "tree", FOLDER / "results", FOLDER / f"{MODULE}.ko"
# A broken module may hang; the longest of these machines needs less than two minutes where
# nothing else runs.
SECONDS = 600


class Unusable(Exception):
    """What is wrong with a patch, and lines that show it."""


@dataclass
class Mutant:
    """A patch of tests/mutants."""

    patch: Path

    @property
    def name(self) -> str:
        """What it is called."""
        return self.patch.stem

    @property
    def boot(self) -> Machine:
        """The machine that shows it."""
        match = re.search(r"^Boot: *([a-z-]+)$", re.split("^diff ", self.patch.read_text(),
                                                          maxsplit=1, flags=re.M)[0], re.M)
        if not match or match[1] not in table()["machine"]:
            raise Unusable('it has no line "Boot: MACHINE" that names one of machines.toml')
        return machine(match[1])

    def apply(self, *options: str) -> None:
        """To the copy of the tree."""
        done = subprocess.run(["patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch", *options,
                               "-i", self.patch], check=False, cwd=TREE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise Unusable("the patch no longer applies:", *done.stdout.splitlines()[-5:])


def fresh_tree() -> None:
    """What the module is built from, as it is in the checkout. Files that a patch has changed
    get a new time, so that they are compiled again."""
    TREE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["rsync", "-rlc", "--delete", *(SRC / name for name in (
        "Kbuild", "Kconfig", "drivers", "include", "uapi")), TREE], check=True)


def build_broken(log: Log, build: Build) -> None:
    """The module of the copy, in FOLDER."""
    folder = FOLDER / f"module-{build.kernel.name}"
    folder.mkdir(exist_ok=True)
    build.kernel.make(log, f"M={TREE}", f"MO={folder}", "modules")
    strip(log, build.kernel, folder / f"{MODULE}.ko", BROKEN)


def boot(name: str, build: Build, one: Machine) -> Summary:
    """The machine, with the module of the copy. One failure is enough: the machine is ended
    soon after it."""
    results = Results(RESULTS / name, fresh=True)
    run = Run(build.kernel, one, files=[BROKEN], seconds=SECONDS)
    run.log("out").unlink(missing_ok=True)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            if failed_yet(run.log("out")):
                time.sleep(3)
                if run.process:
                    run.process.terminate()
                return
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with (RESULTS / f"{name}.boot.log").open("w") as log, \
                contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            test_boot(run, results)
    finally:
        ended.set()
        watcher.join()
    summary = results.summary()
    (RESULTS / f"{name}.log").write_text(f"{summary.text}\n{summary.last}\n")
    return summary


def failed_yet(out: Path) -> bool:
    """Has a test failed in what a machine has printed so far?"""
    return out.exists() and bool(re.search(rb"^not ok ", out.read_bytes(), re.M))


def failures(summary: Summary) -> list[str]:
    """The tests that failed, each as NAME: TEXT. That a machine was ended after a failure is
    none."""
    found = (f"{file.rsplit('/', 1)[-1]}: " + re.sub(r"^not ok \d+ *-? *", "", text)
             for file, text in summary.failures)
    return [one for one in found
            if not re.match("machine: |.*: the results are cut short", one)]


def control(build: Build, one: Machine) -> None:
    """Without a patch."""
    start = time.monotonic()
    fresh_tree()
    step("build the module without a patch", "mutants-build",
         lambda log: build_broken(log, build))
    if DRY or SHOW:
        Run(build.kernel, one, files=[BROKEN], seconds=SECONDS).boot()
        return
    summary = boot(f"control-{one.name}", build, one)
    if not summary.good:
        say(summary.text)
        raise LabError(f'the tests "{one.name}" fail without a patch, so they would say nothing of'
                       " one.", "Get `make test` right first.")
    say(f'  ok  without a patch the tests "{one.name}" pass ({time.monotonic() - start:.0f} s)')


def verdict(word: str, name: str, text: str, *lines: str) -> str:
    """Says it."""
    say(f"  {word}: {name}, {text}", *(f"       {line}" for line in lines))
    return word


def attempt(mutant: Mutant, build: Build) -> str:
    """Builds one, boots it and gives the verdict."""
    start, one = time.monotonic(), mutant.boot
    say(f"  ... {mutant.name}")
    fresh_tree()
    mutant.apply()
    log = Log(RESULTS / f"{mutant.name}.build.log")
    try:
        build_broken(log, build)
    except subprocess.CalledProcessError as error:
        errors = re.findall(r"^error(?:.*\n){,13}", log.path.read_text(errors="replace"), re.M)
        raise Unusable("the module does not build with it:",
                       *"".join(errors).splitlines()[:30]) from error
    summary = boot(mutant.name, build, one)
    took = f"({time.monotonic() - start:.0f} s)"
    if summary.good:
        return verdict("survived", mutant.name, f'no test of "{one.name}" failed {took}')
    found = failures(summary)
    more = [f"and {len(found) - 4} more ({RESULTS.relative_to(SRC)}/{mutant.name}.log)"]
    return verdict("caught", mutant.name, f'in "{one.name}" {took} by', *found[:4],
                   *(more if len(found) > 4 else []))


def test_mutants(pattern: str) -> int:
    """make test-mutants: all, or those whose names match."""
    mutants = [Mutant(patch) for patch in sorted(PATCHES.glob(f"{pattern}.patch"))]
    if not mutants:
        raise LabError(f"no patch of tests/mutants is called {pattern}.patch.")
    Results(RESULTS, fresh=True)
    verdicts: Counter[str] = Counter()
    # What cannot be tried is told before the long part.
    fresh_tree()
    usable = []
    for mutant in mutants:
        try:
            _ = mutant.boot
            mutant.apply("--dry-run")
            usable.append(mutant)
        except Unusable as error:
            verdicts[verdict("unusable", mutant.name, *error.args)] += 1
    machines = {mutant.boot.name: mutant.boot for mutant in usable}
    builds: dict[str, Build] = {}
    for name in sorted({one.kernel for one in machines.values()}):
        if name:
            builds[name] = Build(kernel(name))
            builds[name].prepare_own()
        else:
            builds[name] = prepare_one("amd64")
    for name in sorted(machines):
        control(builds[machines[name].kernel], machines[name])
    for mutant in usable if not (DRY or SHOW) else []:
        try:
            verdicts[attempt(mutant, builds[mutant.boot.kernel])] += 1
        except Unusable as error:
            verdicts[verdict("unusable", mutant.name, *error.args)] += 1
    say("", *([f"{verdicts['unusable']} could not be tried: see above."]
              if verdicts["unusable"] else []))
    # Nothing but this on the last line: others read it.
    say(f"{verdicts['caught']} caught, {verdicts['survived']} survived")
    return 0 if not verdicts["survived"] + verdicts["unusable"] else 1
