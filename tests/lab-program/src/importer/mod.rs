// SPDX-License-Identifier: GPL-2.0

//! `dmaheap-lab importer`: drives the test importer from the shell.
//!
//! [`step`] reads the steps, [`session`] does them, [`report`] shows them.

mod report;
mod session;
mod step;

use crate::cli::ImporterOptions;
use anyhow::Context as _;
use command_line::Outcome;
use command_line::output;
use command_line::quantity::format_size;
use dma_heap::Buffer;
use dma_heap::Heap;
use dma_heap::HeapInfo;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Importer;
use report::Done;
use report::Report;
use session::Session;
use session::timed;
use std::io::BufRead as _;
use std::io::IsTerminal as _;
pub(crate) use step::STEPS;
pub(crate) use step::Step;

/// The width of the first column where the steps are not known before.
const WIDTH: usize = 24;

/// Does the steps asked for, or those of standard input.
pub(crate) fn run(options: &ImporterOptions) -> anyhow::Result<Outcome> {
    let heap = match (&options.heap, options.fd) {
        (Some(heap), _) => Some(heap.clone()),
        (None, Some(_)) => None,
        (None, None) => match default_heap(&dma_heap::heaps()?) {
            Some(heap) => Some(heap),
            None => return Ok(Outcome::NoHeap),
        },
    };
    // Before anything is shown: without it, there is nothing to show.
    let (device_time, importer) = timed(|| device(options))?;
    let (buffer_time, buffer) = timed(|| match (&heap, options.fd) {
        (Some(heap), _) => Heap::open(heap)?.alloc(options.size),
        (None, Some((pid, fd))) => Buffer::of_process(pid.unwrap_or_else(std::process::id), fd),
        (None, None) => Err(dma_heap::Error::NotADmaBuf),
    })?;
    let width = match options.steps.iter().map(|step| step.text.len()).max() {
        Some(longest) => longest.max("device".len()),
        None => WIDTH,
    };
    let report = Report::start(options.json, width)?;
    let device = describe(options);
    report.done("device", device_time, &Done::Device { device })?;
    let done = Done::Buffer {
        size: buffer.len(),
        inode: buffer.inode()?,
        heap,
    };
    report.done("buffer", buffer_time, &done)?;

    let mut run = Run {
        session: Session::new(&importer, &buffer),
        report,
        keep_going: options.keep_going,
        failed: false,
    };
    if options.steps.is_empty() {
        run.standard_input()?;
    } else {
        for step in &options.steps {
            if !run.step(&step.text, Ok(step))? {
                break;
            }
        }
    }
    Ok(if run.failed {
        Outcome::Bad
    } else {
        Outcome::Good
    })
}

/// A heap of the module if there is one, and one that needs no contiguous
/// memory if there is one.
fn default_heap(heaps: &[HeapInfo]) -> Option<String> {
    heaps
        .iter()
        .min_by_key(|heap| (!heap.is_ours(), heap.attribute("contiguous") == Some(1)))
        .map(|heap| heap.name.clone())
}

fn device(options: &ImporterOptions) -> Result<Importer, dma_heap::Error> {
    match options.edu {
        Some(index) => Importer::with_edu(index),
        None => Importer::with_device(settings(options)),
    }
}

fn settings(options: &ImporterOptions) -> DeviceSettings {
    let default = DeviceSettings::default();
    DeviceSettings {
        mask: match options.mask {
            0 => 0,
            bits => u64::MAX >> (u64::BITS - u32::from(bits.min(64))),
        },
        max_segment_size: options.max_segment.unwrap_or(default.max_segment_size),
        segment_boundary_mask: options.boundary.map_or(0, |boundary| boundary - 1),
    }
}

/// The device, for people.
fn describe(options: &ImporterOptions) -> String {
    if let Some(index) = options.edu {
        return format!("edu device {index}");
    }
    let mut text = match options.mask {
        0 => "device in software without DMA mask".to_owned(),
        bits => format!("device in software, {bits} address bits"),
    };
    if let Some(size) = options.max_segment {
        text += &format!(", segments of at most {}", format_size(size.into()));
    }
    if let Some(boundary) = options.boundary {
        text += &format!(", none across {}", format_size(boundary));
    }
    text
}

/// Steps on their way.
struct Run<'s> {
    session: Session<'s>,
    report: Report,
    keep_going: bool,
    failed: bool,
}

impl Run<'_> {
    /// Does a step, or says why it is none. Returns whether to go on.
    fn step(&mut self, text: &str, step: Result<&Step, String>) -> anyhow::Result<bool> {
        let result = step
            .map_err(anyhow::Error::msg)
            .and_then(|step| self.session.run(step));
        match result {
            Ok((time, done)) => self.report.done(text, time, &done)?,
            Err(error) => {
                let error = format!("{error:#}");
                self.failed = true;
                self.report.failed(text, &error)?;
                output::note(&format!("{text}: {error}"));
            }
        }
        Ok(!self.failed || self.keep_going)
    }

    /// Does the steps of standard input, one a line.
    fn standard_input(&mut self) -> anyhow::Result<()> {
        let input = std::io::stdin().lock();
        if input.is_terminal() {
            output::note("steps, one a line (see `dmaheap-lab importer --help`); Ctrl-D ends");
            // Whoever types sees what failed, and types on.
            self.keep_going = true;
        }
        for line in input.lines() {
            let line = line.context("cannot read steps from standard input")?;
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let step: Result<Step, String> = text.parse();
            if !self.step(text, step.as_ref().map_err(String::clone))? {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::Command;
    use clap::Parser as _;

    fn options(arguments: &[&str]) -> Option<ImporterOptions> {
        let all = ["dmaheap-lab", "importer"].iter().chain(arguments);
        match Cli::try_parse_from(all).ok()?.command {
            Command::Importer(options) => Some(options),
            _ => None,
        }
    }

    #[test]
    fn devices() {
        let settings = |arguments: &[&str]| options(arguments).map(|o| settings(&o));
        assert_eq!(settings(&[]), Some(DeviceSettings::default()));
        let arguments = ["--mask=32", "--max-segment", "64K", "--boundary", "1M"];
        assert_eq!(
            settings(&arguments),
            Some(DeviceSettings {
                mask: 0xffff_ffff,
                max_segment_size: 65536,
                segment_boundary_mask: 0xf_ffff,
            })
        );
        assert!(settings(&["--mask=0"]).is_some_and(|s| s.mask == 0));
    }

    #[test]
    fn wrong_options_are_found() {
        for arguments in [
            &["--mask=65"][..],
            &["--boundary=3M"],
            &["--max-segment=4G"],
            &["--edu", "--mask=32"],
            &["--fd=3", "--heap=system"],
            &["--fd=3", "--size=1M"],
            &["--fd=x"],
            &["--fd=1:2:3"],
            &["mop"],
        ] {
            assert!(options(arguments).is_none(), "{arguments:?} were taken");
        }
    }

    #[test]
    fn an_option_takes_no_step_for_its_value() {
        let parsed = options(&["--edu", "attach", "map"]);
        assert!(parsed.is_some_and(|o| o.edu == Some(0) && o.steps.len() == 2));
        assert!(options(&["--edu=2"]).is_some_and(|o| o.edu == Some(2)));
        assert!(options(&["--fd=12:3"]).is_some_and(|o| o.fd == Some((Some(12), 3))));
        assert!(options(&["--fd", "3"]).is_some_and(|o| o.fd == Some((None, 3))));
    }
}
