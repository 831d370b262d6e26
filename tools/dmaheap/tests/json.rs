// SPDX-License-Identifier: GPL-2.0

//! The JSON of each command that needs no memory of a heap is as docs/schemas says.

mod common;
mod fake_machine;

use common::Result;
use dmaheap_schemas as schema;
use fake_machine::FakeBuffer;
use fake_machine::FakeMachine;

fn machine() -> Result<FakeMachine> {
    let mut machine = FakeMachine::new()?;
    machine.heap(
        "system",
        &[
            ("contiguous", "0"),
            ("limit", "536870912"),
            ("used", "4096"),
        ],
    )?;
    machine.heap("reserved", &[])?;
    machine.file("/sys/kernel/debug/rust_dma_heap/system/hits", "4096\n")?;
    machine.process(100, "camera")?;
    let frame = FakeBuffer {
        inode: 9,
        size: 4096,
        exporter: "system",
        name: "frame",
    };
    machine.descriptor(100, 5, &frame)?;
    machine.mapping(100, 0x7f00_0000_0000, &frame)?;
    let device = "/sys/devices/pci0000:00/0000:00:02.0";
    machine.file(&format!("{device}/dma_mask_bits"), "32\n")?;
    machine.link("/sys/bus/pci/devices/0000:00:02.0", device)?;
    Ok(machine)
}

#[test]
fn what_commands_print() -> Result {
    let machine = machine()?;
    for (name, arguments) in [
        ("list", vec!["list", "--json"]),
        ("names", vec!["names", "--json"]),
        ("holders", vec!["holders", "--json"]),
        ("stats", vec!["stats", "--json"]),
        ("which", vec!["which", "0000:00:02.0", "--json"]),
    ] {
        let output = machine.dmaheap(&arguments).output()?;
        let values = schema::read(name, &output.stdout)?;
        assert_eq!(values.len(), 1, "{name}");
    }
    Ok(())
}

#[test]
fn what_they_print_where_there_is_nothing() -> Result {
    let machine = FakeMachine::new()?;
    for name in ["list", "names", "holders", "stats", "verify"] {
        let output = machine.dmaheap(&[name, "--json"]).output()?;
        schema::read(name, &output.stdout)?;
    }
    Ok(())
}
