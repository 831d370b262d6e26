# SPDX-License-Identifier: GPL-2.0
"""The rules of this tree."""

import re
from pathlib import Path

from lab import machines
from lab.check import sources
from lab.steps import SRC

# Cargo.lock is cargo's, LICENSE is the licence, *.md is for reading; of debian/
# debian/copyright tells.
NO_SPDX = r"(.*/)?Cargo\.lock|LICENSE|.*\.md|debian/.*"
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
    """What `tests/lab/run machines` prints is in CONTRIBUTING.md."""
    assert machines.markdown() in (SRC / "CONTRIBUTING.md").read_text()


def test_every_machine_has_its_script() -> None:
    # These are told what to do.
    told = "vm", "sanitizer-vm"
    assert [] == [one.name for one in map(machines.machine, machines.table()["machine"])
                  if not one.job.exists() and one.name not in told]
