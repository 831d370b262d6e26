# SPDX-License-Identifier: GPL-2.0
"""What is taken over from the machine itself, and the talk with a machine that is kept."""

import socket
import threading
from pathlib import Path

import pytest

from lab import guest, host
from lab.steps import LabError


def test_of_cargos_settings_sources_are_taken(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    assert host.cargo_conf() == ""
    (tmp_path / "config.toml").write_text(
        "[build]\njobs = 1\n[source.crates-io]\nreplace-with = 'm'\n[alias]\nb = 'build'\n"
        "[[registries.m]]\nx = 1\n[http]\ncainfo = 'c'\nproxy = 'p'\n")
    assert host.cargo_conf() == ("[source.crates-io]\nreplace-with = 'm'\n[[registries.m]]\nx = 1\n"
                                 "[http]\nproxy = 'p'\n")


def test_debians_own_mirror_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("Other|stable|main|https://other/x\nDebian|stable|main|http://own/debian\n"
             "Debian|stable|contrib|http://contrib/\nDebian|sid|main|http://sid/\n"
             "Debian|stable|main|file:/disk\nDebian|stable|main|http://own/debian")
    monkeypatch.setattr(host, "output", lambda *_: lines)
    assert host.mirrors() == ["http://own/debian", "https://other/x"]


def test_of_the_environment_what_the_network_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "https_proxy", "NO_PROXY", "CARGO_NET_RETRY", "CARGO_HOME", "http_proxyx":
        monkeypatch.setenv(name, "1")
    assert {"https_proxy", "NO_PROXY", "CARGO_NET_RETRY"} <= set(host.network_env())
    assert not {"CARGO_HOME", "http_proxyx", "PATH"} & set(host.network_env())


def answers(cache: Path, text: str) -> list[bytes]:
    """What stands for the machine: takes a request, and answers with that text."""
    asked: list[bytes] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(cache / "try.sock"))
    server.listen()

    def serve() -> None:
        link, _ = server.accept()
        request = link.recv(65536)
        asked.append(request)
        ident = request.split()[0].decode()
        link.sendall(text.replace("ID", ident).encode())
        link.close()
        server.close()
    threading.Thread(target=serve, daemon=True).start()
    return asked


def test_a_request_is_answered(tmp_path: Path) -> None:
    asked = answers(tmp_path, "old\n### stop 1 0\n### start ID\n### begin a\nok 1\n\n"
                              "### end a 0\n\n### stop ID 3\n")
    text, status = guest.Kept(tmp_path).ask("sh /lab/try/topic.sh abi", 5, b"tar")
    assert (text, status) == ("### begin a\nok 1\n\n### end a 0\n\n", 3)
    assert asked[0].endswith(b" 3 5 sh /lab/try/topic.sh abi\ntar")


def test_a_machine_that_dies_is_told(tmp_path: Path) -> None:
    answers(tmp_path, "### start ID\n### begin a\n")
    with pytest.raises(LabError, match="died"):
        guest.Kept(tmp_path).ask("x", 5)


def test_there_is_no_machine_at_first(tmp_path: Path) -> None:
    kept = guest.Kept(tmp_path)
    assert kept.pid == 0
    kept.end()
    # A process that is none of ours is left alone.
    kept.pid_file.write_text("1")
    assert kept.pid == 0
