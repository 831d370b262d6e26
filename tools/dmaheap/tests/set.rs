// SPDX-License-Identifier: GPL-2.0

//! Changing settings, on machines that are only files.

mod fake_machine;

use fake_machine::FakeMachine;
use std::io;

fn machine() -> io::Result<FakeMachine> {
    let mut machine = FakeMachine::new()?;
    machine.heap(
        "system",
        &[
            ("limit", "1048576"),
            ("user_limit", "524288"),
            ("pool_trim_ms", "5000"),
        ],
    )?;
    Ok(machine)
}

fn value(machine: &FakeMachine, attribute: &str) -> io::Result<String> {
    machine.text(&format!("/sys/class/dma_heap/system/{attribute}"))
}

#[test]
fn values_take_units_and_the_limit_comes_first() -> io::Result<()> {
    let machine = machine()?;
    machine.output(&[
        "set",
        "system",
        "user_limit=50%",
        "pool_trim_ms=2s",
        "limit=512M",
    ])?;
    assert_eq!(value(&machine, "limit")?, "536870912");
    assert_eq!(value(&machine, "user_limit")?, "268435456");
    assert_eq!(value(&machine, "pool_trim_ms")?, "2000");
    Ok(())
}

#[test]
fn nothing_is_written_unless_all_is_understood() -> io::Result<()> {
    let machine = machine()?;
    let output = machine
        .dmaheap(&["set", "system", "limit=1G", "colour=blue"])
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are: limit, user_limit"));
    assert_eq!(value(&machine, "limit")?, "1048576\n");
    Ok(())
}

#[test]
fn what_is_saved_is_for_the_next_time_too() -> io::Result<()> {
    let machine = machine()?;
    let saved = "/etc/rust-dma-heap/settings.saved";
    machine.output(&["set", "system", "limit=1G"])?;
    assert!(machine.text(saved).is_err(), "it was not asked for");
    machine.output(&["set", "system", "limit=2G", "--save"])?;
    machine.output(&[
        "set",
        "/dev/dma_heap/system",
        "limit=512M",
        "user_limit=50%",
        "--save",
    ])?;
    assert_eq!(machine.text(saved)?, "system limit=512M user_limit=50%\n");
    Ok(())
}
