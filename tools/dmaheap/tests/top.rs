// SPDX-License-Identifier: GPL-2.0

//! The live view, on machines that are only files. (Its frames have tests beside its source.)

mod fake_machine;

use expect_test::expect;
use fake_machine::FakeBuffer;
use fake_machine::FakeMachine;
use pty_process::Size;
use pty_process::blocking::Command;
use pty_process::blocking::Pty;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::process::Child;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// A frame may come late on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with the live view in it.
struct LiveView {
    pty: Arc<Pty>,
    screen: Arc<Mutex<vt100::Parser>>,
    program: Child,
}

impl LiveView {
    /// Starts it on a terminal of so many lines and columns.
    fn start(machine: &FakeMachine, lines: u16, columns: u16) -> io::Result<Self> {
        let (pty, pts) = pty_process::blocking::open().map_err(io::Error::other)?;
        pty.resize(Size::new(lines, columns))
            .map_err(io::Error::other)?;
        let command = machine.command(&["top", "--delay", "100ms"]);
        let program = Command::new(command.get_program())
            .args(command.get_args())
            .env("TERM", "xterm-256color")
            .spawn(pts)
            .map_err(io::Error::other)?;
        let pty = Arc::new(pty);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let (terminal, parser) = (pty.clone(), screen.clone());
        // Ends with the program, when nobody has the other side open any more.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = (&*terminal).read(&mut bytes) {
                let mut parser = parser.lock().unwrap_or_else(PoisonError::into_inner);
                parser.process(bytes.get(..count).unwrap_or_default());
            }
        });
        Ok(Self {
            pty,
            screen,
            program,
        })
    }

    fn resize(&self, lines: u16, columns: u16) -> io::Result<()> {
        let mut parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        parser.set_size(lines, columns);
        self.pty
            .resize(Size::new(lines, columns))
            .map_err(io::Error::other)
    }

    fn press(&self, key: &str) -> io::Result<()> {
        (&*self.pty).write_all(key.as_bytes())
    }

    fn text(&self) -> String {
        let parser = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        parser.screen().contents()
    }

    /// Waits until the screen is as `wanted` says.
    fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
        let begin = Instant::now();
        while !wanted(&self.text()) {
            if begin.elapsed() > PATIENCE {
                let text = self.text();
                return Err(io::Error::other(format!("no {what} on this:\n{text}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

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

#[test]
fn a_live_view_follows_the_machine_its_keys_and_its_window() -> io::Result<()> {
    let mut machine = FakeMachine::new()?;
    machine.heap("system", &[("used", "8388608"), ("limit", "536870912")])?;
    machine.process(100, "camera")?;
    let mut view = LiveView::start(&machine, 24, 80)?;
    view.wait_for("heap", |text| text.contains("8 MiB    512 MiB"))?;

    machine.file("/sys/class/dma_heap/system/used", "16777216\n")?;
    view.wait_for("new value", |text| text.contains("16 MiB    512 MiB"))?;

    let frame = FakeBuffer {
        inode: 9,
        size: 16 << 20,
        exporter: "system",
        name: "frame",
    };
    machine.descriptor(100, 5, &frame)?;
    view.wait_for("process", |text| text.contains("camera"))?;
    view.press("b")?;
    view.wait_for("buffer", |text| text.contains("frame"))?;

    // The keys are told of in the last line, wherever that is.
    let tells_keys = |text: &str, line: usize| {
        let last = text.lines().nth(line - 1);
        last.is_some_and(|last| last.contains("quit"))
    };
    view.wait_for("keys", |text| tells_keys(text, 24))?;
    view.resize(16, 60)?;
    view.wait_for("keys in a smaller window", |text| tells_keys(text, 16))?;
    view.resize(40, 120)?;
    view.wait_for("keys in a larger window", |text| tells_keys(text, 40))?;

    view.press("q")?;
    let begin = Instant::now();
    while view.program.try_wait()?.is_none() {
        assert!(begin.elapsed() < PATIENCE, "it goes on after `q`");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(view.program.wait()?.success());
    let parser = view.screen.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(
        !parser.screen().alternate_screen(),
        "the terminal is as before"
    );
    assert!(!parser.screen().hide_cursor());
    Ok(())
}
