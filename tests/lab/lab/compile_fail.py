# SPDX-License-Identifier: GPL-2.0
"""Code that must not compile: each patch of tests/compile-fail writes, in a copy of the tree, what
the module's types are there to forbid. It says before its diff what that is, and in a line
"Error: WORDS" what rustc is to answer, and nothing else: codes such as E0308, or a text."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.build import Build
from lab.mutants import Tree, Unusable
from lab.steps import BUILD, JOBS, LOGS, SRC, LabError, Log, shown


def wanted(patch: str) -> set[str]:
    """What rustc is to answer."""
    match = re.search(r"^Error: (.+)$", re.split("^diff ", patch, maxsplit=1, flags=re.M)[0], re.M)
    if not match:
        raise LabError('the patch has no line "Error: WORDS".')
    words = match[1].split()
    return set(words) if all(re.fullmatch(r"E\d+", word) for word in words) else {match[1]}


def answers(log: str) -> set[str]:
    """What it has answered, each as its code or else its text."""
    found = re.findall(r"^error(?:\[(E\d+)\])?: (.*)$", log, re.M)
    return {code or text for code, text in found if not text.startswith("aborting due to")}


def problem(build: Build, patch: Path, tree: Tree) -> str | None:
    """Compiles it, and says what is wrong with that."""
    log = Log(LOGS / f"compile-fail-{patch.stem}.log")
    tree.fresh()
    try:
        expected = wanted(patch.read_text())
        tree.apply(patch)
        tree.build(log, build.kernel)
    except (LabError, Unusable) as error:
        return str(error.args[0])
    except subprocess.CalledProcessError:
        found = answers(log.path.read_text(errors="replace"))
        return None if found == expected else (
            f"rustc answers {' '.join(sorted(found)) or 'nothing'}; see {shown(log.path)}")
    return "it compiles"


def compile_fail(build: Build) -> None:
    """Each of them."""
    patches = sorted((SRC / "tests/compile-fail").glob("*.patch"))
    trees = [Tree(BUILD / f"compile-fail/{number}") for number in range(JOBS)]

    def some(number: int) -> dict[str, str | None]:
        return {patch.stem: problem(build, patch, trees[number])
                for patch in patches[number::JOBS]}
    with ThreadPoolExecutor(JOBS) as pool:
        parts = list(pool.map(some, range(JOBS)))
    found = {name: what for part in parts for name, what in part.items()}
    if not found or any(found.values()):
        raise LabError(*(f"{name}: {what}." for name, what in found.items() if what)
                       or ("there are none.",))
