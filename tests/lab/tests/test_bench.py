# SPDX-License-Identifier: GPL-2.0
"""bench: what becomes of what the machines have measured."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import bench, machines
from lab.machines import Run

GOOD = "lab: the log check begins here\n"


@pytest.fixture(name="measure")
def _measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    report = tmp_path / "amd64/dmaheap-lab"
    report.parent.mkdir()
    report.write_text('#!/bin/sh\nshift 5\nfor f; do echo "read ${f##*/}: $(cat "$f")"; done\n')
    report.chmod(0o755)
    for module, name in (bench, "BUILD"), (bench, "LOGS"), (machines, "LOGS"):
        monkeypatch.setattr(module, name, tmp_path)
    kernel = SimpleNamespace(name="amd64", label="amd64", arch=SimpleNamespace(name="amd64"))
    monkeypatch.setattr(bench, "kernel", lambda name: kernel)
    monkeypatch.setattr(bench, "Build", lambda kernel: SimpleNamespace(
        kernel=kernel, prepare=lambda: None, c_heaps=lambda: None,
        initramfs=lambda *files: None, built_c_heaps=list))

    def measure(outcomes: dict[str, tuple[int, str, str]]) -> int:
        def boot(run: Run) -> int:
            status, out, console = outcomes.get(run.name, (0, '{"machine":1}\n', GOOD))
            run.log("out").write_text(out)
            run.log("console").write_text(console)
            return status
        monkeypatch.setattr(Run, "boot", boot)
        return bench.bench("amd64")
    return measure


def test_all_is_reported(measure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    # The kernel's own heaps alone load nothing of ours.
    assert measure({"bench-amd64-control": (0, "{}\n", "no mark\n")}) == 0
    text = capsys.readouterr().out
    assert text.count("read bench-amd64-") == 4
    assert "All of it: build/bench.json, build/bench.svg" in text


def test_what_was_measured_until_a_failure_is_reported(
        measure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure({"bench-amd64-time": (125, '{"half":\n', GOOD),
                    "bench-amd64-count-1": (1, "insmod: no such file\n", GOOD)}) == 1
    said = capsys.readouterr()
    assert 'read bench-amd64-time.json: {"half":' in said.out
    assert "read bench-amd64-count-2.json" in said.out
    assert "read bench-amd64-count-1.json" not in said.out
    assert "the machine bench-amd64-time ended with status 125" in said.err
    assert "insmod: no such file" in said.err


def test_a_complaint_of_the_kernel_is_a_failure(
        measure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    oops = GOOD + "[    3.1] BUG: kernel NULL pointer dereference\n"
    assert measure({"bench-amd64-count-2": (0, "{}\n", oops)}) == 1
    said = capsys.readouterr()
    assert said.out.count("read bench-amd64-") == 4
    assert "BUG: kernel NULL pointer" in said.err


def test_the_job_knows_its_kind() -> None:
    kernel = SimpleNamespace(name="amd64", label="amd64", arch=SimpleNamespace(name="amd64"))
    build: Any = SimpleNamespace(kernel=kernel)
    for name, kind in (("bench-count-2", "count"), ("bench-maps-intel-lazy", "maps-intel-lazy"),
                       ("bench-maps-plain-count", "maps-plain-count")):
        run = bench.prepare_run(build, machines.machine(name))
        assert str(run.job).startswith(f"sh /lab/machines/bench.sh {kind} 'QEMU -machine q35")
        assert ("icount" in str(run.job)) == kind.endswith("count")
        assert ("intel-iommu" in str(run.job)) == ("intel" in kind)
