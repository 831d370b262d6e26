# SPDX-License-Identifier: GPL-2.0
"""Boards: what they say by a serial port, and their device trees."""

import types
from pathlib import Path
from typing import Any

import pytest

from lab import boards, build, machines
from lab.boards import BoardRun
from lab.machines import machine
from lab.steps import LabError


@pytest.fixture(name="board")
def _board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(machines, "LOGS", tmp_path)
    monkeypatch.setattr(build, "archive", lambda folder: b"job")
    (tmp_path / "initramfs.cpio").write_bytes(b"base")
    kernel = types.SimpleNamespace(
        name="arm64", label="arm64", arch=types.SimpleNamespace(name="arm64"), dir=tmp_path,
        image=Path("/vmlinuz"), out=tmp_path, build_dir=tmp_path)
    return lambda name: BoardRun(kernel, machine(f"board-{name}"))  # type: ignore[arg-type]


def test_results_are_told_from_the_log(board: Any) -> None:
    run = board("imx8mp-evk")
    run.log("serial").write_text(
        "[    1.000000] a line\r\n[    2.000000][  T1] lab: status begin\r\n"
        "[    3.000000] lab: out ok 1 - a test\r\nno stamp\r\n[    4.000000] lab: out ")
    ended = []
    run.sort(types.SimpleNamespace(kill=lambda: ended.append(1)))
    assert run.log("out").read_text() == "ok 1 - a test\n"
    assert run.log("status").read_text() == "begin\n"
    assert run.log("console").read_text() == "[    1.000000] a line\nno stamp\n"
    assert not ended
    with run.log("serial").open("a") as serial:
        serial.write("\r\n[    5.000000] lab: status exit 0\r\n")
    run.sort(types.SimpleNamespace(kill=lambda: ended.append(1)))
    assert run.log("out").read_text() == "ok 1 - a test\n\n"
    assert ended


def test_what_qemu_lacks_is_disabled(board: Any) -> None:
    run = board("raspi4b")
    nodes = run.board["without"]["soc"]
    text = "".join(f"{node} {{ }};\n" for node in nodes)
    assert run.without(text).count('status = "disabled"') == len(nodes)
    with pytest.raises(LabError):
        run.without(text.replace(nodes[3], "another@0"))


def test_a_board_has_its_own_devices_only(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = board("xlnx-zcu102")
    monkeypatch.setattr(run, "tree_text", lambda tree: "")
    monkeypatch.setattr(run, "compile_tree", lambda text, tree: None)
    line = " ".join(run.command())
    assert "-machine xlnx-zcu102" in line and "-m 2G" in line and "lab.serial" in line
    assert "virtio" not in line and "bochs" not in line and "console=ttyAMA0" not in line
    assert run.name == "board-xlnx-zcu102" and boards.trees(run.kernel).parent == run.kernel.dir
