# SPDX-License-Identifier: GPL-2.0
"""Tests of lab.compile_fail."""

import pytest

from lab.compile_fail import answers, wanted
from lab.steps import SRC, LabError


def test_a_patch_says_what_rustc_is_to_answer() -> None:
    assert wanted("Error: E0308\n\nText.\n\ndiff --git\n") == {"E0308"}
    assert wanted("Error: E0407 E0438\n\nText.\n\ndiff --git\n") == {"E0407", "E0438"}
    assert wanted("Error: no such thing\n\ndiff --git\n") == {"no such thing"}
    for bad in "", "Text.\n\ndiff --git\nError: E0308\n":
        with pytest.raises(LabError):
            wanted(bad)


def test_answers_are_codes_or_else_texts() -> None:
    assert answers("error[E0308]: mismatched types\n --> a.rs:1:2\nerror: no code\n"
                   "warning: unused\nerror: aborting due to 2 previous errors\n"
                   ) == {"E0308", "no code"}
    assert answers("make: *** [Makefile:1: a.o] Error 1\n") == set()


def test_each_patch_has_an_answer() -> None:
    patches = list((SRC / "tests/compile-fail").glob("*.patch"))
    assert patches and all(wanted(patch.read_text()) for patch in patches)
