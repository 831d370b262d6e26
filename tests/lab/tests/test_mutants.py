# SPDX-License-Identifier: GPL-2.0
"""Mutants: what a patch says, and what a machine's results say of it."""

from pathlib import Path

import pytest

from lab.mutants import Tree, Unusable, failures, shown_by
from lab.results import Summary
from lab.steps import SRC


def test_every_patch_names_a_machine() -> None:
    patches = list((SRC / "tests/mutants").glob("*.patch"))
    assert len(patches) > 50
    for patch in patches:
        assert shown_by(patch.read_text()).job.exists(), patch


@pytest.mark.parametrize("header", ["", "Boot: no-such-machine\n", "Boots: suite\n",
                                    "Boot: suite and more\n"])
def test_a_patch_without_a_machine_is_unusable(header: str) -> None:
    # What follows in the diff is no header.
    with pytest.raises(Unusable, match="Boot: MACHINE"):
        shown_by(f"{header}What it breaks.\n\ndiff --git a/x b/x\nBoot: suite\n")


def test_the_header_says_where_to_boot() -> None:
    assert shown_by("Boot: sanitize-mutants\n\nText.\n\ndiff --git\n").kernel == "sanitizer"
    assert shown_by("Boot: suite-mutants\n\nText.\n\ndiff --git\n").kernel == ""


def test_failures_are_those_of_tests() -> None:
    summary = Summary(failures=[
        ("amd64-suite/kselftest-system", "not ok 12 - zeroed: reused memory"),
        ("amd64-suite/machine", "not ok 1 - the machine ran all its tests and switched off"),
        ("amd64-suite/kselftest-system", "the results are cut short or broken: no plans"),
        ("amd64-suite/kernel-log", "not ok 1 - the kernel log holds no complaint")])
    assert failures(summary) == ["kselftest-system: zeroed: reused memory",
                                 "kernel-log: the kernel log holds no complaint"]


def test_a_patch_is_applied_exactly(tmp_path: Path) -> None:
    copy = Tree(tmp_path)
    copy.tree.mkdir()
    file, patch = copy.tree / "file", tmp_path / "a.patch"
    patch.write_text("Text.\n\ndiff a/file b/file\n--- a/file\n+++ b/file\n"
                     "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n")
    file.write_text("zero\none\ntwo\nthree\n")
    copy.apply(patch, "--dry-run")
    assert "two" in file.read_text()
    copy.apply(patch)
    assert file.read_text() == "zero\none\n2\nthree\n"
    file.write_text("one\ntwo\nfour\n")
    with pytest.raises(Unusable, match="no longer applies"):
        copy.apply(patch, "--dry-run")
    assert sorted(path.name for path in copy.tree.iterdir()) == ["file"]
