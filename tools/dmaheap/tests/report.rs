// SPDX-License-Identifier: GPL-2.0

//! What a bug report has in it, and what not, on machines that are only files.

mod fake_machine;

use fake_machine::FakeBuffer;
use fake_machine::FakeMachine;
use std::io;

fn machine() -> io::Result<FakeMachine> {
    let mut machine = FakeMachine::new()?;
    let attributes = [
        ("contiguous", "0"),
        ("cacheable", "1"),
        ("limit", "536870912"),
        ("used", "0"),
    ];
    machine.heap("system", &attributes)?;
    machine.file("/etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian 13\"\n")?;
    machine.file("/etc/rust-dma-heap/names", "* vidbuf system cached\n")?;
    machine.file("/etc/hostname", "secret-host\n")?;
    machine.file("/etc/passwd", "root:x:0:0::/:/bin/sh\n")?;
    machine.file(
        "/proc/meminfo",
        "MemTotal:  1024 kB\nSwapTotal: 0 kB\nCmaTotal: 64 kB\n",
    )?;
    machine.file("/sys/module/rust_dma_heap/srcversion", "ABCDEF\n")?;
    machine.file("/sys/module/rust_dma_heap/parameters/pooled_names", "-1\n")?;
    machine.file("/sys/kernel/mm/cma/reserved/total_pages", "16\n")?;
    for (group, kind) in [("0", "DMA-FQ"), ("1", "DMA"), ("2", "DMA-FQ")] {
        machine.file(
            &format!("/sys/kernel/iommu_groups/{group}/type"),
            &format!("{kind}\n"),
        )?;
    }
    machine.process(100, "secret-program")?;
    let buffer = FakeBuffer {
        inode: 9,
        size: 4096,
        exporter: "system",
        name: "secret-frame",
    };
    machine.descriptor(100, 5, &buffer)?;
    Ok(machine)
}

#[test]
fn what_it_has() -> io::Result<()> {
    let output = machine()?.dmaheap(&["report"]).output()?;
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "system: Debian 13",
        "MemTotal:  1024 kB",
        "srcversion: ABCDEF",
        "pooled_names: -1",
        "\"limit\": 536870912",
        "vidbuf: system",
        "system limit: 536870912",
        "reserved total_pages: 16",
        "DMA: 1 groups",
        "DMA-FQ: 2 groups",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    for part in ["secret", "SwapTotal"] {
        assert!(!text.contains(part), "{part} is nobody's business: {text}");
    }
    Ok(())
}

#[test]
fn a_file_has_what_was_shown() -> io::Result<()> {
    let machine = machine()?;
    let output = machine
        .dmaheap(&["report", "--output", "/etc/report.md"])
        .output()?;
    assert!(output.status.success());
    assert_eq!(
        machine.text("/etc/report.md")?,
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("read it before you send it"));
    Ok(())
}

#[test]
fn a_machine_without_anything_has_a_report_too() -> io::Result<()> {
    let output = FakeMachine::new()?.dmaheap(&["report"]).output()?;
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("not loaded"));
    Ok(())
}
