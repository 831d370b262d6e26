// SPDX-License-Identifier: GPL-2.0

//! Frames of machines that are made up.

use super::Next;
use super::frame;
use super::model::List;
use super::model::Model;
use super::model::Order;
use super::press;
use super::sample::Area;
use super::sample::Sample;
use crate::counters::Reading;
use crate::dma_bufs::DmaBuf;
use crate::dma_bufs::Holder;
use crate::dma_bufs::Process;
use crate::dma_bufs::Survey;
use expect_test::expect;
use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyModifiers;
use std::time::Duration;
use std::time::Instant;

/// A second, or what it stands for, between two samples.
const SECOND: Duration = Duration::from_secs(1);

fn buffer(size: u64, exporter: &str, name: &str, pids: &[i32]) -> DmaBuf {
    DmaBuf {
        size: Some(size),
        exporter: Some(exporter.into()),
        name: Some(name.into()),
        holders: pids
            .iter()
            .map(|&pid| {
                let holder = Holder {
                    pid,
                    descriptors: vec![3],
                    ..Holder::default()
                };
                (pid, holder)
            })
            .collect(),
        ..DmaBuf::default()
    }
}

/// The machine `seconds` after the first sample: the camera has a frame more each second.
fn sample(start: Instant, seconds: u32) -> Sample {
    let mut survey = Survey::default();
    for (pid, command) in [(100, "camera"), (200, "viewer")] {
        let command = command.to_owned();
        survey.processes.insert(
            pid,
            Process {
                pid,
                uid: 0,
                command,
            },
        );
    }
    for frame in 0..=u64::from(seconds) {
        let name = format!("frame {frame}");
        survey.buffers.insert(
            10 + frame,
            buffer(8 << 20, "default_cma_region", &name, &[100]),
        );
    }
    survey
        .buffers
        .insert(5, buffer(64 << 10, "system", "", &[100, 200]));
    let allocations = 7 + 3 * u64::from(seconds);
    Sample {
        time: start + SECOND * seconds,
        heaps: vec![
            Reading::made_up(
                "default_cma_region",
                &[
                    ("used", (8 << 20) * (u64::from(seconds) + 1)),
                    ("limit", 64 << 20),
                    ("pool_held", 0),
                    ("allocations", allocations),
                    ("failures", 0),
                    ("maps", 60 * u64::from(seconds)),
                    ("hits", (6 << 20) * u64::from(seconds)),
                    ("misses", (2 << 20) * u64::from(seconds)),
                ],
            ),
            Reading::made_up("system", &[("used", 64 << 10), ("limit", 512 << 20)]),
        ],
        survey,
        areas: vec![Area {
            name: "reserved".into(),
            total: 64 << 20,
            free: Some(40 << 20),
            largest: Some(32 << 20),
        }],
        pressure: Some((1.25, 0.0)),
    }
}

fn model() -> Model {
    let start = Instant::now();
    let mut model = Model::new(sample(start, 0), List::Processes);
    model.advance(sample(start, 1));
    model
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn a_frame_with_processes() -> anyhow::Result<()> {
    expect![[r#"
        3 dma-bufs, 16 MiB, in 2 processes   memory pressure: some 1.2 %, full 0.0 %

        HEAP                      USED      LIMIT       POOL ALLOC/s  HITS FAIL/s MAPS/s
        default_cma_region      16 MiB     64 MiB        0 B     3.0  75 %    0.0   60.0
        system                  64 KiB    512 MiB          -       -     -      -      -

        CONTIGUOUS AREA                                TOTAL         FREE    LARGEST RUN
        reserved                                      64 MiB       40 MiB         32 MiB

             PID COMMAND              BUFFERS       SIZE      GROWTH EXPORTERS
             100 camera                     3     16 MiB      +8 MiB default_cma_region
             200 viewer                     1     64 KiB           - system
    "#]]
    .assert_eq(&frame(&model(), 80, 24)?);
    Ok(())
}

#[test]
fn a_frame_with_buffers() -> anyhow::Result<()> {
    let mut model = model();
    press(&mut model, key(KeyCode::Char('b')));
    expect![[r#"
        3 dma-bufs, 16 MiB, in 2 processes   memory pressure: some 1.2 %, full 0.0 %

        HEAP                      USED      LIMIT       POOL ALLOC/s  HITS FAIL/s MAPS/s
        default_cma_region      16 MiB     64 MiB        0 B     3.0  75 %    0.0   60.0
        system                  64 KiB    512 MiB          -       -     -      -      -

        CONTIGUOUS AREA                                TOTAL         FREE    LARGEST RUN
        reserved                                      64 MiB       40 MiB         32 MiB

           INODE NAME                  SHARED       SIZE      GROWTH EXPORTER
              10 frame 0                    1      8 MiB           - default_cma_region
              11 frame 1                    1      8 MiB      +8 MiB default_cma_region
               5                            2     64 KiB           - system
    "#]]
    .assert_eq(&frame(&model, 80, 24)?);
    Ok(())
}

#[test]
fn a_small_screen_has_the_list_cut_off() -> anyhow::Result<()> {
    let mut model = model();
    press(&mut model, key(KeyCode::Char('b')));
    press(&mut model, key(KeyCode::Down));
    for (columns, lines) in [(40, 12), (10, 3), (1, 1)] {
        // It must not panic, whatever the size.
        frame(&model, columns, lines)?;
    }
    let text = frame(&model, 80, 13)?;
    assert!(
        !text.contains("frame 0") || !text.contains("frame 1"),
        "{text}"
    );
    Ok(())
}

#[test]
fn keys_sort_and_end() {
    let mut model = model();
    let first = |model: &Model| model.lines().first().map(|it| it.number);
    assert_eq!(first(&model), Some(100));
    press(&mut model, key(KeyCode::Char('r')));
    assert_eq!(first(&model), Some(200));
    press(&mut model, key(KeyCode::Char('r')));
    for order in [Order::Growth, Order::Name, Order::Number, Order::Size] {
        press(&mut model, key(KeyCode::Char('s')));
        assert_eq!(model.order, order);
    }
    press(&mut model, key(KeyCode::Char(' ')));
    assert!(model.is_paused);
    for code in [KeyCode::Char('q'), KeyCode::Esc] {
        assert_eq!(press(&mut model, key(code)), Next::Quit);
    }
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut model, control_c), Next::Quit);
}

#[test]
fn the_first_sample_has_no_rates() -> anyhow::Result<()> {
    let model = Model::new(sample(Instant::now(), 0), List::Processes);
    assert_eq!(model.rate("default_cma_region", "allocations"), None);
    assert!(model.lines().iter().all(|it| it.growth == 0));
    Ok(())
}
