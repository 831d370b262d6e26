// SPDX-License-Identifier: GPL-2.0

//! What a heap's sysfs directory tells: readable by everyone, knobs writable by root.

use super::device::HeapDevice;
use crate::abstractions::{
    device::sysfs::{
        Attribute,
        AttributeList,
        NumberAttribute,
        TextAttribute, //
    },
    versions::eopnotsupp, //
};
use kernel::prelude::*;

/// The files of each heap.
pub(super) static ATTRIBUTES: &AttributeList<HeapDevice> = &[
    Some(Attribute::of::<Contiguous>()),
    Some(Attribute::of::<Cacheable>()),
    Some(Attribute::of_text::<Area>()),
    Some(Attribute::of::<Limit>()),
    Some(Attribute::of::<UserLimit>()),
    Some(Attribute::of::<Used>()),
    Some(Attribute::of::<MemAccounting>()),
    Some(Attribute::of::<KeepMappings>()),
    Some(Attribute::of::<MapAtMmap>()),
    Some(Attribute::of::<PoolCap>()),
    Some(Attribute::of::<PoolHeld>()),
    Some(Attribute::of::<PoolTrim>()),
    None,
];

/// `contiguous`: 1 if each buffer is one run of physical addresses.
struct Contiguous;

#[vtable]
impl NumberAttribute for Contiguous {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"contiguous";

    fn show(device: &HeapDevice) -> u64 {
        device.heap().contiguous().into()
    }
}

/// `cacheable`: 1 if the CPU maps buffers through its caches, as each heap here does.
struct Cacheable;

#[vtable]
impl NumberAttribute for Cacheable {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"cacheable";

    fn show(_device: &HeapDevice) -> u64 {
        1
    }
}

/// `area`: the name of the contiguous area of which the heap has all, or nothing. The udev rules
/// look up what it has.
struct Area;

impl TextAttribute for Area {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"area";

    fn show(device: &HeapDevice) -> &CStr {
        device.heap().area().map_or(c"", |area| area.name())
    }
}

/// `limit`: bytes that all living buffers of the heap together may take.
struct Limit;

#[vtable]
impl NumberAttribute for Limit {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"limit";

    fn show(device: &HeapDevice) -> u64 {
        device.account().limit()
    }

    fn store(device: &HeapDevice, bytes: u64) -> Result {
        device.account().set_limit(bytes);
        Ok(())
    }
}

/// `user_limit`: bytes that those of one user may take. Follows `limit` until it is written.
struct UserLimit;

#[vtable]
impl NumberAttribute for UserLimit {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"user_limit";

    fn show(device: &HeapDevice) -> u64 {
        device.account().user_limit()
    }

    fn store(device: &HeapDevice, bytes: u64) -> Result {
        device.account().set_user_limit(bytes);
        Ok(())
    }
}

/// `used`: bytes that they take.
struct Used;

#[vtable]
impl NumberAttribute for Used {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"used";

    fn show(device: &HeapDevice) -> u64 {
        device.account().used()
    }
}

/// `mem_accounting`: 1 if the memory cgroup of the task that allocates a buffer pays for it.
struct MemAccounting;

#[vtable]
impl NumberAttribute for MemAccounting {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"mem_accounting";

    fn show(device: &HeapDevice) -> u64 {
        device.heap().charges_cgroups().into()
    }
}

/// `keep_mappings`: 1 (default) if a device's DMA mapping of a buffer is kept when the importer
/// unmaps it, for the next map; 0 if it ends there. `EINVAL` for other numbers.
struct KeepMappings;

#[vtable]
impl NumberAttribute for KeepMappings {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"keep_mappings";

    fn show(device: &HeapDevice) -> u64 {
        device.export().keeps_mappings().into()
    }

    fn store(device: &HeapDevice, keep: u64) -> Result {
        device.export().set_keeps_mappings(flag(keep)?);
        Ok(())
    }
}

/// `map_at_mmap`: 1 if a process's mapping gets all its pages at mmap, 0 if when they are touched.
/// The default is 1 on a `PREEMPT_RT` kernel, else 0. `EINVAL` for other numbers.
struct MapAtMmap;

#[vtable]
impl NumberAttribute for MapAtMmap {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"map_at_mmap";

    fn show(device: &HeapDevice) -> u64 {
        device.export().maps_at_mmap().into()
    }

    fn store(device: &HeapDevice, at_once: u64) -> Result {
        device.export().set_maps_at_mmap(flag(at_once)?);
        Ok(())
    }
}

fn flag(number: u64) -> Result<bool> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EINVAL),
    }
}

/// `pool_cap`: bytes that the heap may keep warm. To keep nothing, write 0.
struct PoolCap;

#[vtable]
impl NumberAttribute for PoolCap {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"pool_cap";

    fn show(device: &HeapDevice) -> u64 {
        device.heap().pool().map_or(0, |pool| pool.ledger().cap())
    }

    fn store(device: &HeapDevice, bytes: u64) -> Result {
        let pool = device.heap().pool().ok_or_else(eopnotsupp)?;

        pool.ledger().set_cap(bytes);
        pool.shed();
        Ok(())
    }
}

/// `pool_held`: bytes that it keeps warm.
struct PoolHeld;

#[vtable]
impl NumberAttribute for PoolHeld {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"pool_held";

    fn show(device: &HeapDevice) -> u64 {
        device.heap().pool().map_or(0, |pool| pool.ledger().held())
    }
}

/// `pool_trim_ms`: milliseconds for which idle memory is kept at least; twice that at most.
struct PoolTrim;

#[vtable]
impl NumberAttribute for PoolTrim {
    type Owner = HeapDevice;

    const NAME: &'static CStr = c"pool_trim_ms";

    fn show(device: &HeapDevice) -> u64 {
        device
            .heap()
            .pool()
            .map_or(0, |pool| pool.ledger().trim_ms())
    }

    fn store(device: &HeapDevice, ms: u64) -> Result {
        let pool = device.heap().pool().ok_or_else(eopnotsupp)?;

        pool.ledger().set_trim_ms(ms);
        pool.retime();
        Ok(())
    }
}
