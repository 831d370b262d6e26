# SPDX-License-Identifier: GPL-2.0
"""make test-media: programs that nobody here wrote, as Debian ships them, on our heaps.
make demo-video: a camera's pictures on a screen, in buffers of our heaps, looked at.
make test-video: the same for minutes."""

import functools
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path

from lab import debian, machines
from lab.build import Build, cargo_tests
from lab.kernels import kernel
from lab.machines import Run, machine, test_boot
from lab.results import Results
from lab.steps import BUILD, DRY, LOGS, SHOW, lanes, say
from lab.tests import prepare_one


def test_media(arches: str = "amd64 arm64") -> int:
    """make test-media: on one architecture, or on both."""
    results, found = Results(fresh=True), machines.group("test-media")

    def lane(arch: str) -> None:
        build = prepare_one(arch)
        for name in (one.name for where, one in found if where == arch):
            test_boot(debian.run(build.kernel, name), results)
    lanes(*(functools.partial(lane, arch) for arch in arches.split()))
    return results.finish()


def demo_video(arch: str = "amd64") -> int:
    """make demo-video: each of two heaps shows other bars."""
    results = Results(fresh=True)
    name = watched_boot(arch, "demo-video", results)
    for bars in "columns", "rows":
        results.command(f"{name}/picture-{bars}", BUILD / "amd64/picture",
                        LOGS / f"screen-{name}-{bars}.png", "640x480", bars)
    for tap in sorted((results.folder / name).glob("video-*.tap")):
        say("", f"{tap.stem}:", *re.findall("^# (.*)", tap.read_text(), re.M))
    status = results.finish()
    if status == 0 and not (DRY or SHOW):
        shutil.copy(LOGS / f"screen-{name}-columns.png", BUILD / f"demo-video-{arch}.png")
        say(f"The camera's pattern, as the screen has shown it: build/demo-video-{arch}.png")
    return status


def test_video(arch: str = "amd64") -> int:
    """make test-video. The machine's clock counts its own instructions: whatever else this
    host does, a frame has as long as it should. Nobody sleeps meanwhile, so minutes there may
    be less than that here."""
    results = Results(fresh=True)
    watched_boot(arch, "suite-video", results)
    say("  ... unit tests of the programs for video")
    cargo_tests(results, "--package", "camera-to-screen", "--package", "picture")
    return results.finish()


def watched_boot(arch: str, name: str, results: Results) -> str:
    """Boots a machine and takes a picture of its screen for each line "# screendump NAME" that
    it prints: build/log/screen-MACHINE-NAME.png. A line on its port lab.go tells that this was
    done. (A pipe, for that is there before the machine and when it is started again.)"""
    build = Build(kernel(arch))
    build.prepare()
    build.stock_modules()
    build.video_programs()
    build.initramfs(build.kernel.programs / "camera-to-screen", build.kernel.modules)
    run, taken = Run(build.kernel, machine(name)), list[str]()
    monitor, go = Path("/tmp", f"{run.name}.monitor"), run.log("go")
    run.arguments = ["-qmp", f"unix:{monitor},server=on,wait=off",
                     "-device", "virtio-serial-pci,id=video", "-chardev", f"pipe,id=go,path={go}",
                     "-device", "virtserialport,bus=video.0,chardev=go,name=lab.go"]
    for old in LOGS.glob(f"screen-{run.name}-*.png"):
        old.unlink()
    go.unlink(missing_ok=True)
    os.mkfifo(go)
    with go.open("r+b", buffering=0) as pipe:
        def watch(_: object) -> None:
            for picture in wanted(run.log("out"))[len(taken):]:
                taken.append(picture)
                try:
                    screendump(monitor, LOGS / f"screen-{run.name}-{picture}.png")
                    pipe.write(b"taken\n")
                except (OSError, ValueError) as error:
                    # The machine misses the line, and says so.
                    print(f"error: no picture {picture} of {run.name}: {error}", file=sys.stderr)
        run.watch = watch
        test_boot(run, results)
    if not SHOW:
        go.unlink()
    return run.name


def wanted(out: Path) -> list[str]:
    """The pictures that a machine has asked for; a line counts when it is complete."""
    return re.findall(r"^# screendump (\S+)\n", out.read_text(errors="replace"),
                      re.M) if out.exists() else []


def screendump(monitor: Path, file: Path) -> None:
    """Has QEMU write what the screen shows."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(monitor))
        with connection.makefile("rw") as stream:
            for command in ({"execute": "qmp_capabilities"}, {
                    "execute": "screendump",
                    "arguments": {"filename": str(file), "format": "png"}}):
                stream.write(json.dumps(command))
                stream.flush()
                # It also tells of itself, and of events.
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:
                        raise OSError(answer["error"]["desc"])
