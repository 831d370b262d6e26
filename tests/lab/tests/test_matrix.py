# SPDX-License-Identifier: GPL-2.0
"""The matrix: which kernels, and the table of what came of them."""

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import machines, matrix
from lab.steps import StepFailed


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(matrix, "MATRIX", tmp_path)
    return tmp_path


def test_a_pattern_chooses() -> None:
    assert matrix.chosen("*") == machines.matrix()
    assert matrix.chosen("*-amd64") == ["rt-amd64", "previous-amd64", "sid-amd64"]
    assert not matrix.chosen("ARM64")


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "amd64.release").write_text("7.3.4-amd64\n")
    (folder / "amd64.log").write_text("  ok   a 2 passed\n2 passed, 0 failed, 1 skipped\n")
    (folder / "rt-amd64.release").write_text("7.3.4-rt\n")
    (folder / "rt-amd64.log").write_text(
        "  ok   a 2 passed\n  FAIL b 1 passed, 1 failed\n       not ok 2 - c\n"
        "    skipped: d\n3 passed, 1 failed, 0 skipped\n")
    (folder / "arm64.reason").write_text("the kernel is gone\n")
    (folder / "sid.reason").write_text("the root of suite sid cannot be made\n")
    assert matrix.matrix_table("*") == 1
    text = capsys.readouterr().out
    assert "\nrt-amd64:\n  FAIL b 1 passed, 1 failed\n       not ok 2 - c\n\n" in text
    assert "  amd64           7.3.4-amd64                2 passed, 0 failed, 1 skipped\n" in text
    assert "  arm64           -                          not run: the kernel is gone\n" in text
    assert "not run: the root of suite sid cannot be made\n" in text
    assert text.endswith("\n1 kernels passed, 1 failed, 5 not run\n")
    assert matrix.matrix_table("amd64") == 0


def test_nothing_passed_is_no_success(folder: Path) -> None:
    (folder / "amd64.log").write_text("0 passed, 0 failed, 3 skipped\n")
    assert matrix.outcome("amd64")[0] == "failed"


def a_kernel(found: bool, **options: Any) -> Any:
    lists = SimpleNamespace(refresh=lambda: None, trouble="dists/x: 404")
    return SimpleNamespace(
        label="amd64", flavour="amd64", series=["7.3", "7.2"], lists=lists, source_lists=lists,
        arch=SimpleNamespace(name="amd64"), find=lambda: found, all_series=lambda: ["6.12"],
        **options)


def test_a_kernel_that_is_not_there_has_its_reason(folder: Path) -> None:
    matrix.attempt(a_kernel(found=False), Future())
    assert matrix.outcome("amd64") == ("missing", (
        "not run: no kernel amd64 of 7.3 7.2 with its source in the package lists, which have:"
        " 6.12 (not read anew: dists/x: 404)"))


def test_a_step_that_fails_is_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def test(*_: object) -> None:
        raise StepFailed("build the module failed: build/log/module.log")
    monkeypatch.setattr(matrix, "test", test)
    matrix.attempt(a_kernel(found=True), Future())
    assert matrix.outcome("amd64")[1].endswith("build the module failed: build/log/module.log")
