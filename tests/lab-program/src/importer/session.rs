// SPDX-License-Identifier: GPL-2.0

//! The device, the buffer, and what the steps have made of them.

use super::report::Done;
use super::report::Range;
use super::step::Action;
use super::step::Piece;
use super::step::Step;
use super::step::direction_name;
use anyhow::Context as _;
use anyhow::bail;
use dma_heap::Buffer;
use dma_heap::Mapping;
use dma_heap::importer::Attachment;
use dma_heap::importer::DmaMapping;
use dma_heap::importer::Importer;
use dma_heap::importer::Vmap;
use std::time::Duration;
use std::time::Instant;

/// What a step has made.
enum Object<'s> {
    Attachment(Attachment<'s>),
    /// With the number of its attachment.
    Mapping(usize, DmaMapping<'s>),
    Vmap(Vmap<'s>),
}

/// Kinds of objects that a step may want.
#[derive(Clone, Copy)]
enum Kind {
    Attachment,
    Mapping,
    Vmap,
    /// What bytes can be moved through.
    MappingOrVmap,
}

impl Kind {
    fn takes(self, object: &Object<'_>) -> bool {
        match object {
            Object::Attachment(_) => matches!(self, Self::Attachment),
            Object::Mapping(..) => matches!(self, Self::Mapping | Self::MappingOrVmap),
            Object::Vmap(_) => matches!(self, Self::Vmap | Self::MappingOrVmap),
        }
    }

    fn missing(self) -> &'static str {
        match self {
            Self::Attachment => "there is no attachment: `attach` makes one",
            Self::Mapping => "there is no mapping: `map` makes one of an attachment",
            Self::Vmap => "there is no vmap: `vmap` makes one",
            Self::MappingOrVmap => "there is no mapping and no vmap: `map` or `vmap` makes one",
        }
    }
}

/// One run of the command.
pub(super) struct Session<'s> {
    importer: &'s Importer,
    buffer: &'s Buffer,
    /// The CPU's view, made when it is first used.
    mapping: Option<Mapping<'s>>,
    /// By number, less one. Numbers are not used again.
    objects: Vec<Option<Object<'s>>>,
}

/// How long something took, and what it gave.
pub(super) fn timed<T, E>(f: impl FnOnce() -> Result<T, E>) -> Result<(Duration, T), E> {
    let start = Instant::now();
    let value = f()?;
    Ok((start.elapsed(), value))
}

impl<'s> Session<'s> {
    pub(super) fn new(importer: &'s Importer, buffer: &'s Buffer) -> Self {
        Self {
            importer,
            buffer,
            mapping: None,
            objects: Vec::new(),
        }
    }

    /// Does a step. Returns how long the calls for it took.
    pub(super) fn run(&mut self, step: &Step) -> anyhow::Result<(Duration, Done)> {
        let (importer, buffer) = (self.importer, self.buffer);
        let plain = |(time, ()): (Duration, ())| (time, Done::Nothing);
        Ok(match step.action {
            Action::Attach => {
                let (time, attachment) = timed(|| importer.attach(buffer))?;
                let attachment = self.add(Object::Attachment(attachment));
                (time, Done::Attached { attachment })
            }
            Action::Map(direction) => {
                let (attachment, Object::Attachment(object)) =
                    self.find(step.object, Kind::Attachment)?
                else {
                    bail!(Kind::Attachment.missing());
                };
                let (time, mapped) = timed(|| object.map(direction))?;
                let range_count = mapped.range_count();
                (
                    time,
                    Done::Mapped {
                        mapping: self.add(Object::Mapping(attachment, mapped)),
                        attachment,
                        direction: direction_name(direction),
                        range_count,
                    },
                )
            }
            Action::Ranges => {
                let (mapping, object) = self.dma(step.object)?;
                let (time, ranges) = timed(|| object.ranges())?;
                let ranges = ranges.into_iter().map(Range::from).collect();
                (time, Done::Ranges { mapping, ranges })
            }
            Action::Read(piece) => {
                let mut bytes = self.bytes(piece, 0)?;
                let (_, object) = self.find(step.object, Kind::MappingOrVmap)?;
                let (time, ()) = timed(|| match object {
                    Object::Mapping(_, dma) => dma.read(piece.offset, &mut bytes),
                    Object::Vmap(vmap) => vmap.read(piece.offset, &mut bytes),
                    Object::Attachment(_) => Ok(()),
                })?;
                (time, Done::Read { bytes })
            }
            Action::Write(piece, byte) => {
                let bytes = self.bytes(piece, byte)?;
                let (_, object) = self.find(step.object, Kind::MappingOrVmap)?;
                let (time, ()) = timed(|| match object {
                    Object::Mapping(_, dma) => dma.write(piece.offset, &bytes),
                    Object::Vmap(vmap) => vmap.write(piece.offset, &bytes),
                    Object::Attachment(_) => Ok(()),
                })?;
                (time, Done::Written { written: piece.len })
            }
            Action::Load(piece, place) => {
                self.check(piece)?;
                let (_, dma) = self.dma(step.object)?;
                let (time, ()) = timed(|| dma.load(piece.offset, place, piece.len))?;
                (time, Done::Loaded { loaded: piece.len })
            }
            Action::Store(piece, place) => {
                self.check(piece)?;
                let (_, dma) = self.dma(step.object)?;
                let (time, ()) = timed(|| dma.store(piece.offset, place, piece.len))?;
                (time, Done::Stored { stored: piece.len })
            }
            Action::LoadAt(piece, place) => {
                let (time, ()) = timed(|| importer.load_at(piece.offset, place, piece.len))?;
                (time, Done::Loaded { loaded: piece.len })
            }
            Action::StoreAt(piece, place) => {
                let (time, ()) = timed(|| importer.store_at(piece.offset, place, piece.len))?;
                (time, Done::Stored { stored: piece.len })
            }
            Action::Unmap => self.end(step.object, Kind::Mapping)?,
            Action::Detach => self.end(step.object, Kind::Attachment)?,
            Action::Vunmap => self.end(step.object, Kind::Vmap)?,
            Action::Vmap => {
                let (time, vmap) = timed(|| importer.vmap(buffer))?;
                let vmap = self.add(Object::Vmap(vmap));
                (time, Done::Vmapped { vmap })
            }
            Action::Begin(direction) => {
                plain(timed(|| importer.begin_cpu_access(buffer, direction))?)
            }
            Action::End(direction) => plain(timed(|| importer.end_cpu_access(buffer, direction))?),
            Action::CpuRead(piece) => {
                let mut bytes = self.bytes(piece, 0)?;
                let offset = usize::try_from(piece.offset)?;
                let mapping = self.mapping()?;
                let (time, ()) = timed(|| {
                    let access = mapping.read()?;
                    access.copy_to_slice(offset, &mut bytes)?;
                    access.finish()
                })?;
                (time, Done::Read { bytes })
            }
            Action::CpuWrite(piece, byte) => {
                let bytes = self.bytes(piece, byte)?;
                let offset = usize::try_from(piece.offset)?;
                let mapping = self.mapping()?;
                let (time, ()) = timed(|| {
                    // Also for reading: what is not written counts as well.
                    let access = mapping.read_write()?;
                    access.copy_from_slice(offset, &bytes)?;
                    access.finish()
                })?;
                (time, Done::Written { written: piece.len })
            }
            Action::TimeMaps(cycles, attachments, direction) => {
                let (time, times) =
                    timed(|| importer.time_maps(buffer, direction, attachments, cycles))?;
                (time, Done::timed_maps(cycles, attachments, times))
            }
            Action::TimeVmaps(cycles) => {
                let (time, taken) = timed(|| importer.time_vmaps(buffer, cycles))?;
                (time, Done::timed_vmaps(cycles, taken))
            }
            Action::Wait(duration) => {
                let (time, ()) = timed(|| {
                    std::thread::sleep(duration);
                    Ok::<(), dma_heap::Error>(())
                })?;
                (time, Done::Nothing)
            }
        })
    }

    fn add(&mut self, object: Object<'s>) -> usize {
        self.objects.push(Some(object));
        self.objects.len()
    }

    /// The number and the object that a step is for.
    fn find(&self, number: Option<usize>, kind: Kind) -> anyhow::Result<(usize, &Object<'s>)> {
        let mut objects = self
            .objects
            .iter()
            .enumerate()
            .filter_map(|(index, object)| Some((index + 1, object.as_ref()?)));
        let Some(number) = number else {
            return objects
                .rfind(|(_, object)| kind.takes(object))
                .context(kind.missing());
        };
        match objects.find(|(other, _)| *other == number) {
            Some(found) if kind.takes(found.1) => Ok(found),
            _ => bail!("{}", self.not_found(number, kind)),
        }
    }

    fn not_found(&self, number: usize, kind: Kind) -> String {
        let suitable: Vec<String> = self
            .objects
            .iter()
            .enumerate()
            .filter(|(_, object)| object.as_ref().is_some_and(|object| kind.takes(object)))
            .map(|(index, _)| (index + 1).to_string())
            .collect();
        if suitable.is_empty() {
            kind.missing().to_owned()
        } else {
            format!(
                "object {number} is none that this step takes; those are: {}",
                suitable.join(", ")
            )
        }
    }

    fn dma(&self, number: Option<usize>) -> anyhow::Result<(usize, &DmaMapping<'s>)> {
        match self.find(number, Kind::Mapping)? {
            (number, Object::Mapping(_, dma)) => Ok((number, dma)),
            _ => bail!(Kind::Mapping.missing()),
        }
    }

    /// Ends an object.
    fn end(&mut self, number: Option<usize>, kind: Kind) -> anyhow::Result<(Duration, Done)> {
        let (ended, _) = self.find(number, kind)?;
        let Some(object) = self.objects.get_mut(ended - 1).and_then(Option::take) else {
            bail!(kind.missing());
        };
        let (time, ()) = timed(|| match object {
            Object::Attachment(attachment) => attachment.release(),
            Object::Mapping(_, dma) => dma.release(),
            Object::Vmap(vmap) => vmap.release(),
        })?;
        Ok((
            time,
            Done::Ended {
                ended,
                still_mapped: self.mappings_of(ended),
            },
        ))
    }

    /// The mappings of an attachment that outlive it: the kernel detaches after
    /// the last of them.
    fn mappings_of(&self, attachment: usize) -> Vec<usize> {
        self.objects
            .iter()
            .enumerate()
            .filter(
                |(_, object)| matches!(object, Some(Object::Mapping(of, _)) if *of == attachment),
            )
            .map(|(index, _)| index + 1)
            .collect()
    }

    fn check(&self, piece: Piece) -> anyhow::Result<()> {
        // What is read from an argument does not overflow.
        if piece.offset + piece.len > self.buffer.len() {
            bail!(
                "{} bytes from {} on are not in the buffer, which has {}",
                piece.len,
                piece.offset,
                self.buffer.len()
            );
        }
        Ok(())
    }

    /// As many bytes as a piece of the buffer has.
    fn bytes(&self, piece: Piece, byte: u8) -> anyhow::Result<Vec<u8>> {
        self.check(piece)?;
        Ok(vec![byte; usize::try_from(piece.len)?])
    }

    fn mapping(&mut self) -> anyhow::Result<&mut Mapping<'s>> {
        if self.mapping.is_none() {
            self.mapping = Some(self.buffer.map()?);
        }
        self.mapping.as_mut().context("the buffer is not mapped")
    }
}
