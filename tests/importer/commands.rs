// SPDX-License-Identifier: GPL-2.0

//! The ioctls of the test importer.
//!
//! Each takes and returns six 64-bit words, `_IOWR('I', number, __u64[6])`, so that 32-bit callers
//! need no translation:
//!
//! | number | takes | returns |
//! |---|---|---|
//! | 0 `DEVICE` | DMA mask, longest segment, segment boundary mask; 0 for unset | |
//! | 1 `ATTACH` | file descriptor of a dma-buf | attachment |
//! | 2 `MAP` | attachment, direction | mapping, number of ranges, nanoseconds of the map alone |
//! | 3 `RANGE` | mapping, index | DMA address, length |
//! | 4 `DMA_READ`, 5 `DMA_WRITE` | mapping, offset, length, memory of the caller | |
//! | 6 `VMAP` | file descriptor of a dma-buf | vmap |
//! | 7 `VMAP_READ`, 8 `VMAP_WRITE` | vmap, offset, length, memory of the caller | |
//! | 9 `RELEASE` | attachment, mapping, vmap or page: detaches, unmaps, vunmaps, puts | nanoseconds of that alone |
//! | 10 `BEGIN_CPU_ACCESS`, 11 `END_CPU_ACCESS` | file descriptor of a dma-buf, direction | |
//! | 12 `TIME_VMAPS` | file descriptor of a dma-buf, cycles | nanoseconds of all cycles |
//! | 13 `EDU` | number of an edu device, which becomes the file's | |
//! | 14 `LOAD`, 15 `STORE` | mapping, offset, offset in the device, length | |
//! | 16 `LOAD_AT`, 17 `STORE_AT` | DMA address, offset in the device, length | |
//! | 18 `TIME_MAPS` | file descriptor of a dma-buf, direction, attachments, cycles | nanoseconds of the first cycle, of the others |
//! | 19 `CPU_SUM` | vmap, offset, length | sum of the 64-bit words there, nanoseconds of that and its bracket |
//! | 20 `TRY_MAP` | attachment, direction | 0 or the errno, nanoseconds of the map alone |
//! | 21 `KEEP_ATTACHMENTS` | | |
//! | 22 `STORE_AND_DETACH` | attachment, DMA address, offset in the device, length, nanoseconds | nanoseconds to the end of the detaching, of the transfer |
//! | 23 `HOLD_PAGE` | mapping, offset | page |
//! | 24 `LOCKED` | attachment, direction | number of ranges, first 64-bit word |
//! | 25 `MASK` | DMA mask of the device in software | |
//!
//! `LOAD` has an edu device read memory, `STORE` write it. By address they need an IOMMU before the
//! device, so that they reach nothing but what is mapped for it.
//!
//! `TRY_MAP` ends a mapping that it could make at once. After `KEEP_ATTACHMENTS`, the file's
//! attachments stay when the driver of its device is unbound.
//!
//! `STORE_AND_DETACH` starts a `STORE_AT`, and detaches when so much time has passed. A transfer
//! takes 100 ms, at whose end all bytes are moved at once. If it had ended when the detaching had,
//! that is 0.
//!
//! `HOLD_PAGE` takes a reference to the page at an offset, as a driver does that goes on using it
//! when the buffer has ended.
//!
//! `LOCKED` maps an attachment, vmaps its dma-buf, reads a word and undoes both, all while it holds
//! the dma-buf's lock, as drivers do that have more to do with a buffer than to map it.
//!
//! `MASK` is what a driver does that sets the mask of its device after it has attached that.
//!
//! What takes a device is done one by one where that is an edu device, and before it loses its
//! driver. Afterwards it is `ENODEV`, unless attachments stay.
//!
//! A cycle of `TIME_VMAPS` is a vmap and its vunmap, one of `TIME_MAPS` a map and its unmap on each
//! attachment. They are timed here: system calls would take longer than what is measured.
//!
//! `CPU_SUM` reads between the beginning and the end of an access by the CPU.
//!
//! Directions are those of `enum dma_data_direction`: 0 both, 1 to the device, 2 from the device.

use super::{
    abstractions::{
        dma::{
            iommu,
            limits::wide, //
        },
        dma_buf::{
            importer::{
                Attachment,
                MappedAttachment,
                VmappedDmaBuf, //
            },
            software_device::DmaSettings,
            DmaBuf, //
        }, //
    },
    edu::{
        Claim,
        BUFFER_SIZE, //
    },
    session::Session, //
};
use kernel::{
    dma::DataDirection,
    ioctl::{
        _IOC_NR,
        _IOWR, //
    },
    prelude::*,
    sync::aref::ARef,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// What each command takes and returns.
type Words = [u64; 6];

/// The most bytes that one command copies: larger requests are done in steps of this.
const STEP: usize = 64 * 1024;

/// The most cycles that one command times: it cannot be interrupted.
const MAX_CYCLES: u64 = 1000;

/// The most attachments on which it does.
const MAX_ATTACHMENTS: u64 = 16;

fn direction(word: u64) -> Result<DataDirection> {
    match word {
        0 => Ok(DataDirection::Bidirectional),
        1 => Ok(DataDirection::ToDevice),
        2 => Ok(DataDirection::FromDevice),
        _ => Err(EINVAL),
    }
}

fn dma_buf(word: u64) -> Result<ARef<DmaBuf>> {
    DmaBuf::from_fd(i32::try_from(word).map_err(|_| EBADF)?)
}

/// Copies `len` bytes from `offset` on to the caller, in steps that `read` fills.
fn copy_out(
    [_, offset, len, address, ..]: Words,
    mut read: impl FnMut(usize, &mut [u8]) -> Result,
) -> Result {
    let (mut offset, len) = (usize::try_from(offset)?, usize::try_from(len)?);
    let mut user = UserSlice::new(UserPtr::from_addr(address.try_into()?), len).writer();
    let mut step = KVec::from_elem(0u8, STEP.min(len), GFP_KERNEL)?;

    while !user.is_empty() {
        let now = step.len().min(user.len());
        let bytes = step.get_mut(..now).ok_or(EINVAL)?;

        read(offset, bytes)?;
        user.write_slice(bytes)?;
        offset = offset.checked_add(now).ok_or(EINVAL)?;
    }
    Ok(())
}

/// Copies `len` bytes from the caller, in steps that `write` puts at `offset` and on.
fn copy_in(
    [_, offset, len, address, ..]: Words,
    mut write: impl FnMut(usize, &[u8]) -> Result,
) -> Result {
    let (mut offset, len) = (usize::try_from(offset)?, usize::try_from(len)?);
    let mut user = UserSlice::new(UserPtr::from_addr(address.try_into()?), len).reader();
    let mut step = KVec::from_elem(0u8, STEP.min(len), GFP_KERNEL)?;

    while !user.is_empty() {
        let now = step.len().min(user.len());
        let bytes = step.get_mut(..now).ok_or(EINVAL)?;

        user.read_slice(bytes)?;
        write(offset, bytes)?;
        offset = offset.checked_add(now).ok_or(EINVAL)?;
    }
    Ok(())
}

/// Maps `dma_buf` into kernel addresses and unmaps it, `cycles` times; returns the nanoseconds.
fn time_vmaps(dma_buf: &ARef<DmaBuf>, cycles: u64) -> Result<u64> {
    if cycles > MAX_CYCLES {
        return Err(EINVAL);
    }

    let start = Instant::<Monotonic>::now();

    for _ in 0..cycles {
        drop(VmappedDmaBuf::new(dma_buf.clone())?);
    }
    Ok(start.elapsed().as_nanos().try_into()?)
}

/// Sums up the words of a part of a vmap in a bracket, as a driver does that looks at a frame;
/// returns the sum, and the nanoseconds from the bracket's beginning to its end.
fn cpu_sum(session: &Session, [vmap, offset, len, ..]: Words) -> Result<(u64, u64)> {
    let (offset, len) = (usize::try_from(offset)?, usize::try_from(len)?);
    let vmap = session.vmapped(vmap)?;
    let dma_buf = vmap.dma_buf();
    let start = Instant::<Monotonic>::now();

    dma_buf.begin_cpu_access(DataDirection::FromDevice)?;
    let sum = vmap.sum(offset, len);
    dma_buf.end_cpu_access(DataDirection::FromDevice)?;

    Ok((sum?, start.elapsed().as_nanos().try_into()?))
}

/// Lets an edu device reach a part of a mapped buffer. `transfer` gets DMA address, offset in the
/// device and length, once for each range that the part lies in.
fn transfer(
    session: &Session,
    [mapping, offset, place, len, ..]: Words,
    transfer: impl Fn(&Claim, u64, usize, usize) -> Result,
) -> Result {
    let (mut offset, mut place) = (usize::try_from(offset)?, usize::try_from(place)?);
    let mut left = usize::try_from(len)?;

    session.with_device(|player, device| {
        let mapping = session.mapping(mapping)?;

        if !mapping.is_for(device.device()) {
            return Err(EINVAL);
        }
        while left > 0 {
            let (address, len) = mapping.range_at(offset, left.min(BUFFER_SIZE))?;

            transfer(player.edu()?, wide(address), place, len)?;
            offset += len;
            place += len;
            left -= len;
        }
        Ok(())
    })
}

/// The same by DMA address, mapped or not.
fn transfer_at(
    session: &Session,
    [address, place, len, ..]: Words,
    transfer: impl Fn(&Claim, u64, usize, usize) -> Result,
) -> Result {
    session.with_device(|player, device| {
        if !iommu::is_behind_iommu(device.device()) {
            return Err(EPERM);
        }
        transfer(player.edu()?, address, place.try_into()?, len.try_into()?)
    })
}

/// Lets an edu device write memory by DMA address, and detaches meanwhile.
fn store_and_detach(
    session: &Session,
    [attachment, address, place, len, nanos, ..]: Words,
) -> Result<(u64, u64)> {
    session.with_device(|player, device| {
        if !iommu::is_behind_iommu(device.device()) {
            return Err(EPERM);
        }
        player.edu()?.store_and(
            address,
            place.try_into()?,
            len.try_into()?,
            Delta::from_nanos(nanos.try_into()?),
            || session.release_for(device, attachment).map(drop),
        )
    })
}

/// Maps and unmaps `dma_buf` for each of some attachments in turn, once and then `cycles` times;
/// returns the nanoseconds of both.
fn time_maps(
    session: &Session,
    dma_buf: &ARef<DmaBuf>,
    direction: DataDirection,
    attachments: u64,
    cycles: u64,
) -> Result<(u64, u64)> {
    if cycles > MAX_CYCLES || !(1..=MAX_ATTACHMENTS).contains(&attachments) {
        return Err(EINVAL);
    }

    session.with_device(|_, device| {
        let mut attached = KVec::new();

        for _ in 0..attachments {
            attached.push(Attachment::new(dma_buf.clone(), device)?, GFP_KERNEL)?;
        }

        let time = |cycles| -> Result<u64> {
            let start = Instant::<Monotonic>::now();

            for _ in 0..cycles {
                for attachment in &attached {
                    let attachment = attachment.clone();

                    drop(MappedAttachment::new(attachment, device, direction)?);
                }
            }
            Ok(start.elapsed().as_nanos().try_into()?)
        };

        Ok((time(1)?, time(cycles)?))
    })
}

/// Maps and vmaps under the dma-buf's lock; returns the number of ranges, and the first word.
fn locked(session: &Session, attachment: u64, direction: DataDirection) -> Result<(u64, u64)> {
    session.with_device(|_, device| {
        let attachment = session.attachment(attachment)?;
        let locked = attachment.lock();
        let mapping = locked.map(device, direction)?;
        let word = locked.vmap()?.sum(0, size_of::<u64>())?;

        Ok((mapping.ranges().count() as u64, word))
    })
}

/// Runs one command of an open file. Returns `ENOTTY` for an unknown one.
pub(super) fn run(session: &Session, command: u32, argument: UserPtr) -> Result<isize> {
    let number = _IOC_NR(command);

    if command != _IOWR::<Words>('I' as u32, number) {
        return Err(ENOTTY);
    }

    let (mut reader, mut writer) = UserSlice::new(argument, size_of::<Words>()).reader_writer();
    let mut words: Words = reader.read()?;
    let [first, second, third, fourth, ..] = words;

    match number {
        0 => session.set_device(DmaSettings {
            mask: first,
            max_segment_size: second.try_into()?,
            segment_boundary_mask: third.try_into()?,
        })?,
        1 => words[0] = session.attach(dma_buf(first)?)?,
        2 => {
            let (id, ranges, nanos) = session.map(first, direction(second)?)?;

            words[0] = id;
            words[1] = ranges as u64;
            words[2] = nanos;
        }
        3 => {
            let (address, len) = session.with_device(|_, _| {
                let mapping = session.mapping(first)?;
                let range = mapping.ranges().nth(second.try_into()?);

                range.ok_or(EINVAL)
            })?;

            words[0] = wide(address);
            words[1] = len as u64;
        }
        4 => {
            let (player, mapping) = (session.player()?, session.mapping(first)?);
            let device = player.software()?;

            copy_out(words, |offset, bytes| device.read(&mapping, offset, bytes))?;
        }
        5 => {
            let (player, mapping) = (session.player()?, session.mapping(first)?);
            let device = player.software()?;

            copy_in(words, |offset, bytes| device.write(&mapping, offset, bytes))?;
        }
        6 => words[0] = session.vmap(dma_buf(first)?)?,
        7 => {
            let vmap = session.vmapped(first)?;

            copy_out(words, |offset, bytes| vmap.read(offset, bytes))?;
        }
        8 => {
            let vmap = session.vmapped(first)?;

            copy_in(words, |offset, bytes| vmap.write(offset, bytes))?;
        }
        9 => words[0] = session.release(first)?,
        10 => dma_buf(first)?.begin_cpu_access(direction(second)?)?,
        11 => dma_buf(first)?.end_cpu_access(direction(second)?)?,
        12 => words[0] = time_vmaps(&dma_buf(first)?, second)?,
        13 => session.set_edu(first)?,
        14 => transfer(session, words, Claim::load)?,
        15 => transfer(session, words, Claim::store)?,
        16 => transfer_at(session, words, Claim::load)?,
        17 => transfer_at(session, words, Claim::store)?,
        18 => {
            let direction = direction(second)?;

            (words[0], words[1]) = time_maps(session, &dma_buf(first)?, direction, third, fourth)?;
        }
        19 => (words[0], words[1]) = cpu_sum(session, words)?,
        20 => (words[0], words[1]) = session.try_map(first, direction(second)?)?,
        21 => session.keep_attachments(),
        22 => (words[0], words[1]) = store_and_detach(session, words)?,
        23 => words[0] = session.hold_page(first, second)?,
        24 => (words[0], words[1]) = locked(session, first, direction(second)?)?,
        25 => session.player()?.software()?.set_mask(first)?,
        _ => return Err(ENOTTY),
    }

    writer.write(&words)?;
    Ok(0)
}
