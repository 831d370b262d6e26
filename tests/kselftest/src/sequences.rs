// SPDX-License-Identifier: GPL-2.0

//! Random sequences of maps, unmaps, writes and syncs of one buffer, by several
//! devices, the kernel and the CPU, all of which must see what was written last.
//!
//! Who may do what when, and see what, is as in the DMA API, on a machine where
//! nobody shares memory with anybody (`swiotlb=force` comes next to that):
//!
//! - At most one device at a time has the buffer mapped for writing.
//! - What a device wrote is in memory after its unmap or once a CPU access has
//!   begun; another device sees it once a CPU access that also writes has ended.
//! - While a device has it mapped from-device, the CPU only reads.
//! - A CPU access that writes a part also reads: what it leaves counts as well.

use crate::device;
use crate::device::same_bytes;
use crate::outcome::Failure;
use crate::outcome::Outcome::Pass;
use crate::outcome::TestResult;
use crate::outcome::fail;
use crate::target::Target;
use crate::target::page;
use dma_heap::Buffer;
use dma_heap::Mapping;
use dma_heap::importer::Attachment;
use dma_heap::importer::DeviceSettings;
use dma_heap::importer::Direction;
use dma_heap::importer::DmaMapping;
use dma_heap::importer::Importer;
use dma_heap::importer::Vmap;
use dma_heap::rng::Rng;
use std::ops::Range;

/// A size of some blocks that is no power of two; most buffers are smaller.
const LARGE: u64 = 300 << 10;

/// Who accesses memory without being a device.
#[derive(Clone, Copy, Debug)]
enum Cpu {
    /// This process, through its mapping.
    User,
    /// A driver, through a vmap.
    Kernel,
}

/// What happens next; devices go by number.
#[derive(Clone, Debug)]
enum Step {
    Map(usize, Direction),
    Unmap(usize),
    DeviceWrites(usize, Range<usize>),
    DeviceReads(usize, Range<usize>),
    CpuWrites(Cpu, Range<usize>),
    CpuReads(Cpu, Range<usize>),
    Sync(Cpu),
}

/// A device, and what it has mapped.
struct Attached<'t> {
    attachment: Attachment<'t>,
    mapped: Option<(Direction, DmaMapping<'t>)>,
    /// Whether nothing was written since it could last see all there is.
    is_current: bool,
}

impl Attached<'_> {
    fn direction(&self) -> Option<Direction> {
        self.mapped.as_ref().map(|(direction, _)| *direction)
    }

    fn writes(&self) -> bool {
        matches!(
            self.direction(),
            Some(Direction::Both | Direction::FromDevice)
        )
    }

    fn reads(&self) -> bool {
        self.is_current
            && matches!(
                self.direction(),
                Some(Direction::Both | Direction::ToDevice)
            )
    }

    fn dma(&self) -> Result<&DmaMapping<'_>, Failure> {
        match &self.mapped {
            Some((_, dma)) => Ok(dma),
            None => fail("a device that has nothing mapped"),
        }
    }
}

/// A buffer, everyone who may write it, and what must be in it.
struct Shared<'t> {
    buffer: &'t Buffer,
    mapping: Mapping<'t>,
    vmap: Vmap<'t>,
    importer: &'t Importer,
    devices: Vec<Attached<'t>>,
    wanted: Vec<u8>,
    /// Whether a device wrote what may not be in memory yet.
    pending: bool,
}

impl<'t> Shared<'t> {
    fn new(
        buffer: &'t Buffer,
        importers: [&'t Importer; 2],
        devices: usize,
    ) -> Result<Self, Failure> {
        let [importer, _] = importers;
        let attach = |importer: &'t Importer| {
            Ok::<_, Failure>(Attached {
                attachment: importer.attach(buffer)?,
                mapped: None,
                is_current: false,
            })
        };
        Ok(Self {
            buffer,
            mapping: buffer.map()?,
            vmap: importer.vmap(buffer)?,
            importer,
            devices: importers
                .into_iter()
                .cycle()
                .take(devices)
                .map(attach)
                .collect::<Result<_, _>>()?,
            wanted: vec![0; usize::try_from(buffer.len())?],
            pending: false,
        })
    }

    /// A step that is allowed now.
    fn choose(&self, rng: &mut Rng) -> Step {
        loop {
            let device = rng.below(0..self.devices.len());
            let cpu = rng.pick(&[Cpu::User, Cpu::Kernel]).unwrap_or(Cpu::User);
            let step = match rng.below(0..13) {
                0..=2 => {
                    let direction = rng.pick(&Direction::ALL).unwrap_or(Direction::Both);
                    Step::Map(device, direction)
                }
                3 => Step::Unmap(device),
                4..=6 => Step::DeviceWrites(device, self.piece(rng)),
                7..=8 => Step::DeviceReads(device, self.piece(rng)),
                9..=10 => Step::CpuWrites(cpu, self.piece(rng)),
                11 => Step::CpuReads(cpu, self.piece(rng)),
                _ => Step::Sync(cpu),
            };
            if self.allows(&step) {
                return step;
            }
        }
    }

    /// A part, or in one of four cases all.
    fn piece(&self, rng: &mut Rng) -> Range<usize> {
        let len = self.wanted.len();
        match rng.below(0..4) {
            0 => 0..len,
            _ => rng.piece(len, 3 * dma_heap::page_size()),
        }
    }

    fn allows(&self, step: &Step) -> bool {
        let is = |device: &usize, what: fn(&Attached<'t>) -> bool| {
            self.devices.get(*device).is_some_and(what)
        };
        match step {
            Step::Map(device, direction) => {
                is(device, |it| it.mapped.is_none())
                    && (*direction == Direction::ToDevice
                        || !self.devices.iter().any(Attached::writes))
            }
            Step::Unmap(device) => is(device, |it| it.mapped.is_some()),
            Step::DeviceWrites(device, _) => is(device, Attached::writes),
            Step::DeviceReads(device, _) => is(device, Attached::reads),
            Step::CpuWrites(..) => self
                .devices
                .iter()
                .all(|it| it.direction() != Some(Direction::FromDevice)),
            Step::CpuReads(..) | Step::Sync(_) => true,
        }
    }

    fn device(&mut self, number: usize) -> Result<&mut Attached<'t>, Failure> {
        match self.devices.get_mut(number) {
            Some(device) => Ok(device),
            None => fail("no such device"),
        }
    }

    fn run(&mut self, step: &Step, rng: &mut Rng) -> Result<(), Failure> {
        match step {
            Step::Map(number, direction) => {
                let is_current = !self.pending;
                let device = self.device(*number)?;
                device.mapped = Some((*direction, device.attachment.map(*direction)?));
                device.is_current = is_current;
            }
            Step::Unmap(number) => {
                let device = self.device(*number)?;
                let wrote = device.writes();
                if let Some((_, dma)) = device.mapped.take() {
                    dma.release()?;
                }
                self.pending &= !wrote;
            }
            Step::DeviceWrites(number, piece) => {
                let bytes = rng.bytes(piece.len());
                self.device(*number)?
                    .dma()?
                    .write(piece.start as u64, &bytes)?;
                self.set_wanted(piece, &bytes);
                self.pending = true;
                for (other, device) in self.devices.iter_mut().enumerate() {
                    device.is_current &= other == *number;
                }
            }
            Step::DeviceReads(number, piece) => {
                let mut seen = vec![0; piece.len()];
                self.device(*number)?
                    .dma()?
                    .read(piece.start as u64, &mut seen)?;
                self.expect(&format!("device {number}"), piece, &seen)?;
            }
            Step::CpuWrites(cpu, piece) => {
                let bytes = rng.bytes(piece.len());
                self.cpu_writes(*cpu, piece, &bytes)?;
                self.set_wanted(piece, &bytes);
                self.synced();
            }
            Step::CpuReads(cpu, piece) => {
                let mut seen = vec![0; piece.len()];
                self.cpu_reads(*cpu, piece, &mut seen)?;
                self.pending = false;
                self.expect(&format!("{cpu:?}"), piece, &seen)?;
            }
            Step::Sync(Cpu::User) => {
                self.mapping.read_write()?.finish()?;
                self.synced();
            }
            Step::Sync(Cpu::Kernel) => {
                self.kernel(Direction::Both, |_| Ok(()))?;
                self.synced();
            }
        }
        Ok(())
    }

    /// A CPU access that may write has ended.
    fn synced(&mut self) {
        self.pending = false;
        for device in &mut self.devices {
            device.is_current = true;
        }
    }

    fn set_wanted(&mut self, piece: &Range<usize>, bytes: &[u8]) {
        if let Some(wanted) = self.wanted.get_mut(piece.clone()) {
            wanted.copy_from_slice(bytes);
        }
    }

    fn expect(&self, who: &str, piece: &Range<usize>, seen: &[u8]) -> Result<(), Failure> {
        match self.wanted.get(piece.clone()) {
            Some(wanted) => same_bytes(who, piece.start, seen, wanted),
            None => fail("a piece outside of the buffer"),
        }
    }

    /// What the kernel does through its vmap, in a bracket as drivers use it.
    fn kernel(
        &self,
        direction: Direction,
        access: impl FnOnce(&Vmap<'_>) -> Result<(), dma_heap::Error>,
    ) -> Result<(), Failure> {
        self.importer.begin_cpu_access(self.buffer, direction)?;
        let result = access(&self.vmap);
        self.importer.end_cpu_access(self.buffer, direction)?;
        Ok(result?)
    }

    fn cpu_writes(&mut self, cpu: Cpu, piece: &Range<usize>, bytes: &[u8]) -> Result<(), Failure> {
        let is_all = piece.len() == self.wanted.len();
        match (cpu, is_all) {
            (Cpu::User, true) => {
                let access = self.mapping.write()?;
                access.copy_from_slice(piece.start, bytes)?;
                access.finish()?;
            }
            (Cpu::User, false) => {
                let access = self.mapping.read_write()?;
                access.copy_from_slice(piece.start, bytes)?;
                access.finish()?;
            }
            (Cpu::Kernel, _) => {
                let direction = if is_all {
                    Direction::ToDevice
                } else {
                    Direction::Both
                };
                self.kernel(direction, |vmap| vmap.write(piece.start as u64, bytes))?;
            }
        }
        Ok(())
    }

    fn cpu_reads(&self, cpu: Cpu, piece: &Range<usize>, seen: &mut [u8]) -> Result<(), Failure> {
        match cpu {
            Cpu::User => {
                let access = self.mapping.read()?;
                access.copy_to_slice(piece.start, seen)?;
                Ok(access.finish()?)
            }
            Cpu::Kernel => self.kernel(Direction::FromDevice, |vmap| {
                vmap.read(piece.start as u64, seen)
            }),
        }
    }

    /// What a sequence ends with: all see all, and so does the CPU after the
    /// last unmap, which may copy once more.
    fn last_steps(&self) -> Vec<Step> {
        let all = 0..self.wanted.len();
        let devices = 0..self.devices.len();
        let reading = devices.clone().filter(|number| {
            let direction = self.devices.get(*number).and_then(Attached::direction);
            matches!(direction, Some(Direction::Both | Direction::ToDevice))
        });
        [
            Step::CpuReads(Cpu::User, all.clone()),
            Step::Sync(Cpu::User),
        ]
        .into_iter()
        .chain(reading.map(|number| Step::DeviceReads(number, all.clone())))
        .chain(devices.map(Step::Unmap))
        .chain([
            Step::CpuReads(Cpu::User, all.clone()),
            Step::CpuReads(Cpu::Kernel, all.clone()),
        ])
        .collect()
    }
}

/// A sequence from its seed on a new buffer; notes the steps in `done`.
fn sequence(
    target: &Target,
    importers: [&Importer; 2],
    seed: u64,
    done: &mut Vec<Step>,
) -> Result<(), Failure> {
    let mut rng = Rng::new(seed);
    // Of a large one each step takes as long as a whole sequence of another.
    let size = match rng.below(0..128) {
        0 => LARGE,
        _ => page() * rng.below(1..9) as u64,
    };
    let buffer = target.heap.alloc(target.mappable(size)?)?;
    let mut shared = Shared::new(&buffer, importers, rng.below(2..5))?;
    for _ in 0..rng.below(8..25) {
        let step = shared.choose(&mut rng);
        done.push(step.clone());
        shared.run(&step, &mut rng)?;
    }
    for step in shared.last_steps() {
        done.push(step.clone());
        shared.run(&step, &mut rng)?;
    }
    Ok(())
}

/// Each sequence has a seed of its own, the first one that of the run, so that
/// each can be had again alone.
pub(crate) fn random_writes(target: &Target) -> TestResult {
    device::with_any(|first| {
        let used = target.used();
        let second = Importer::with_device(DeviceSettings {
            max_segment_size: u32::try_from(2 * page())?,
            ..DeviceSettings::default()
        })?;
        for number in 0..target.sequences() {
            let seed = target.seed().wrapping_add(number);
            let mut done = Vec::new();
            sequence(target, [first, &second], seed, &mut done).map_err(|Failure(what)| {
                Failure(format!(
                    "{what}, in sequence {number} of {}, which is --only=coherence \
                     --sequences=1 --seed={seed:#x}: {done:?}",
                    target.sequences()
                ))
            })?;
        }
        target.expect_used(used)?;
        Ok(Pass)
    })
}
