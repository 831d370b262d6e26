// SPDX-License-Identifier: GPL-2.0

//! What heaps count, on machines that are only files.

mod fake_machine;

use expect_test::expect;
use fake_machine::FakeMachine;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Stdio;

const ATTRIBUTES: &[(&str, &str)] = &[
    ("contiguous", "0"),
    ("limit", "536870912"),
    ("user_limit", "268435456"),
    ("used", "12582912"),
    ("pool_held", "0"),
    ("pool_trim_ms", "5000"),
    ("keep_mappings", "1"),
];

fn machine() -> io::Result<FakeMachine> {
    let mut machine = FakeMachine::new()?;
    machine.heap("system", ATTRIBUTES)?;
    machine.heap("carveout", &[("used", "0"), ("limit", "33554432")])?;
    machine.file(
        "/sys/kernel/debug/rust_dma_heap/carveout/allocations",
        "0\n",
    )?;
    for (counter, value) in [
        ("allocations", "3"),
        ("hits", "8388608"),
        ("pool_dirty", "4096"),
    ] {
        machine.file(
            &format!("/sys/kernel/debug/rust_dma_heap/system/{counter}"),
            &format!("{value}\n"),
        )?;
    }
    Ok(machine)
}

#[test]
fn numbers_have_units() -> io::Result<()> {
    expect![[r#"
        HEAP      WHAT           VALUE    PER SECOND  MEANING
        carveout  used           0 B      -           bytes that living buffers take
        carveout  limit          32 MiB   -           bytes that all buffers together may take
        carveout  allocations    0        -           buffers allocated
        system    used           12 MiB   -           bytes that living buffers take
        system    limit          512 MiB  -           bytes that all buffers together may take
        system    user_limit     256 MiB  -           bytes that the buffers of one user may take
        system    pool_held      0 B      -           bytes that are kept warm
        system    pool_trim_ms   5000 ms  -           time for which idle memory is kept
        system    keep_mappings  yes      -           whether DMA mappings are kept between two maps
        system    allocations    3        -           buffers allocated
        system    hits           8 MiB    -           bytes of new buffers, from kept memory
        system    pool_dirty     4 KiB    -           bytes kept and not zeroed yet
    "#]]
    .assert_eq(&machine()?.output(&["stats"])?);
    Ok(())
}

#[test]
fn json_of_one_heap() -> io::Result<()> {
    expect![[r#"
        {
          "heaps": [
            {
              "name": "carveout",
              "values": {
                "used": 0,
                "limit": 33554432,
                "allocations": 0
              },
              "per_second": null
            }
          ]
        }
    "#]]
    .assert_eq(&machine()?.output(&["stats", "carveout", "--json"])?);
    Ok(())
}

#[test]
fn prometheus() -> io::Result<()> {
    expect![[r##"
        # HELP dma_heap_used_bytes bytes that living buffers take
        # TYPE dma_heap_used_bytes gauge
        dma_heap_used_bytes{heap="carveout"} 0
        dma_heap_used_bytes{heap="system"} 12582912
        # HELP dma_heap_limit_bytes bytes that all buffers together may take
        # TYPE dma_heap_limit_bytes gauge
        dma_heap_limit_bytes{heap="carveout"} 33554432
        dma_heap_limit_bytes{heap="system"} 536870912
        # HELP dma_heap_user_limit_bytes bytes that the buffers of one user may take
        # TYPE dma_heap_user_limit_bytes gauge
        dma_heap_user_limit_bytes{heap="system"} 268435456
        # HELP dma_heap_pool_held_bytes bytes that are kept warm
        # TYPE dma_heap_pool_held_bytes gauge
        dma_heap_pool_held_bytes{heap="system"} 0
        # HELP dma_heap_pool_trim_seconds time for which idle memory is kept
        # TYPE dma_heap_pool_trim_seconds gauge
        dma_heap_pool_trim_seconds{heap="system"} 5
        # HELP dma_heap_keep_mappings whether DMA mappings are kept between two maps
        # TYPE dma_heap_keep_mappings gauge
        dma_heap_keep_mappings{heap="system"} 1
        # HELP dma_heap_allocations_total buffers allocated
        # TYPE dma_heap_allocations_total counter
        dma_heap_allocations_total{heap="carveout"} 0
        dma_heap_allocations_total{heap="system"} 3
        # HELP dma_heap_hits_bytes_total bytes of new buffers, from kept memory
        # TYPE dma_heap_hits_bytes_total counter
        dma_heap_hits_bytes_total{heap="system"} 8388608
        # HELP dma_heap_pool_dirty_bytes bytes kept and not zeroed yet
        # TYPE dma_heap_pool_dirty_bytes gauge
        dma_heap_pool_dirty_bytes{heap="system"} 4096
    "##]]
    .assert_eq(&machine()?.output(&["stats", "--prometheus"])?);
    Ok(())
}

#[test]
fn rates_are_what_was_added_in_a_second() -> io::Result<()> {
    let machine = machine()?;
    let mut command = machine.command(&["stats", "system", "--watch", "500ms", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::Other)?).lines();
    let mut next = || -> io::Result<serde_json::Value> {
        let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        Ok(serde_json::from_str(&line)?)
    };
    let first = next()?;
    assert_eq!(
        first.pointer("/heaps/0/per_second"),
        Some(&serde_json::Value::Null)
    );
    machine.file(
        "/sys/kernel/debug/rust_dma_heap/system/allocations",
        "103\n",
    )?;
    let second = next()?;
    child.kill()?;
    child.wait()?;
    assert_eq!(
        second.pointer("/heaps/0/values/allocations"),
        Some(&103.into())
    );
    let rate = second.pointer("/heaps/0/per_second/allocations");
    // 100 in half a second, or in a little more.
    let rate = rate.and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    assert!((50.0..=200.0).contains(&rate), "{rate}");
    assert_eq!(second.pointer("/heaps/0/per_second/used"), None);
    Ok(())
}

#[test]
fn without_a_heap_it_is_status_3() -> io::Result<()> {
    let output = FakeMachine::new()?.dmaheap(&["stats"]).output()?;
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("modprobe rust_dma_heap"));
    Ok(())
}

#[test]
fn what_only_root_sees_is_told() -> io::Result<()> {
    let mut machine = FakeMachine::new()?;
    machine.heap("system", ATTRIBUTES)?;
    let output = machine.dmaheap(&["stats"]).output()?;
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("run as root"));
    Ok(())
}

#[test]
fn a_heap_that_is_not_there_names_those_that_are() -> io::Result<()> {
    let output = machine()?.dmaheap(&["stats", "vidbuf"]).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("carveout, system"));
    Ok(())
}
