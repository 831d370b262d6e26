# SPDX-License-Identifier: GPL-2.0
"""Steps, lanes, the command line, cargo's results."""

import importlib
import subprocess
import threading
from pathlib import Path

import pytest

from lab import cli, guest, host, steps
from lab.build import cargo_tap
from lab.results import Tap
from lab.steps import LabError, StepFailed


def test_a_step_that_fails_tells_the_end_of_its_log(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(steps, "LOGS", tmp_path)
    with pytest.raises(StepFailed, match="make it failed"):
        steps.step("make it", "it", lambda log: log.run("sh", "-c", "echo why; exit 3"))
    assert "  | why" in capfd.readouterr().err
    steps.step("make it", "it", lambda log: log.run("sh", "-c", "exit 3", ok=(0, 3)))
    assert "ok  make it" in capfd.readouterr().out


def test_lanes_fail_as_soon_as_one_does() -> None:
    end = threading.Event()

    def fails() -> None:
        raise LabError("no")
    with pytest.raises(LabError):
        steps.lanes(fails, lambda: end.wait(30))
    end.set()


def test_lanes_are_no_wider_than_told() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.02)
        with lock:
            running[0] -= 1
    steps.lanes(*[work] * 6, width=2)
    assert most[0] == 2


def test_digests_know_functions_files_and_texts(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("a")
    assert len(steps.digest(file, "b", steps.say)) == 12
    assert steps.digest(file) == steps.digest("a") != steps.digest(steps.say)


def test_the_command_line() -> None:
    args = cli.parse(["--dry-run", "boot", "amd64"])
    assert (args.dry_run, args.command, args.words) == (True, "boot", ["amd64"])
    assert cli.parse(["vm", "amd64", "dmaheap", "--help"]).words == ["amd64", "dmaheap", "--help"]
    assert cli.parse(["try", "--list"]).words == ["--list"]
    with pytest.raises(SystemExit):
        cli.parse(["no-such-command"])


def test_every_command_has_its_function() -> None:
    for name, module in cli.COMMANDS.items():
        assert callable(getattr(importlib.import_module(f"lab.{module}"), name.replace("-", "_")))
    assert {command.split()[0] for command in cli.REST} <= set(cli.COMMANDS)


def test_a_command_says_what_it_takes() -> None:
    with pytest.raises(LabError, match="boot : missing .*'arch'"):
        cli.carry_out("boot", [])


def test_help_names_all_machines() -> None:
    text = cli.help_text()
    assert "@" not in text and "amd64-suite-virtio-gpu" in text and "previous-amd64" in text


def test_the_cache_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    held = host.lock(tmp_path, "one")
    with pytest.raises(LabError, match=r"another run .*: one \(process"):
        host.lock(tmp_path, "two")
    held.close()
    host.lock(tmp_path, "two").close()


def test_cargos_failures_have_their_reasons() -> None:
    text = cargo_tap("running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\n"
                     "test d ... ignored\n\nfailures:\n\n---- a::c stdout ----\npanicked here\n\n"
                     "failures:\n    a::c\n")
    tap = Tap.read(text)
    assert tap.passed == 1 and tap.skipped == ["- d: ignored"]
    assert tap.failed[0][:2] == ["not ok 2 - a::c", "# panicked here"]


def test_what_can_be_tried() -> None:
    assert "abi" in guest.topics() and "attributes" in guest.scripts()
    assert guest.request("abi default_cma_region") == (
        "sh /lab/try/topic.sh abi default_cma_region")
    assert guest.request("reload") == "sh /lab/try/test.sh reload"
    with pytest.raises(LabError):
        guest.request("no-such-topic")


def test_only_what_has_changed_is_sent(tmp_path: Path) -> None:
    plan = {"files": {"a": str(tmp_path / "a"), "d/b": str(tmp_path / "b")}}
    for name in "a", "b":
        (tmp_path / name).write_text(name)
    first, has = guest.changed_files(plan, {})
    assert b"ustar" in first
    assert guest.changed_files(plan, has)[0] == b""
    (tmp_path / "b").write_text("new")
    bundle, _ = guest.changed_files(plan, has)
    (tmp_path / "t.tar").write_bytes(bundle)
    names = subprocess.run(["tar", "-tf", tmp_path / "t.tar"], check=True, capture_output=True)
    assert names.stdout == b"d/b\n"
