// SPDX-License-Identifier: GPL-2.0

//! Which heap serves some devices, on machines that are only files.

mod fake_machine;

use expect_test::expect;
use fake_machine::FakeMachine;
use std::io;

/// A machine of 4 GiB with two devices on its PCI bus, one of them behind an IOMMU.
fn machine() -> io::Result<FakeMachine> {
    let mut machine = FakeMachine::new()?;
    machine.heap("system", &[("contiguous", "0")])?;
    machine.heap("default_cma_region", &[("contiguous", "1")])?;
    let pages = (4u64 << 30) / rustix::param::page_size() as u64;
    machine.file(
        "/proc/zoneinfo",
        &format!("Node 0, zone DMA32\n        spanned  {pages}\n        start_pfn:  0\n"),
    )?;
    for (device, bits) in [
        ("0000:00:02.0", "32"),
        ("0000:00:03.0", "64"),
        ("0000:00:04.0", "28"),
    ] {
        let folder = format!("/sys/devices/pci0000:00/{device}");
        machine.file(&format!("{folder}/uevent"), "")?;
        machine.file(&format!("{folder}/dma_mask_bits"), &format!("{bits}\n"))?;
        machine.link(&format!("/sys/bus/pci/devices/{device}"), &folder)?;
    }
    machine.file(
        "/sys/devices/pci0000:00/0000:00:03.0/iommu_group/type",
        "DMA-FQ\n",
    )?;
    machine.link(
        "/sys/devices/pci0000:00/0000:00:02.0/driver",
        "/sys/bus/pci/drivers/bochs",
    )?;
    machine.file("/sys/bus/pci/drivers/bochs/bind", "")?;
    // The node of a device of the first.
    machine.link(
        "/sys/dev/char/1:8/device",
        "/sys/devices/pci0000:00/0000:00:02.0",
    )?;
    Ok(machine)
}

#[test]
fn one_behind_an_iommu_takes_any() -> io::Result<()> {
    expect![[r#"
        DEVICE        NAME          DRIVER  ADDRESSES  IOMMU   RANGE
        0000:00:03.0  0000:00:03.0  -       any        DMA-FQ  unknown: attach once

        HEAP                SERVES THEM  WHAT IS IN DOUBT
        system              yes          -
        default_cma_region  yes          -
    "#]]
    .assert_eq(&machine()?.output(&["which", "0000:00:03.0"])?);
    Ok(())
}

#[test]
fn one_without_may_want_one_range() -> io::Result<()> {
    // /dev/random stands for a card's node.
    expect![[r#"
        DEVICE        NAME          DRIVER  ADDRESSES         IOMMU   RANGE
        /dev/random   0000:00:02.0  bochs   up to 0xffffffff  none    unknown: attach once
        0000:00:03.0  0000:00:03.0  -       any               DMA-FQ  unknown: attach once

        HEAP                SERVES THEM  WHAT IS IN DOUBT
        default_cma_region  yes          -
        system              perhaps      /dev/random: it has no IOMMU, and may want one physically contiguous range
    "#]].assert_eq(&machine()?.output(&["which", "/dev/random", "0000:00:03.0"])?);
    Ok(())
}

#[test]
fn json() -> io::Result<()> {
    expect![[r#"
        {
          "devices": [
            {
              "asked": "0000:00:04.0",
              "name": "0000:00:04.0",
              "driver": null,
              "last_address": 268435455,
              "iommu": null,
              "max_segment": null,
              "was_seen": false
            }
          ],
          "heaps": [
            {
              "heap": "system",
              "answer": "perhaps",
              "why": "it reaches addresses up to 0xfffffff, and memory may lie beyond",
              "device": "0000:00:04.0"
            },
            {
              "heap": "default_cma_region",
              "answer": "perhaps",
              "why": "it reaches addresses up to 0xfffffff, and memory may lie beyond",
              "device": "0000:00:04.0"
            }
          ]
        }
    "#]]
    .assert_eq(&machine()?.output(&["which", "0000:00:04.0", "--json"])?);
    Ok(())
}

#[test]
fn what_is_no_device_is_told() -> io::Result<()> {
    for asked in ["/dev/nothing", "0000:09:09.9", "/etc"] {
        let output = machine()?.dmaheap(&["which", asked]).output()?;
        assert_eq!(output.status.code(), Some(1), "{asked}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is no device"));
    }
    Ok(())
}
