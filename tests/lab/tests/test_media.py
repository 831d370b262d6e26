# SPDX-License-Identifier: GPL-2.0
"""Machines whose screen is looked at, and those with a Debian root."""

import json
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from lab import debian, machines, media


def test_pictures_are_asked_for_by_whole_lines(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert media.wanted(out) == []
    out.write_text("### begin x\n# screendump rows\nok 1\n # screendump no\n# screendump colu")
    assert media.wanted(out) == ["rows"]


def monitor(path: Path, answer: dict[str, object]) -> list[dict[str, object]]:
    """A machine's monitor, which answers once, among events."""
    heard: list[dict[str, object]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with server, connection, connection.makefile("rw") as stream:
            def tell(*what: dict[str, object]) -> None:
                stream.write("".join(json.dumps(one) + "\r\n" for one in what))
                stream.flush()
            tell({"QMP": {}})
            decoder, text = json.JSONDecoder(), ""
            replies: list[dict[str, object]] = [{"return": {}}, answer]
            for reply in replies:
                while not text.endswith("}"):
                    text += connection.recv(4096).decode()
                heard.append(decoder.decode(text))
                text = ""
                tell({"event": "RTC_CHANGE"}, reply)
    threading.Thread(target=serve, daemon=True).start()
    return heard


def test_a_picture_is_taken(tmp_path: Path) -> None:
    heard = monitor(tmp_path / "m", {"return": {}})
    media.screendump(tmp_path / "m", tmp_path / "p.png")
    assert [one["execute"] for one in heard] == ["qmp_capabilities", "screendump"]
    assert heard[1]["arguments"] == {"filename": str(tmp_path / "p.png"), "format": "png"}


def test_a_picture_that_fails_is_told(tmp_path: Path) -> None:
    monitor(tmp_path / "m", {"error": {"desc": "no screen"}})
    with pytest.raises(OSError, match="no screen"):
        media.screendump(tmp_path / "m", tmp_path / "p.png")


def test_every_debian_root_is_described() -> None:
    for name in machines.table()["machine"]:
        if root := machines.machine(name).debian:
            assert "systemd-sysv" in debian.packages(root)
            assert len(debian.packages(root)) > len(debian.packages("base")) / 2


def test_a_command_in_a_root_is_quoted() -> None:
    words = debian.chroot(Path("/a b"), "sh", "$x", mounts=["--bind", "/r", "srv"])
    assert words[:2] == ["unshare", "--mount"]
    script = words[-1]
    assert script.splitlines()[0] == "cd '/a b'"
    assert script.splitlines()[-1] == "exec chroot . sh '$x'"
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
