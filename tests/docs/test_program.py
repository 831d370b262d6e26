# SPDX-License-Identifier: GPL-2.0
"""dmaheap's page and manual pages say what its help says; completions have a test of their
own. MADE is a folder where `dmaheap documents` has just written them; the lab's `make check` sets
it."""

import os
import re
from pathlib import Path

import pytest
from documents import SOURCE, blocks

MADE = Path(os.environ.get("MADE", SOURCE / "build/documents"))
HIDDEN = ("documents", "receive")


def sections() -> dict[str, str]:
    """Help by command, "" for the program's own, as docs/dmaheap.md has it."""
    texts = [block.text for block in blocks("docs/dmaheap.md")]
    names = [re.search(r"^Usage: dmaheap ?([a-z-]*)", text, re.M) for text in texts]
    return {name[1]: text for name, text in zip(names, texts) if name}


def options(text: str) -> set[str]:
    """The long options that a help lists."""
    return set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.M))


def test_page_is_up_to_date() -> None:
    assert (SOURCE / "docs/dmaheap.md").read_text() == (MADE / "dmaheap.md").read_text(), \
        "run make docs"


def test_there_is_a_command_for_each_module() -> None:
    assert set(sections()) == {
        "", "list", "names", "doctor", "holders", "top", "stats", "which", "report", "set", "alloc",
        "verify", "bench", "completions", "man"}


@pytest.mark.parametrize("command", sections())
def test_manual_page(command: str) -> None:
    """It has each option, and what uses it says."""
    name = "-".join(filter(None, ["dmaheap", command]))
    page = (MADE / f"{name}.1").read_text().replace("\\-", "-")
    assert page.count(".SH NAME") == 1
    missing = [option for option in options(sections()[command]) if option not in page]
    assert not missing


def test_hidden_commands_stay_hidden() -> None:
    for file in MADE.iterdir():
        assert not any(f"dmaheap-{name}" in file.name for name in HIDDEN)
        assert not re.search(r"\bdmaheap,(documents|receive)\b", file.read_text()), file.name


def test_kselftests_manual_page() -> None:
    """It is written by hand: each of its options is one of the program's."""
    page = (SOURCE / "debian/dmaheap-kselftest.1").read_text().replace("\\-", "-")
    source = (SOURCE / "tests/kselftest/src/options.rs").read_text()
    documented = set(re.findall(r"--([a-z]+)", page)) - {"help"}
    known = set(re.findall(r'strip_prefix\("--([a-z]+)="\)', source))
    assert documented == known
