# SPDX-License-Identifier: GPL-2.0
"""The rules of this tree."""

import re
from pathlib import Path

from lab import machines
from lab.check import sources
from lab.steps import SRC

# Cargo.lock is cargo's, LICENSE is the licence, *.md is for reading; of debian/
# debian/copyright tells. docs/abi has the form of the kernel's files.
NO_SPDX = r"(.*/)?Cargo\.lock|LICENSE|.*\.md|debian/.*|docs/(abi|pictures)/.*"
ABSTRACTIONS = r"drivers/(.*/)?abstractions(/.*|\.rs)"


def test_every_file_says_its_licence() -> None:
    def top(name: str) -> str:
        return "".join((SRC / name).read_text(errors="replace").splitlines(True)[:3])
    assert [] == [name for name in sources() if not re.fullmatch(NO_SPDX, name)
                  and "SPDX-License-Identifier: GPL-2.0" not in top(name)]
    assert "GPL-2.0 WITH Linux-syscall-note" in top("uapi/linux/dma-heap.h")


def denies_unsafe(name: str) -> bool:
    """Does the file, or a module above it, deny unsafe code? drivers/a/b.rs belongs to
    drivers/a.rs or drivers/a/mod.rs. The crate root cannot: module! expands to unsafe code
    there."""
    denial, path = re.compile(r"^#!\[(deny|forbid)\(unsafe_code\)\]", re.M), Path(name)
    while name != "drivers/rust_dma_heap.rs":
        for file in SRC / path, SRC / path.parent / "mod.rs":
            if file.is_file() and denial.search(file.read_text()):
                return True
        if str(path.parent) == "drivers":
            return False
        path = path.parent.with_suffix(".rs")
    return True


def test_unsafe_code_is_in_abstractions_only() -> None:
    """Elsewhere the compiler is told to refuse it, and the word stands in no code line, be it
    hidden in a macro."""
    files = [name for name in sources() if re.fullmatch(r"drivers/.*\.rs", name)
             and not re.fullmatch(ABSTRACTIONS, name)]
    assert files
    assert [] == [name for name in files if not denies_unsafe(name)]
    assert [] == [f"{name}:{number}: {line}" for name in files for number, line
                  in enumerate((SRC / name).read_text().splitlines(), 1)
                  if re.search(r"\bunsafe\b", re.sub("//.*", "", line))]


def test_the_documents_have_the_table_of_machines() -> None:
    """What `tests/lab/run machines` prints is in docs/testing.md."""
    assert machines.markdown() in (SRC / "docs/testing.md").read_text()


def test_every_machine_has_its_script() -> None:
    # These are told what to do.
    told = "vm", "sanitizer-vm"
    assert [] == [one.name for one in map(machines.machine, machines.table()["machine"])
                  if not one.job.exists() and one.name not in told]


# Each uses what stands before it.
LAYERS = "abstractions", "counter", "accounting", "pool", "buffer", "heap_core", "heaps"
Module = tuple[str, ...]


def modules() -> dict[Module, str]:
    """The module's files by the paths of their modules, without what is for the reader."""
    def path(name: str) -> Module:
        parts = Path(name).with_suffix("").parts[1:]
        return parts[:-1] if parts[-1] == "mod" else parts
    return {() if path(name) == ("rust_dma_heap",) else path(name):
            re.sub("//.*", "", (SRC / name).read_text())
            for name in sources() if re.fullmatch(r"drivers/.*\.rs", name)}


def paths(text: str) -> list[Module]:
    """The paths of a `use` tree."""
    if not (group := re.fullmatch(r"((?:\w+::)*)\{(.*)\}", text.strip(), re.S)):
        return [tuple(text.strip().split(" as ")[0].split("::"))]
    parts, depth = [""], 0
    for letter in group[2]:
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    before = tuple(group[1].split("::")[:-1])
    return [before + path for part in parts if part.strip() for path in paths(part)]


def uses(module: Module, text: str, known: dict[Module, str]) -> set[Module]:
    """The other modules that a module's text names."""
    found = set()
    rest = re.sub(r"\buse\s[^;]+;", "", text)
    for path in [path for tree in re.findall(r"\buse\s([^;]+);", text) for path in paths(tree)
                 ] + [tuple(path.split("::")) for path in re.findall(r"\b\w+(?:::\w+)+", rest)]:
        target = () if path[0] == "crate" else module
        for word in path:
            if word == "super":
                target = target[:-1]
            elif word not in ("crate", "self"):
                if target + (word,) not in known:
                    break
                target += (word,)
        found.add(target)
    return found - {module}


def test_no_layer_uses_one_above_it() -> None:
    known = modules()
    rank = {layer: number for number, layer in enumerate(LAYERS)}
    assert {module[0] for module in known if module} == set(LAYERS)
    assert [] == [("/".join(module), "/".join(used)) for module, text in known.items() if module
                  for used in uses(module, text, known)
                  if used and rank[used[0]] > rank[module[0]]]


def test_no_modules_use_each_other() -> None:
    """But for a module and those inside it."""
    known = modules()
    graph = {module: {used for used in uses(module, text, known)
                      if used != module[:len(used)]} for module, text in known.items()}
    while leaves := {module for module, used in graph.items() if not used}:
        graph = {module: used - leaves for module, used in graph.items()
                 if module not in leaves}
    assert {} == graph


def test_no_file_of_the_module_is_long() -> None:
    assert [] == [name for name in sources() if name.startswith("drivers/")
                  and len((SRC / name).read_text().splitlines()) > 400]
