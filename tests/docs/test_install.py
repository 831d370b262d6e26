# SPDX-License-Identifier: GPL-2.0
"""What `make install` answers where it cannot install. Where it can, the package tests do."""

import shutil
import subprocess
from pathlib import Path

import pytest
from documents import SOURCE


@pytest.fixture(name="tree")
def fixture_tree(tmp_path: Path) -> Path:
    """A source tree with no module in it, and a modinfo that knows of one kernel."""
    (tmp_path / "tools/machine").mkdir(parents=True)
    shutil.copy(SOURCE / "tools/machine/install", tmp_path / "tools/machine")
    (tmp_path / "bin").mkdir()
    for name, text in ("modinfo", "echo 7.3.4-test SMP"), ("depmod", 'echo "depmod $*"'):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def install(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tree / "tools/machine/install"], capture_output=True, text=True,
                          check=False, env={"PATH": f"{tree}/bin:/usr/bin:/bin",
                                            "INSTALL_MOD_PATH": f"{tree}/root"})


def build(tree: Path) -> None:
    (tree / "build/module").mkdir(parents=True)
    (tree / "build/module/rust_dma_heap.ko").write_text("module\n")


def test_without_a_module(tree: Path) -> None:
    answer = install(tree)
    assert answer.returncode == 1
    assert "Build it first: make" in answer.stderr


def test_for_a_kernel_that_is_not_installed(tree: Path) -> None:
    build(tree)
    answer = install(tree)
    assert answer.returncode == 1
    assert "7.3.4-test" in answer.stderr
    assert not (tree / "root").exists()


def test_installs(tree: Path) -> None:
    build(tree)
    folder = tree / "root/lib/modules/7.3.4-test"
    folder.mkdir(parents=True)
    answer = install(tree)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert (folder / "updates/rust_dma_heap.ko").read_text() == "module\n"
    assert f"depmod -b {tree}/root 7.3.4-test" in answer.stdout
