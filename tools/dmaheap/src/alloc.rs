// SPDX-License-Identifier: GPL-2.0

//! `dmaheap alloc`.

use crate::Outcome;
use crate::cli::AllocOptions;
use crate::output;
use anyhow::Context as _;
use dma_heap::Buffer;
use dma_heap::Heap;
use rustix::process::Resource;
use rustix::process::Rlimit;
use serde::Serialize;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::fmt::Write as _;
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;

/// A buffer as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    fd: i32,
    inode: u64,
    size: u64,
}

/// The whole answer as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    heap: &'a str,
    pid: u32,
    name: Option<&'a str>,
    buffers: &'a [Row],
}

/// Allocates, shows and holds.
pub(crate) fn run(options: &AllocOptions) -> anyhow::Result<Outcome> {
    let heap = match Heap::open(&options.heap) {
        Ok(heap) => heap,
        // Only now: whoever may open one heap may perhaps not look into the directory.
        Err(error) => {
            return match dma_heap::heaps() {
                Ok(heaps) if heaps.is_empty() => Ok(Outcome::NoHeap),
                _ => Err(error.into()),
            };
        }
    };
    // Before the first allocation, so that a signal during a long run of them
    // ends the command as cleanly as one later.
    let stop = stop_signals()?;
    raise_file_limit();
    let mut buffers: Vec<Buffer> = Vec::new();
    for number in 1..=options.count {
        if stop.try_recv().is_ok() {
            return Ok(Outcome::Good);
        }
        let buffer = heap
            .alloc(options.size)
            .with_context(|| format!("buffer {number} of {}", options.count))?;
        if let Some(name) = &options.name {
            buffer.set_name(name)?;
        }
        buffers.push(buffer);
    }
    show(options, &buffers)?;
    match options.hold {
        // Either way, a signal or the end of time, the buffers go.
        Some(time) => drop(stop.recv_timeout(time)),
        None => drop(stop.recv()),
    }
    Ok(Outcome::Good)
}

fn show(options: &AllocOptions, buffers: &[Buffer]) -> anyhow::Result<()> {
    let rows = buffers
        .iter()
        .map(|buffer| {
            Ok(Row {
                fd: buffer.as_fd().as_raw_fd(),
                inode: buffer.inode()?,
                size: buffer.len(),
            })
        })
        .collect::<Result<Vec<Row>, dma_heap::Error>>()?;
    if options.json {
        return output::print_json(&Document {
            heap: &options.heap,
            pid: std::process::id(),
            name: options.name.as_deref(),
            buffers: &rows,
        });
    }
    let mut text = String::new();
    for row in rows {
        writeln!(text, "fd={} inode={} size={}", row.fd, row.inode, row.size)?;
    }
    output::print_text(&text)
}

/// Receives once for every signal that asks us to end.
fn stop_signals() -> anyhow::Result<Receiver<()>> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot install signal handlers")?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                if sender.send(()).is_err() {
                    return;
                }
            }
        })
        .context("cannot start a thread")?;
    Ok(receiver)
}

/// Each buffer is an open file: allows as many as the hard limit does. Without
/// that there are just fewer, and running out of them is reported as such.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}
