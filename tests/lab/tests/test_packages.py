# SPDX-License-Identifier: GPL-2.0
"""Packages: which kernel is older, and what is fetched for it."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from lab import packages
from lab.steps import LabError

KERNELS = {"7.3.4+deb13-amd64": ["7.3.4-1"], "7.3.2+deb13-amd64": ["7.3.2-1"],
           "7.3.1+deb13-amd64": ["7.3.1-2", "7.3.1-1"], "7.2.9+deb13-amd64": ["7.2.9-1"]}


def older(chosen: str, sources: dict[str, list[str]]) -> tuple[str, str]:
    """Of those kernels, when the lists have these sources."""
    def versions(name: str) -> list[str]:
        release = re.sub("^linux-headers-|:amd64$", "", name)
        return KERNELS.get(release, sources.get(name.removeprefix("linux-source-"), []))
    kernel: Any = SimpleNamespace(
        release=chosen, label="amd64", arch=SimpleNamespace(name="amd64"),
        lists=SimpleNamespace(versions=versions),
        releases=lambda series: [name for name in KERNELS if re.match(series, name)])
    return packages.older(kernel)


@pytest.fixture(autouse=True)
def _series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "supported_series", lambda: ["7.3", "7.2"])


def test_the_older_kernel_has_its_source() -> None:
    sources = {"7.3": ["7.3.4-1", "7.3.2-1", "7.3.1-1"], "7.2": ["7.2.9-1"]}
    assert older("7.3.4+deb13-amd64", sources) == ("7.3.2+deb13-amd64", "7.3.2-1")
    assert older("7.3.2+deb13-amd64", sources) == ("7.3.1+deb13-amd64", "7.3.1-1")
    assert older("7.3.1+deb13-amd64", sources) == ("7.2.9+deb13-amd64", "7.2.9-1")
    assert older("7.3.4+deb13-amd64", {"7.2": ["7.2.9-1"]})[0] == "7.2.9+deb13-amd64"


def test_without_an_older_kernel_there_is_no_update() -> None:
    with pytest.raises(LabError, match="no amd64 kernel older than 7.2.9"):
        older("7.2.9+deb13-amd64", {"7.3": ["7.3.4-1"], "7.2": ["7.2.9-1"]})


def test_a_kernels_packages() -> None:
    assert packages.kernel_packages("7.2.9+deb13-amd64", "7.2.9-1") == [
        "linux-image-7.2.9+deb13-amd64=7.2.9-1", "linux-headers-7.2.9+deb13-amd64=7.2.9-1",
        "linux-source-7.2=7.2.9-1"]


def test_architectures_are_known_before_anything_is_made(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "Results", lambda fresh: None)
    with pytest.raises(LabError, match="no such architecture: riscv64"):
        packages.test_packages("amd64 riscv64")
