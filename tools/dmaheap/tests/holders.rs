// SPDX-License-Identifier: GPL-2.0

//! Who has which buffers, on machines that are only files.

mod fake_machine;

use expect_test::Expect;
use expect_test::expect;
use fake_machine::FakeBuffer;
use fake_machine::FakeMachine;
use std::io;

const FRAME: FakeBuffer<'_> = FakeBuffer {
    inode: 9,
    size: 8 << 20,
    exporter: "default_cma_region",
    name: "frame",
};
const TEXTURE: FakeBuffer<'_> = FakeBuffer {
    inode: 12,
    size: 4096,
    exporter: "drm",
    name: "",
};

const BUFINFO: &str = "\nDma-buf Objects:\n\
    size    \tflags   \tmode    \tcount   \texp_name\tino     \tname    \n\
    08388608\t00000002\t00080007\t00000003\tdefault_cma_region\t00000009\tframe\n\
    \tAttached Devices:\n\t0000:00:02.0\nTotal 1 devices attached\n\n\
    00065536\t00000002\t00080007\t00000001\tsystem\t00000010\t<none>\n\
    \tAttached Devices:\nTotal 0 devices attached\n\n\
    \nTotal 2 objects, 8454144 bytes\n";

/// A camera that has a frame open and mapped, a viewer that has it mapped only, and a
/// desktop.
fn machine() -> io::Result<FakeMachine> {
    let machine = FakeMachine::new()?;
    machine.process(100, "camera")?;
    machine.descriptor(100, 5, &FRAME)?;
    machine.descriptor(100, 7, &FRAME)?;
    machine.mapping(100, 0x7f00_0000_0000, &FRAME)?;
    machine.process(200, "viewer (x)")?;
    machine.mapping(200, 0x7f12_3400_0000, &FRAME)?;
    machine.process(300, "desktop")?;
    machine.descriptor(300, 4, &TEXTURE)?;
    machine.process(400, "other")?;
    machine.file("/sys/kernel/debug/dma_buf/bufinfo", BUFINFO)?;
    Ok(machine)
}

fn check(arguments: &[&str], wanted: Expect) -> io::Result<()> {
    wanted.assert_eq(&machine()?.output(arguments)?);
    Ok(())
}

#[test]
fn by_process() -> io::Result<()> {
    check(
        &["holders"],
        expect![[r#"
        PID  COMMAND     INODE  SIZE    FDS  MAPPED  SHARED  EXPORTER            NAME
        100  camera      9      8 MiB   2    8 MiB   2       default_cma_region  frame
        200  viewer (x)  9      8 MiB   0    8 MiB   2       default_cma_region  frame
        300  desktop     12     4 KiB   1    -       1       drm                 -
        -    (kernel)    10     64 KiB  -    -       0       system              -
        3 buffers, 8 MiB, in 3 processes
    "#]],
    )
}

#[test]
fn by_buffer() -> io::Result<()> {
    check(
        &["holders", "--by", "buffer"],
        expect![[r#"
            INODE  SIZE    EXPORTER            NAME   REFERENCES  PROCESSES                                           DEVICES
            9      8 MiB   default_cma_region  frame  2           100 camera (2 fd, mapped), 200 viewer (x) (mapped)  0000:00:02.0
            10     64 KiB  system              -      1           none, only the kernel                               none
            12     4 KiB   drm                 -      2           300 desktop (1 fd)                                  unknown
            3 buffers, 8 MiB, in 3 processes
        "#]],
    )
}

#[test]
fn cross_table() -> io::Result<()> {
    check(
        &["holders", "--by", "table"],
        expect![[r#"
        INODE  SIZE    100 camera    200 viewer (x)  300 desktop
        9      8 MiB   2 fd, mapped  mapped          -
        10     64 KiB  -             -               -
        12     4 KiB   -             -               1 fd
        3 buffers, 8 MiB, in 3 processes
    "#]],
    )
}

#[test]
fn csv() -> io::Result<()> {
    check(
        &["holders", "--csv"],
        expect![[r#"
            PID,COMMAND,INODE,SIZE,FDS,MAPPED,SHARED,EXPORTER,NAME
            100,camera,9,8388608,2,8388608,2,default_cma_region,frame
            200,viewer (x),9,8388608,0,8388608,2,default_cma_region,frame
            300,desktop,12,4096,1,,1,drm,
            ,(kernel),10,65536,,,0,system,
        "#]],
    )
}

#[test]
fn json() -> io::Result<()> {
    check(
        &["holders", "frame", "--json"],
        expect![[r#"
        {
          "buffers": [
            {
              "inode": 9,
              "size": 8388608,
              "exporter": "default_cma_region",
              "name": "frame",
              "references": 2,
              "devices": [
                {
                  "name": "0000:00:02.0",
                  "maps": null
                }
              ],
              "holders": [
                {
                  "pid": 100,
                  "descriptors": [
                    5,
                    7
                  ],
                  "mappings": 1,
                  "mapped": 8388608
                },
                {
                  "pid": 200,
                  "descriptors": [],
                  "mappings": 1,
                  "mapped": 8388608
                }
              ]
            }
          ],
          "processes": [
            {
              "pid": 100,
              "uid": 0,
              "command": "camera"
            },
            {
              "pid": 200,
              "uid": 0,
              "command": "viewer (x)"
            }
          ],
          "unseen_processes": 0
        }
    "#]],
    )
}

#[test]
fn of_a_process_a_buffer_or_an_exporter() -> io::Result<()> {
    let machine = machine()?;
    for (who, wanted) in [
        ("200", vec!["9"]),
        ("desktop", vec!["12"]),
        ("10", vec!["10"]),
        ("frame", vec!["9", "9"]),
        ("system", vec!["10"]),
    ] {
        let text = machine.output(&["holders", who, "--csv"])?;
        let inodes: Vec<&str> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').nth(2))
            .collect();
        assert_eq!(inodes, wanted, "{who}: {text}");
    }
    let output = machine.dmaheap(&["holders", "nobody"]).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`dmaheap holders` shows all"));
    Ok(())
}

#[test]
fn what_cannot_be_seen_is_told() -> io::Result<()> {
    let machine = FakeMachine::new()?;
    machine.process(100, "camera")?;
    let output = machine.dmaheap(&["holders"]).output()?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "no process has a dma-buf\n"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("mount debugfs"));
    Ok(())
}

#[test]
fn a_name_does_not_reach_the_terminal_as_a_command() -> io::Result<()> {
    let machine = machine()?;
    let name = "a\u{1b}[2J";
    machine.descriptor(
        400,
        3,
        &FakeBuffer {
            inode: 20,
            name,
            ..TEXTURE
        },
    )?;
    for arguments in [
        vec!["holders"],
        vec!["holders", "--csv"],
        vec!["holders", "--json"],
    ] {
        let text = machine.output(&arguments)?;
        assert!(text.contains("a\u{fffd}[2J"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    Ok(())
}
