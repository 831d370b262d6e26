// SPDX-License-Identifier: GPL-2.0

//! Listing heaps, on machines that are only files.

mod fake_machine;

use expect_test::expect;
use fake_machine::FakeMachine;
use std::io;

fn machine() -> io::Result<FakeMachine> {
    let mut machine = FakeMachine::new()?;
    machine.file("/etc/passwd", "root:x:0:0::/:/bin/sh\n")?;
    machine.file("/etc/group", "root:x:0:\n")?;
    let attributes = [
        ("contiguous", "0"),
        ("limit", "536870912"),
        ("used", "4096"),
    ];
    machine.heap("system", &attributes)?;
    machine.heap("reserved", &[])?;
    Ok(machine)
}

#[test]
fn all_heaps_or_those_that_are_named() -> io::Result<()> {
    expect![[r#"
        NAME      ORIGIN  CONTIGUOUS  CACHEABLE  LIMIT    PER USER  USED   POOL CAP  POOL HELD  OWNER      MODE  OTHER NAMES
        reserved  kernel  -           -          -        -         -      -         -          root:root  0666  -
        system    module  no          -          512 MiB  -         4 KiB  -         -          root:root  0666  -
    "#]].assert_eq(&machine()?.output(&["list"])?);
    expect![[r#"
        NAME      ORIGIN  CONTIGUOUS  CACHEABLE  LIMIT  PER USER  USED  POOL CAP  POOL HELD  OWNER      MODE  OTHER NAMES
        reserved  kernel  -           -          -      -         -     -         -          root:root  0666  -
    "#]].assert_eq(&machine()?.output(&["list", "reserved"])?);
    Ok(())
}

#[test]
fn json() -> io::Result<()> {
    expect![[r#"
        {
          "heaps": [
            {
              "name": "system",
              "other_names": [],
              "path": "/dev/dma_heap/system",
              "origin": "module",
              "contiguous": false,
              "cacheable": null,
              "limit": 536870912,
              "user_limit": null,
              "used": 4096,
              "pool_cap": null,
              "pool_held": null,
              "pool_trim_ms": null,
              "uid": 0,
              "gid": 0,
              "owner": "root",
              "group": "root",
              "mode": "0666",
              "accessible": true
            }
          ]
        }
    "#]]
    .assert_eq(&machine()?.output(&["list", "system", "--json"])?);
    Ok(())
}

#[test]
fn a_name_that_is_not_there_is_told() -> io::Result<()> {
    let output = machine()?.dmaheap(&["list", "vidbuf"]).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/dma_heap/vidbuf"));
    Ok(())
}

#[test]
fn without_a_heap_json_says_so() -> io::Result<()> {
    let machine = FakeMachine::new()?;
    for command in ["list", "stats", "verify"] {
        let output = machine.dmaheap(&[command, "--json"]).output()?;
        assert_eq!(output.status.code(), Some(3), "{command}");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        assert!(value.is_object(), "{command}: {value}");
    }
    let output = machine.dmaheap(&["verify", "--json"]).output()?;
    let value: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let error = value.get("error").and_then(|it| it.as_str());
    assert!(error.is_some_and(|it| it.contains("modprobe rust_dma_heap")));
    Ok(())
}

/// For who has it in a script or a prompt.
#[test]
fn it_takes_no_time() -> io::Result<()> {
    let mut times = machine()?.times(100, &["list"])?;
    times.sort_unstable();
    assert_eq!(times.len(), 100);
    assert!(times.get(50) < Some(&10_000), "microseconds: {times:?}");
    Ok(())
}
