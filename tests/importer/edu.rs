// SPDX-License-Identifier: GPL-2.0

//! QEMU's `edu` device: an importer that really does DMA, through whatever IOMMU stands before it.
//!
//! Its engine moves bytes between memory and a buffer of 4 KiB in the device, which nobody else
//! reaches. One transfer takes a tenth of a second. QEMU documents it in `docs/specs/edu.rst`.
//!
//! An open file of the importer may claim a device. When the driver is unbound, a command of the
//! file that is under way and takes the device is waited for. Then everything that the file holds
//! is released, or all but attachments if the process has asked for that.

use super::session::Objects;
use crate::abstractions::{
    device::while_bound::{
        BoundDevice,
        OrphanDevice,
        WhileBound, //
    },
    versions::{
        parameter,
        pci_device_table,
        DevresBar,
        PciIdInfo, //
    }, //
};
use kernel::{
    device::Core,
    dma::{
        Device as _,
        DmaMask, //
    },
    io::{
        poll::read_poll_timeout,
        Io, //
    },
    pci,
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Bytes of the device's own buffer.
pub(super) const BUFFER_SIZE: usize = 4096;

/// Where the engine has that buffer.
const BUFFER: u64 = 0x40000;

/// Offsets of registers in BAR 0, of 64 bits each.
const SOURCE: usize = 0x80;
const DESTINATION: usize = 0x88;
const COUNT: usize = 0x90;
const COMMAND: usize = 0x98;
const REGISTERS_END: usize = 0xa0;

/// Bits of the command register. The first one is set for as long as the engine runs.
const START: u64 = 1;
const TO_MEMORY: u64 = 2;

const POLL: Delta = Delta::from_millis(5);
/// Where it matters when something happens.
const FINE: Delta = Delta::from_micros(200);
const TIMEOUT: Delta = Delta::from_secs(5);

kernel::sync::global_lock! {
    // SAFETY: The module calls `init()` below before it registers anything that uses the list.
    unsafe(uninit) static BOUND: Mutex<KVec<Arc<Edu>>> = KVec::new();
}

/// Prepares the list of devices.
///
/// # Safety
///
/// To be called once, when the module is loaded, before the driver or a node is registered.
pub(super) unsafe fn init() {
    // SAFETY: By the safety requirements of this function.
    unsafe { BOUND.init() };
}

/// A device that the driver is bound to.
#[pin_data]
pub(super) struct Edu {
    device: Arc<WhileBound>,
    registers: DevresBar<REGISTERS_END>,
    /// What the file holds that has claimed the device.
    #[pin]
    user: Mutex<Option<Arc<Objects>>>,
    /// Held during a transfer: there is one engine.
    #[pin]
    engine: Mutex<()>,
}

impl Edu {
    /// Sets the device up. Returns `ENODEV` for any other.
    fn bind(device: &pci::Device<Core<'_>>) -> Result<Arc<Self>> {
        if (device.vendor_id().as_raw(), device.device_id()) != (0x1234, 0x11e8) {
            return Err(ENODEV);
        }

        let bits = parameter(super::module_parameters::edu_mask_bits.value());
        let mask = DmaMask::try_new(bits).inspect_err(|_| {
            dev_err!(device, "edu_mask_bits={} is not from 0 to 64\n", bits);
        })?;

        device.enable_device_mem()?;
        // SAFETY: Nobody maps anything for the device before it is in the list.
        unsafe { device.dma_set_mask_and_coherent(mask)? };
        let max_segment = parameter(super::module_parameters::edu_max_segment.value());
        // SAFETY: As above.
        unsafe { device.dma_set_max_seg_size(max_segment) };
        device.set_master();

        let registers = device
            .iomap_region_sized::<REGISTERS_END>(0, c"dma_buf_test_importer")?
            .into_devres()?;
        let edu = Arc::pin_init(
            try_pin_init!(Self {
                // SAFETY: `unbind` ends it first. It is in the list when nothing can fail any more.
                device: unsafe { WhileBound::new(device.as_ref())? },
                registers,
                user <- new_mutex!(None),
                engine <- new_mutex!(()),
            }),
            GFP_KERNEL,
        )?;

        BOUND.lock().push(edu.clone(), GFP_KERNEL)?;
        Ok(edu)
    }

    /// Writes a register. A 32-bit kernel does it by one access of 32 bits, which the device takes
    /// for the whole register: `EINVAL` if that is too little.
    fn write(&self, register: usize, value: u64) -> Result {
        let registers = self.registers.try_access().ok_or(ENODEV)?;

        #[cfg(CONFIG_64BIT)]
        return registers.try_write64(value, register);
        #[cfg(not(CONFIG_64BIT))]
        return registers.try_write32(u32::try_from(value).map_err(|_| EINVAL)?, register);
    }

    fn read(&self, register: usize) -> Result<u64> {
        let registers = self.registers.try_access().ok_or(ENODEV)?;

        #[cfg(CONFIG_64BIT)]
        return registers.try_read64(register);
        #[cfg(not(CONFIG_64BIT))]
        return Ok(registers.try_read32(register)?.into());
    }

    /// Has the engine do a transfer, and does something `meanwhile`.
    fn transfer(
        &self,
        command: u64,
        source: u64,
        destination: u64,
        len: usize,
        poll: Delta,
        meanwhile: impl FnOnce() -> Result,
    ) -> Result {
        let _engine = self.engine.lock();

        self.write(SOURCE, source)?;
        self.write(DESTINATION, destination)?;
        self.write(COUNT, len as u64)?;
        self.write(COMMAND, START | command)?;

        let done = meanwhile();

        // In any case: the next one must find the engine at rest.
        read_poll_timeout(
            || self.read(COMMAND),
            |command| command & START == 0,
            poll,
            TIMEOUT,
        )?;
        done
    }
}

/// The right of one open file to use a device, until it is dropped.
pub(super) struct Claim(Arc<Edu>);

impl Claim {
    /// Claims the `index`th device for a file that holds `objects`.
    ///
    /// Returns `ENODEV` if there are not so many, and `EBUSY` if another file has it.
    pub(super) fn new(index: usize, objects: Arc<Objects>) -> Result<Self> {
        // Until the end: an unbinding first takes the device from the list.
        let bound = BOUND.lock();
        let edu = bound.get(index).ok_or(ENODEV)?;
        let mut user = edu.user.lock();

        if user.is_some() {
            return Err(EBUSY);
        }
        *user = Some(objects);
        drop(user);
        Ok(Self(edu.clone()))
    }

    /// Returns the device, which is bound until that is dropped, or what is left of it.
    pub(super) fn device(&self) -> Result<BoundDevice<'_>, OrphanDevice<'_>> {
        self.0.device.get()
    }

    /// Has the device read `len` bytes of memory from `address` on, into its buffer at `offset`.
    ///
    /// Returns `EINVAL` for more than the buffer has, and `ETIMEDOUT` if the engine does not end.
    pub(super) fn load(&self, address: u64, offset: usize, len: usize) -> Result {
        let place = place(offset, len)?;

        self.0.transfer(0, address, place, len, POLL, || Ok(()))
    }

    /// Has the device write `len` bytes of memory from `address` on, out of its buffer at `offset`.
    ///
    /// Fails as [`Self::load`] does.
    pub(super) fn store(&self, address: u64, offset: usize, len: usize) -> Result {
        let place = place(offset, len)?;

        self.0
            .transfer(TO_MEMORY, place, address, len, POLL, || Ok(()))
    }

    /// The same, and does `something` when `time` has passed since the start. Returns after how
    /// many nanoseconds that had ended, and after how many the transfer: 0 if before.
    pub(super) fn store_and(
        &self,
        address: u64,
        offset: usize,
        len: usize,
        time: Delta,
        something: impl FnOnce() -> Result,
    ) -> Result<(u64, u64)> {
        let place = place(offset, len)?;
        let mut start = Instant::<Monotonic>::now();
        let (mut ended, mut is_first) = (Delta::ZERO, false);

        self.0.transfer(TO_MEMORY, place, address, len, FINE, || {
            start = Instant::now();
            while start.elapsed() < time {
                fsleep(FINE);
            }
            something()?;
            ended = start.elapsed();
            is_first = self.0.read(COMMAND)? & START != 0;
            Ok(())
        })?;

        let transferred = if is_first {
            start.elapsed()
        } else {
            Delta::ZERO
        };

        Ok((
            ended.as_nanos().try_into()?,
            transferred.as_nanos().try_into()?,
        ))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let user = self.0.user.lock().take();

        drop(user);
    }
}

/// Returns where the engine has the bytes of the device's buffer.
fn place(offset: usize, len: usize) -> Result<u64> {
    match offset.checked_add(len) {
        Some(end) if len > 0 && end <= BUFFER_SIZE => Ok(BUFFER + offset as u64),
        _ => Err(EINVAL),
    }
}

/// The driver.
pub(super) struct Driver;

pci_device_table!(
    IDS,
    <Driver as pci::Driver>::IdInfo,
    [(
        // The vendor has no name that could stand here: what is bound is seen to in `bind()`.
        pci::DeviceId::from_class(
            pci::Class::OTHERS.as_raw(),
            pci::ClassMask::ClassSubclass as u32
        ),
        ()
    )]
);

impl pci::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Arc<Edu>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &IDS;

    fn probe<'bound>(
        device: &'bound pci::Device<Core<'_>>,
        _info: PciIdInfo<'bound, Self::IdInfo>,
    ) -> impl PinInit<Arc<Edu>, Error> + 'bound {
        Edu::bind(device)
    }

    fn unbind<'bound>(_device: &'bound pci::Device<Core<'_>>, this: Pin<&Arc<Edu>>) {
        // First what is under way, then what it has left.
        this.device.end();

        let mut bound = BOUND.lock();

        bound.retain(|edu| !Arc::ptr_eq(edu, &this));
        if bound.is_empty() {
            // A static is never dropped.
            *bound = KVec::new();
        }
        drop(bound);

        let user = this.user.lock().take();

        if let Some(objects) = user {
            objects.unbind();
        }
    }
}
