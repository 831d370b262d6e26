// SPDX-License-Identifier: GPL-2.0

//! The live view, on machines that are only files. (Its frames have tests beside its source.)

mod fake_machine;

use expect_test::expect;
use fake_machine::FakeBuffer;
use fake_machine::FakeMachine;
use std::io;

#[test]
fn one_frame_of_the_machine() -> io::Result<()> {
    let mut machine = FakeMachine::new()?;
    machine.heap("system", &[("used", "8388608"), ("limit", "536870912")])?;
    machine.file("/sys/kernel/debug/rust_dma_heap/system/allocations", "1\n")?;
    machine.process(100, "camera")?;
    let frame = FakeBuffer {
        inode: 9,
        size: 8 << 20,
        exporter: "system",
        name: "frame",
    };
    machine.descriptor(100, 5, &frame)?;
    let pages = (64 << 20) / rustix::param::page_size();
    for (file, pages) in [("total_pages", pages), ("available_pages", pages / 2)] {
        machine.file(
            &format!("/sys/kernel/mm/cma/reserved/{file}"),
            &format!("{pages}\n"),
        )?;
    }
    // In pages, whatever a bit of the area's map stands for.
    machine.file(
        "/sys/kernel/debug/cma/reserved/maxchunk",
        &format!("{}\n", pages / 4),
    )?;
    machine.file("/sys/kernel/debug/cma/reserved/order_per_bit", "2\n")?;
    machine.file(
        "/proc/pressure/memory",
        "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n\
         full avg10=3.00 avg60=0.00 avg300=0.00 total=1\n",
    )?;
    expect![[r#"
        1 dma-buf, 8 MiB, in 1 process   memory pressure: some 12.5 %, full 3.0 %

        HEAP                      USED      LIMIT       POOL ALLOC/s  HITS FAIL/s MAPS/s
        system                   8 MiB    512 MiB          -     0.0     -      -      -

        CONTIGUOUS AREA                                TOTAL         FREE    LARGEST RUN
        reserved                                      64 MiB       32 MiB         16 MiB

             PID COMMAND              BUFFERS       SIZE      GROWTH EXPORTERS
             100 camera                     1      8 MiB           - system
    "#]]
    .assert_eq(&machine.output(&["top", "--once", "--delay", "10ms"])?);
    Ok(())
}

#[test]
fn a_live_view_needs_a_terminal() -> io::Result<()> {
    let output = FakeMachine::new()?.dmaheap(&["top"]).output()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--once"));
    Ok(())
}
