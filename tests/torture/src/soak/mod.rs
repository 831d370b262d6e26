// SPDX-License-Identifier: GPL-2.0

//! `soak`: processes that use the heaps and are killed at any point, for a long
//! time, on a machine on which memory, processors and the module itself come and
//! go. At the end nothing is left.

mod hog;
mod module;
mod trouble;
mod worker;

use crate::heaps;
use crate::heaps::Knobs;
use anyhow::Context as _;
use dma_heap::rng::Rng;
use dmaheap_tap::Tap;
use module::Module;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;
use trouble::Trouble;
use worker::DEEDS;

/// Options of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds to go on for
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The number that an earlier run has printed
    #[arg(long, value_parser = crate::number)]
    seed: Option<u64>,
    /// Processes that use the heaps
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// The module's file, to unload it now and then, and load it again
    #[arg(long)]
    module: Option<PathBuf>,
    /// How many times as long as usual the machine may take for anything
    #[arg(long, default_value_t = 1)]
    patience: u64,
    /// The heaps [default: all of the module rust_dma_heap]
    heaps: Vec<String>,
    /// What a process is told: the name of the run
    #[arg(long, hide = true)]
    run: Option<u32>,
    /// And which of the workers it is, or that it takes memory
    #[arg(long, hide = true)]
    role: Option<String>,
}

/// How long a process may take to be dead once it was killed.
const DEATH: Duration = Duration::from_secs(30);
/// How many times as long as it was asked to a soak may take, until each thing has happened.
const LONGEST: u32 = 3;
/// Between two attempts to unload the module while it is used.
const ATTEMPTS: Duration = Duration::from_millis(900);
/// How many times as long as it was away the module stays.
const AWAY: u32 = 10;
/// Between two times at which everybody stops, so that it can be.
const PAUSES: Duration = Duration::from_secs(25);

/// The name of the process that takes memory.
const HOG: &str = "hog";

/// The exit status of a worker that found no heap.
const NO_HEAP: i32 = 3;

/// What the processes have said.
#[derive(Default)]
struct Said {
    deeds: [u64; DEEDS.len()],
    /// Bytes that were taken to make memory scarce.
    eaten: u64,
    findings: Vec<String>,
}

impl Arguments {
    fn patience(&self) -> u32 {
        u32::try_from(self.patience).unwrap_or(1).max(1)
    }
}

struct Soak {
    arguments: Arguments,
    seed: u64,
    rng: Rng,
    /// Processes started so far: each gets random numbers of its own.
    started: u64,
    workers: Vec<Option<Child>>,
    said: Arc<Mutex<Said>>,
    module: Module,
    kills: u64,
    /// Workers that found no heap.
    late: u64,
    findings: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => dma_heap::pattern::random_word()?,
    };
    let workers = arguments.workers.clamp(1, 64);
    // What the workers can have at most.
    let spare = worker::MOST * workers as u64;
    if let (Some(run), Some(role)) = (arguments.run, &arguments.role) {
        if role == HOG {
            hog::run(spare, arguments.patience())?;
            return Ok(ExitCode::SUCCESS);
        }
        let Ok(heaps) = heaps::chosen(&arguments.heaps) else {
            return Ok(ExitCode::from(u8::try_from(NO_HEAP)?));
        };
        let ended = worker::run(&worker::Task {
            seed,
            index: role.parse()?,
            workers,
            run,
            heaps,
        });
        return match ended {
            Err(error) if is_gone(&error) => Ok(ExitCode::from(u8::try_from(NO_HEAP)?)),
            ended => ended.map(|()| ExitCode::SUCCESS),
        };
    }

    let heaps = heaps::chosen(&arguments.heaps)?;
    let mut report = Tap::start();
    report.note(&format!("soak --seed={seed:#x} --workers={workers}"));
    let knobs = Knobs::of(&heaps)?;
    let free = free_memory(&heaps)?;
    let watermark = hog::Watermark::raise(spare)?;
    let trouble = Arc::new(Trouble::default());
    let mut soak = Soak {
        module: Module::new(arguments.module.clone(), heaps.clone()),
        arguments,
        seed,
        rng: Rng::new(seed),
        started: 0,
        workers: (0..workers).map(|_| None).collect(),
        said: Arc::default(),
        kills: 0,
        late: 0,
        findings: Vec::new(),
    };
    let threads = soak.make_trouble(&trouble, &heaps);
    let mut hog = soak.spawn(HOG)?;
    let ended = soak.go_on(&trouble);
    if let Err(error) = ended {
        soak.findings.push(format!("{error:#}"));
    }
    trouble.end();
    for thread in threads {
        soak.join(thread);
    }
    soak.kill_all();
    if let Ok(Some(status)) = hog.try_wait() {
        soak.findings
            .push(format!("the process that takes memory ended with {status}"));
    }
    soak.end(&mut hog);
    drop(watermark);
    soak.findings.extend(trouble.findings());
    soak.tell(&mut report, &trouble);
    heaps::expect_idle(&mut report, &heaps);
    expect_memory(&mut report, &heaps, free);
    soak.expect_unloading(&mut report);
    // The module's own, if it was loaded again, are as they were.
    if knobs.restore().is_err() {
        report.note("the knobs are those of the module that was just loaded");
    }
    Ok(report.finish())
}

impl Soak {
    fn patience(&self) -> u32 {
        self.arguments.patience()
    }

    fn make_trouble(
        &mut self,
        trouble: &Arc<Trouble>,
        heaps: &[String],
    ) -> Vec<std::thread::JoinHandle<()>> {
        let mut rng = || Rng::new(self.rng.word());
        let (first, second, third) = (rng(), rng(), rng());
        let of = || trouble.clone();
        let (cpus, memory, knobs) = (of(), of(), of());
        let heaps = heaps.to_vec();
        vec![
            std::thread::spawn(move || trouble::move_processors(&cpus, first)),
            std::thread::spawn(move || trouble::move_memory(&memory, second)),
            std::thread::spawn(move || trouble::turn_knobs(&knobs, &heaps, third)),
        ]
    }

    /// Waits for a thread, but not for ever.
    fn join(&mut self, thread: std::thread::JoinHandle<()>) {
        let end = Instant::now() + DEATH * self.patience();
        while !thread.is_finished() {
            if Instant::now() > end {
                let place = heaps::where_it_hangs(std::process::id());
                self.findings
                    .push(format!("what was written to sysfs hangs:\n{place}"));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if thread.join().is_err() {
            self.findings.push("a thread has panicked".into());
        }
    }

    fn spawn(&mut self, role: &str) -> anyhow::Result<Child> {
        self.started += 1;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("soak")
            .arg(format!("--seed={}", self.seed.wrapping_add(self.started)))
            .arg(format!("--workers={}", self.workers.len()))
            .arg(format!("--run={}", std::process::id()))
            .arg(format!("--patience={}", self.patience()))
            .arg(format!("--role={role}"))
            .args(&self.arguments.heaps)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no pipe to a process")?;
        let said = self.said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let Ok(mut said) = said.lock() else { return };
                if let Some(eaten) = line.strip_prefix("ate ") {
                    said.eaten += eaten.parse().unwrap_or(0);
                } else if worker::add_line(&mut said.deeds, &line).is_none() {
                    said.findings.push(line);
                }
            }
        });
        Ok(child)
    }

    /// Kills a process and waits until it is dead. Returns its status, if it had
    /// ended before.
    fn end(&mut self, child: &mut Child) -> Option<std::process::ExitStatus> {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        // It may end by itself at this moment.
        let _ = child.kill();
        let end = Instant::now() + DEATH * self.patience();
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let place = heaps::where_it_hangs(child.id());
                self.findings
                    .push(format!("a killed process does not die:\n{place}"));
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    fn kill(&mut self, index: usize) {
        let Some(mut child) = self.workers.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.kills += 1;
        if let Some(status) = self.end(&mut child) {
            self.ended(index, status);
        }
    }

    /// A worker ends when it is killed only.
    fn ended(&mut self, index: usize, status: std::process::ExitStatus) {
        if status.code() == Some(NO_HEAP) && self.module.unloads > 0 {
            self.late += 1;
        } else {
            self.findings
                .push(format!("worker {index} ended with {status}"));
        }
    }

    fn kill_all(&mut self) {
        // All at once, and then wait: they die beside each other.
        for child in self.workers.iter_mut().flatten() {
            let _ = child.kill();
        }
        for worker in 0..self.workers.len() {
            if let Some(mut child) = self.workers.get_mut(worker).and_then(Option::take) {
                self.kills += 1;
                self.end(&mut child);
            }
        }
    }

    fn start_missing(&mut self) -> anyhow::Result<()> {
        for index in 0..self.workers.len() {
            let ended = match self.workers.get_mut(index) {
                Some(Some(child)) => child.try_wait()?,
                _ => None,
            };
            if let Some(status) = ended {
                self.ended(index, status);
                if let Some(worker) = self.workers.get_mut(index) {
                    *worker = None;
                }
            }
            if matches!(self.workers.get(index), Some(None)) {
                let child = self.spawn(&index.to_string())?;
                if let Some(worker) = self.workers.get_mut(index) {
                    *worker = Some(child);
                }
            }
        }
        Ok(())
    }

    /// Whether each thing has happened that a soak is for.
    fn is_complete(&self, trouble: &Trouble) -> bool {
        let done = |number: &std::sync::atomic::AtomicU64| number.load(Relaxed) > 0;
        let said = self
            .said
            .lock()
            .is_ok_and(|said| said.eaten > 0 && said.deeds.iter().all(|count| *count > 0));
        let unloading = self.module.unloads > 0 && self.module.refusals > 0;
        said && self.kills > 0
            && self.module.reclaimed() >> 20 > 0
            && done(&trouble.knobs)
            && done(&trouble.caches)
            && (done(&trouble.processors) || trouble::processors().is_empty())
            && (done(&trouble.memory) || trouble::memory().is_empty())
            && (unloading || !self.may_unload())
    }

    /// For as long as was asked for; on a machine where all takes longer, until each thing has
    /// happened, but not for ever.
    fn go_on(&mut self, trouble: &Trouble) -> anyhow::Result<()> {
        let time = Duration::from_secs(self.arguments.seconds);
        let (end, last_end) = (Instant::now() + time, Instant::now() + time * LONGEST);
        let mut attempt = Instant::now() + ATTEMPTS * self.patience();
        let mut pause = Instant::now() + PAUSES;
        let mut kill = Instant::now();
        let goes_on = |soak: &Self| {
            let now = Instant::now();
            now < end || now < last_end && !soak.is_complete(trouble)
        };
        while goes_on(self) && self.findings.len() < 20 {
            self.start_missing()?;
            std::thread::sleep(Duration::from_millis(10));
            if Instant::now() >= kill {
                let next = self.rng.below(20..600);
                kill = Instant::now() + Duration::from_millis(next as u64) * self.patience();
                let index = self.rng.below(0..self.workers.len());
                self.kill(index);
            }
            if Instant::now() >= attempt {
                let start = Instant::now();
                // With nobody at work for a moment it may even be done.
                if self.may_unload() && self.module.unload()? {
                    self.module.load()?;
                }
                // Most of the time it is there, also where a kernel takes seconds to let go of it.
                let rest = (start.elapsed() * AWAY).max(ATTEMPTS * self.patience());
                attempt = Instant::now() + rest;
            }
            if Instant::now() >= pause && self.may_unload() {
                self.unload_at_rest()?;
                pause = Instant::now() + PAUSES;
            }
        }
        Ok(())
    }

    /// Only who can load it again may unload it.
    fn may_unload(&self) -> bool {
        self.module.path.is_some()
    }

    /// Kills all and unloads the module as soon as that can be.
    fn unload_at_rest(&mut self) -> anyhow::Result<()> {
        for child in self.workers.iter_mut().flatten() {
            let _ = child.kill();
        }
        let end = Instant::now() + DEATH * self.patience();
        // While they die.
        while !self.module.unload()? {
            if Instant::now() > end {
                anyhow::bail!(
                    "nobody is left, but the module has {:?} users",
                    heaps::users()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill_all();
        self.module.load()
    }

    fn tell(&mut self, report: &mut Tap, trouble: &Trouble) {
        if let Ok(said) = self.said.lock() {
            for (deed, count) in DEEDS.iter().zip(said.deeds) {
                report.expect(count > 0, &format!("{deed}: {count}"), "never done");
            }
            report.expect(
                said.eaten > 0,
                &format!("memory pressure: {} MiB", said.eaten >> 20),
                "nobody took memory",
            );
            self.findings.extend(said.findings.iter().cloned());
        }
        report.expect(
            self.kills > 0,
            &format!("killed: {}", self.kills),
            "nobody was",
        );
        let count = |number: &std::sync::atomic::AtomicU64| number.load(Relaxed);
        let reclaimed = self.module.reclaimed() >> 20;
        report.expect(
            reclaimed > 0,
            &format!("given back under pressure: {reclaimed} MiB"),
            "the machine never needed what the heaps kept",
        );
        let knobs = count(&trouble.knobs);
        report.expect(knobs > 0, &format!("knobs turned: {knobs}"), "none was");
        let caches = count(&trouble.caches);
        report.expect(caches > 0, &format!("caches dropped: {caches}"), "never");
        let processors = count(&trouble.processors);
        if trouble::processors().is_empty() {
            report.skip("processors leave and come back", "no processor may leave");
        } else {
            let text = format!("processors leave and come back: {processors}");
            report.expect(processors > 0, &text, "none did");
        }
        let (memory, refused) = (count(&trouble.memory), count(&trouble.memory_refused));
        if trouble::memory().is_empty() {
            report.skip("memory leaves and comes back", "no memory may leave");
        } else {
            let text = format!("memory leaves and comes back: {memory}");
            report.expect(memory > 0, &text, &format!("refused {refused} times"));
        }
        let (unloads, refusals) = (self.module.unloads, self.module.refusals);
        if self.may_unload() {
            let text = format!("the module stays while it is used: {refusals} refusals");
            report.expect(refusals > 0, &text, "none");
            let text = format!("the module goes when it is not: {unloads} times");
            report.expect(unloads > 0, &text, "never");
            report.note(&format!("{} workers came while it was away", self.late));
        } else {
            report.skip("the module stays while it is used", "needs --module");
        }
        report.expect(
            self.findings.is_empty(),
            "nothing that should not be",
            &format!(
                "{} findings, with --seed={:#x}\n{}",
                self.findings.len(),
                self.seed,
                self.findings.join("\n")
            ),
        );
    }

    /// With nobody left it can be unloaded, and is loaded again.
    fn expect_unloading(&mut self, report: &mut Tap) {
        if !self.may_unload() {
            return;
        }
        let unloaded = self.module.unload();
        report.expect(
            matches!(unloaded, Ok(true)),
            "the module unloads at the end",
            &format!("{unloaded:?}; it has {:?} users", heaps::users()),
        );
        if let Ok(true) = unloaded {
            let loaded = self.module.load();
            report.expect(loaded.is_ok(), "and loads again", &format!("{loaded:?}"));
        }
    }
}

/// Whether a node could not be opened, as when the module goes at that moment.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<dma_heap::Error>(),
        Some(dma_heap::Error::Open { .. })
    )
}

/// Free memory in bytes, with nothing in caches or kept warm. Pages on the
/// processors' own free lists are free, too.
fn free_memory(heaps: &[String]) -> anyhow::Result<u64> {
    for heap in heaps {
        let info = dma_heap::HeapInfo::of(heap)?;
        let cap = info.sysfs.context("no sysfs")?.join("pool_cap");
        let before = std::fs::read_to_string(&cap)?;
        std::fs::write(&cap, "0")?;
        std::fs::write(&cap, before.trim())?;
    }
    std::fs::write("/proc/sys/vm/drop_caches", "3")?;
    let zones = std::fs::read_to_string("/proc/zoneinfo")?;
    let pages: u64 = zones
        .lines()
        .filter_map(|line| line.trim().strip_prefix("count:"))
        .filter_map(|count| count.trim().parse::<u64>().ok())
        .sum();
    Ok(hog::meminfo("MemFree")? + pages * dma_heap::page_size() as u64)
}

/// As much memory is free as was before, but for a margin: the kernel keeps
/// structures of its own, for processes and stacks that it has seen.
fn expect_memory(report: &mut Tap, heaps: &[String], before: u64) {
    let margin = hog::meminfo("MemTotal").unwrap_or(0) / 50 + (16 << 20);
    let back = || free_memory(heaps).is_ok_and(|now| now + margin >= before);
    let settled = heaps::settles(back);
    let now = free_memory(heaps).unwrap_or(0);
    report.note(&format!(
        "{} MiB were free, now {} MiB are",
        before >> 20,
        now >> 20
    ));
    report.expect(
        settled,
        &format!("memory is back within {} MiB", margin >> 20),
        &format!("{} MiB are missing", before.saturating_sub(now) >> 20),
    );
}
