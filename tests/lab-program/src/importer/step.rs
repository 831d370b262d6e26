// SPDX-License-Identifier: GPL-2.0

//! The steps of `dmaheap-lab importer`, as they are written.

use command_line::quantity::parse_duration;
use command_line::quantity::parse_offset;
use command_line::quantity::parse_size;
use dma_heap::importer::Direction;
use std::str::FromStr;
use std::time::Duration;

/// The steps, for help texts.
pub(crate) const STEPS: &str = "\
Steps:
  attach                    attach the device; makes an attachment
  map[=DIRECTION]           map an attachment; makes a mapping
  ranges                    show the DMA addresses of a mapping
  read=OFFSET:LEN           the device reads through a mapping, or the kernel
                            through a vmap
  write=OFFSET:LEN[:BYTE]   likewise; writes BYTE everywhere (default 0xff)
  load=OFFSET:LEN[:PLACE]   the edu device reads through a mapping into its own
                            buffer at PLACE (default 0; it has 4096 bytes)
  store=OFFSET:LEN[:PLACE]  the edu device writes from its own buffer
  load-at=ADDRESS:LEN[:PLACE], store-at=ADDRESS:LEN[:PLACE]
                            the same by DMA address; only behind an IOMMU
  unmap, detach             end a mapping, an attachment
  vmap, vunmap              map into the kernel (makes a vmap); unmap
  begin[=DIRECTION], end[=DIRECTION]
                            begin and end a CPU access as a driver does
  cpu-read=OFFSET:LEN, cpu-write=OFFSET:LEN[:BYTE]
                            this process accesses the buffer, in a sync bracket
  time-maps=CYCLES[:ATTACHMENTS[:DIRECTION]]
                            map and unmap CYCLES times on new attachments
                            (default 1), timed in the kernel
  time-vmaps=CYCLES         vmap and vunmap, likewise
  wait=DURATION             do nothing, as in wait=10s

DIRECTION is both (default), to-device or from-device. OFFSET, LEN and ADDRESS
are bytes: 4096, 4K, 0x1000. attach, map and vmap number what they make, from 1.
A step uses the latest object of its kind, or the one named after @, as in
map@1=to-device, read@3=0:16, detach@1.";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Attach,
    Map(Direction),
    Ranges,
    Read(Piece),
    Write(Piece, u8),
    Load(Piece, u64),
    Store(Piece, u64),
    LoadAt(Piece, u64),
    StoreAt(Piece, u64),
    Unmap,
    Detach,
    Vmap,
    Vunmap,
    Begin(Direction),
    End(Direction),
    CpuRead(Piece),
    CpuWrite(Piece, u8),
    TimeMaps(u64, u64, Direction),
    TimeVmaps(u64),
    Wait(Duration),
}

/// Bytes of the buffer, or of the device's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) action: Action,
    /// The number of the object it is for, if that was said.
    pub(crate) object: Option<usize>,
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, arguments) = match text.split_once('=') {
            Some((head, arguments)) => (head, Arguments::of(arguments)),
            None => (text, Arguments::default()),
        };
        let (name, object) = match head.split_once('@') {
            Some((name, number)) => (name, Some(object_number(number)?)),
            None => (head, None),
        };
        let action = action(name, arguments)?;
        if object.is_some() && !action.takes_object() {
            return Err(format!("{name} takes no object after @"));
        }
        Ok(Self {
            text: text.to_owned(),
            action,
            object,
        })
    }
}

impl Action {
    fn takes_object(&self) -> bool {
        matches!(
            self,
            Self::Map(_)
                | Self::Ranges
                | Self::Read(_)
                | Self::Write(..)
                | Self::Load(..)
                | Self::Store(..)
                | Self::Unmap
                | Self::Detach
                | Self::Vunmap
        )
    }
}

fn action(name: &str, mut arguments: Arguments<'_>) -> Result<Action, String> {
    let action = match name {
        "attach" => Action::Attach,
        "map" => Action::Map(arguments.direction()?),
        "ranges" => Action::Ranges,
        "read" => Action::Read(arguments.piece()?),
        "write" => Action::Write(arguments.piece()?, arguments.byte()?),
        "load" => Action::Load(arguments.piece()?, arguments.place()?),
        "store" => Action::Store(arguments.piece()?, arguments.place()?),
        "load-at" => Action::LoadAt(arguments.piece()?, arguments.place()?),
        "store-at" => Action::StoreAt(arguments.piece()?, arguments.place()?),
        "unmap" => Action::Unmap,
        "detach" => Action::Detach,
        "vmap" => Action::Vmap,
        "vunmap" => Action::Vunmap,
        "begin" => Action::Begin(arguments.direction()?),
        "end" => Action::End(arguments.direction()?),
        "cpu-read" => Action::CpuRead(arguments.piece()?),
        "cpu-write" => Action::CpuWrite(arguments.piece()?, arguments.byte()?),
        "time-maps" => Action::TimeMaps(
            arguments.count("CYCLES", 1000)?,
            arguments.attachments()?,
            arguments.direction()?,
        ),
        "time-vmaps" => Action::TimeVmaps(arguments.count("CYCLES", 1000)?),
        "wait" => Action::Wait(parse_duration(arguments.needed("DURATION")?)?),
        _ => return Err(format!("there is no step {name:?}; --help lists them")),
    };
    match arguments.next() {
        Some(surplus) => Err(format!("{name} does not take {surplus:?}")),
        None => Ok(action),
    }
}

/// What stands after the `=`, in parts between colons.
#[derive(Default)]
struct Arguments<'a>(Option<std::str::Split<'a, char>>);

impl<'a> Arguments<'a> {
    fn of(text: &'a str) -> Self {
        Self(Some(text.split(':')))
    }

    fn next(&mut self) -> Option<&'a str> {
        self.0.as_mut()?.next()
    }

    fn needed(&mut self, name: &str) -> Result<&'a str, String> {
        self.next()
            .ok_or_else(|| format!("{name} is missing; --help shows how steps are written"))
    }

    fn piece(&mut self) -> Result<Piece, String> {
        let offset = parse_offset(self.needed("OFFSET")?)?;
        let len = parse_size(self.needed("LEN")?)?;
        match offset.checked_add(len) {
            Some(_) => Ok(Piece { offset, len }),
            None => Err("the bytes end beyond 64 bits".into()),
        }
    }

    fn place(&mut self) -> Result<u64, String> {
        self.next().map_or(Ok(0), parse_offset)
    }

    fn byte(&mut self) -> Result<u8, String> {
        let Some(text) = self.next() else {
            return Ok(0xff);
        };
        parse_offset(text)
            .ok()
            .and_then(|value| value.try_into().ok())
            .ok_or_else(|| format!("{text:?} is no byte, which is 0 to 255 or 0x00 to 0xff"))
    }

    fn count(&mut self, name: &str, most: u64) -> Result<u64, String> {
        let text = self.needed(name)?;
        match text.parse() {
            Ok(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(format!("{name} is 1 to {most}, not {text:?}")),
        }
    }

    fn attachments(&mut self) -> Result<u64, String> {
        let mut rest = self.0.clone();
        match rest.as_mut().and_then(Iterator::next) {
            Some(_) => self.count("ATTACHMENTS", 16),
            None => Ok(1),
        }
    }

    fn direction(&mut self) -> Result<Direction, String> {
        match self.next() {
            None | Some("both") => Ok(Direction::Both),
            Some("to-device") => Ok(Direction::ToDevice),
            Some("from-device") => Ok(Direction::FromDevice),
            Some(other) => Err(format!(
                "a direction is both, to-device or from-device, not {other:?}"
            )),
        }
    }
}

/// How a direction is written.
pub(super) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Both => "both",
        Direction::ToDevice => "to-device",
        Direction::FromDevice => "from-device",
    }
}

fn object_number(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!(
            "after @ comes the number of an object, from 1 on, not {text:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Action, Option<usize>), String> {
        let step: Step = text.parse()?;
        assert_eq!(step.text, text);
        Ok((step.action, step.object))
    }

    fn piece(offset: u64, len: u64) -> Piece {
        Piece { offset, len }
    }

    #[test]
    fn steps() {
        for (text, action) in [
            ("attach", Action::Attach),
            ("map", Action::Map(Direction::Both)),
            ("map=to-device", Action::Map(Direction::ToDevice)),
            ("begin=from-device", Action::Begin(Direction::FromDevice)),
            ("end", Action::End(Direction::Both)),
            ("read=0:16", Action::Read(piece(0, 16))),
            ("read=0x10:4K", Action::Read(piece(16, 4096))),
            ("write=1M:3", Action::Write(piece(1 << 20, 3), 0xff)),
            ("write=0:3:7", Action::Write(piece(0, 3), 7)),
            ("cpu-write=0:3:0xa5", Action::CpuWrite(piece(0, 3), 0xa5)),
            ("load=4K:8", Action::Load(piece(4096, 8), 0)),
            ("store=4K:8:0x20", Action::Store(piece(4096, 8), 32)),
            (
                "store-at=0xfffff000:4",
                Action::StoreAt(piece(0xffff_f000, 4), 0),
            ),
            ("time-maps=10", Action::TimeMaps(10, 1, Direction::Both)),
            (
                "time-maps=10:4:to-device",
                Action::TimeMaps(10, 4, Direction::ToDevice),
            ),
            ("time-vmaps=1000", Action::TimeVmaps(1000)),
            ("wait=10ms", Action::Wait(Duration::from_millis(10))),
        ] {
            assert_eq!(parse(text), Ok((action, None)), "{text}");
        }
    }

    #[test]
    fn objects() {
        for (text, object) in [("map@2=both", 2), ("detach@1", 1), ("read@30=0:1", 30)] {
            assert!(
                parse(text).is_ok_and(|(_, seen)| seen == Some(object)),
                "{text}"
            );
        }
        for text in [
            "attach@1",
            "vmap@1",
            "begin@1",
            "cpu-read@1=0:1",
            "wait@1=1s",
        ] {
            assert!(
                parse(text).is_err_and(|error| error.contains("takes no object")),
                "{text}"
            );
        }
    }

    #[test]
    fn mistakes_are_found() {
        for text in [
            "",
            "mop",
            "attach=1",
            "map=sideways",
            "map=both:both",
            "map@",
            "map@0",
            "map@x",
            "read",
            "read=",
            "read=0",
            "read=0:0",
            "read=0:1:2",
            "read=0xffffffffffffffff:1",
            "write=0:1:256",
            "write=0:1:x",
            "load=0:1:2:3",
            "unmap=1",
            "time-maps",
            "time-maps=0",
            "time-maps=1001",
            "time-maps=1:17",
            "time-maps=1:1:up",
            "time-vmaps=1:1",
            "wait",
            "wait=soon",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_help_names_every_step() {
        for name in [
            "attach",
            "map",
            "ranges",
            "read",
            "write",
            "load",
            "store",
            "load-at",
            "store-at",
            "unmap",
            "detach",
            "vmap",
            "vunmap",
            "begin",
            "end",
            "cpu-read",
            "cpu-write",
            "time-maps",
            "time-vmaps",
            "wait",
        ] {
            // Some lack arguments then, but none is unknown.
            let unknown = parse(name).is_err_and(|error| error.contains("there is no step"));
            assert!(!unknown, "{name}");
            let named = STEPS
                .split(|c: char| !c.is_ascii_alphabetic() && c != '-')
                .any(|word| word == name);
            assert!(named, "{name} is not in the help");
        }
    }
}
