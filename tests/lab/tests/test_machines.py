# SPDX-License-Identifier: GPL-2.0
"""From the table of machines to QEMU's command line."""

import stat
import types
from pathlib import Path
from typing import Any

import pytest

from lab import build, machines
from lab.machines import DIED, TIMEOUT, Machine, Run, machine
from lab.results import Results
from lab.steps import LabError


def a_kernel(name: str, tmp_path: Path) -> Any:
    """A kernel as a machine sees it."""
    arch = machines.kernel_table(name)["arch"]
    (tmp_path / "initramfs.cpio").write_bytes(b"base")
    return types.SimpleNamespace(name=name, label=arch, arch=types.SimpleNamespace(name=arch),
                                 image=Path("/vmlinuz"), out=tmp_path, build_dir=tmp_path)


@pytest.fixture(name="words")
def _words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(machines, "LOGS", tmp_path)
    monkeypatch.setattr(build, "archive", lambda folder: b"job")

    def words(kernel: str, name: str, **options: Any) -> str:
        return " ".join(Run(a_kernel(kernel, tmp_path), machine(name), **options).command())
    return words


def test_every_machine_is_sound() -> None:
    for name in machines.table()["machine"]:
        one = machine(name)
        assert one.about
        assert set(one.devices) <= set(machines.table()["device"])
        for kernel in one.targets.values():
            assert all(machines.kernel_table(each) for each in kernel)


def test_a_mistake_in_a_table_is_told() -> None:
    with pytest.raises(TypeError):
        Machine("a", "b", devises=())  # type: ignore[call-arg]
    with pytest.raises(LabError):
        machine("no-such-machine")


def test_an_ordinary_machine(words: Any) -> None:
    line = words("amd64", "suite")
    assert line.startswith("qemu-system-x86_64 -nodefaults")
    assert "-m 1G" in line and "cma=64M" in line and "-device edu,dma_mask=0xff" in line
    assert "cma=" not in words("arm64", "suite")


def test_devices_differ_by_architecture(words: Any) -> None:
    assert "intel-iommu,intremap=on" in words("amd64", "suite-iommu-strict")
    line = words("arm64", "suite-iommu-strict")
    assert "iommu=smmuv3" in line and "intel-iommu," not in line
    assert "iommu.strict=1" in line and "iommu.passthrough=0" in line


def test_no_area(words: Any) -> None:
    assert "cma=" not in words("amd64", "suite-nocma")
    assert "cma=320M" in words("amd64", "suite-limits")


def test_the_kernel_says_something_too(words: Any) -> None:
    line = words("sanitizer", "sanitize-suite")
    assert "kasan_multi_shot" in line and "-m 1G" in line and "iommu.strict=1" in line
    assert "-m 2G" in words("sanitizer", "sanitize-fuzz")
    assert "page_poison=1" in words("sanitizer", "sanitize-adversary").split("page_poison=off")[0]
    assert "-cpu cortex-a72 -cpu cortex-a76" in words("arm64-16k", "suite")


def test_like_takes_what_is_not_said() -> None:
    assert machine("sanitize-suite-nopool").memory == "1G"
    assert machine("sanitize-suite-nopool").kernel == "sanitizer"
    assert machine("suite-iommu-mutants-lazy").targets == {"test-mutants": ["amd64"]}
    assert machine("suite-iommu-mutants-lazy").append == "iommu.strict=0"


def test_time(tmp_path: Path) -> None:
    assert Run(a_kernel("sanitizer", tmp_path), machine("sanitize-fuzz")).seconds == 2400
    assert Run(a_kernel("sanitizer", tmp_path), machine("sanitize-fuzz")).begin == 300
    assert Run(a_kernel("amd64", tmp_path), machine("suite")).seconds == 900
    assert Run(a_kernel("amd64", tmp_path), machine("suite"), seconds=5).seconds == 5


def test_one_that_counts_has_one_processor(tmp_path: Path) -> None:
    run = Run(a_kernel("amd64", tmp_path), Machine("a", "b", counts=True))
    assert run.accelerator()[-2:] == ["-smp", "1"]


def test_choice_by_name() -> None:
    found = [f"{arch}-{one.name}" for arch, one in machines.select("test-configs", "*-iommu-*")]
    assert found == ["amd64-suite-iommu-strict", "arm64-suite-iommu-strict",
                     "amd64-suite-iommu-lazy"]
    assert [one.name for _, one in machines.select("sanitize", "suite*")] == [
        "sanitize-suite", "sanitize-suite-nopool"]
    with pytest.raises(LabError):
        machines.select("sanitize", "nothing*")


def test_the_order_of_sanitize() -> None:
    names = list(machines.names("sanitize"))
    assert names[0] == "sweep" and set(names[-2:]) == {"kunit", "nodes"}


def test_the_matrix() -> None:
    assert "armmp-lpae" in machines.matrix() and "sanitizer" not in machines.matrix()
    assert machines.kernel_table("sid-amd64")["suite"] == "sid"


def qemu(tmp_path: Path, script: str) -> list[str]:
    """What stands for QEMU."""
    file = tmp_path / "qemu"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    return [str(file)]


@pytest.fixture(name="run")
def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(machines, "LOGS", tmp_path)

    def run(script: str, seconds: int = 9, begin: int = 9) -> tuple[int, Results]:
        results = Results(tmp_path / "results")
        one = Run(a_kernel("amd64", tmp_path), Machine("m", "a", time=seconds, begin=begin),
                  results=results)
        status = tmp_path / "vm-amd64-m.status"
        monkeypatch.setattr(one, "command", lambda: qemu(
            tmp_path, script.replace("STATUS", str(status))))
        return one.boot(), results
    return run


def test_the_jobs_status(run: Any) -> None:
    assert run("printf 'begin\\nexit 0\\n' >STATUS")[0] == 0
    assert run("printf 'begin\\nexit 3\\n' >STATUS")[0] == 3


def test_a_machine_that_dies(run: Any) -> None:
    assert run("echo begin >STATUS")[0] == DIED
    assert run("exit 1")[0] == DIED


def test_a_machine_that_takes_too_long(run: Any) -> None:
    assert run("echo begin >STATUS; exec sleep 30", seconds=1)[0] == TIMEOUT


def test_a_machine_that_stands_still_is_started_again(run: Any, tmp_path: Path) -> None:
    once = f"[ -e {tmp_path}/was ] || {{ : >{tmp_path}/was; exec sleep 30; }}"
    status, results = run(f"{once}\nprintf 'begin\\nexit 0\\n' >STATUS", begin=1)
    assert status == 0
    assert (results.folder / "restarts").read_text() == "amd64-m\n"
    assert run("exec sleep 30", begin=1)[0] == DIED
