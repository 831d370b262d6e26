// SPDX-License-Identifier: GPL-2.0

//! What an open file of the test importer holds.

use super::abstractions::{
    dma_buf::DmaBuf,
    dma_buf_import::{
        Attachment,
        MappedAttachment,
        VmappedDmaBuf, //
    },
    software_device::{
        DmaSettings,
        SoftwareDevice, //
    }, //
};
use kernel::{
    dma::DataDirection,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
    }, //
};

/// Something that a process made and may release.
#[derive(Clone)]
enum Object {
    Attachment(Arc<Attachment>),
    Mapping(Arc<MappedAttachment>),
    Vmap(Arc<VmappedDmaBuf>),
}

/// An open file: a device with what is attached to it.
#[pin_data]
pub(super) struct Session {
    // Before the device, so that everything goes before it does.
    #[pin]
    objects: Mutex<KVec<Option<Object>>>,
    #[pin]
    device: Mutex<Option<Arc<SoftwareDevice>>>,
}

/// Numbers the devices, whose names must differ.
static NEXT_DEVICE: Atomic<u32> = Atomic::new(0);

impl Session {
    /// A file that was just opened has no device yet.
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            objects <- new_mutex!(KVec::new()),
            device <- new_mutex!(None),
        })
    }

    /// Makes the file's device. Returns `EBUSY` if it has one.
    pub(super) fn set_device(&self, settings: DmaSettings) -> Result {
        let mut device = self.device.lock();

        if device.is_some() {
            return Err(EBUSY);
        }

        let number = NEXT_DEVICE.fetch_add(1, Relaxed);
        let name = CString::try_from_fmt(fmt!("dma_buf_test_importer.{number}"))?;

        *device = Some(Arc::pin_init(
            SoftwareDevice::new(&name, settings),
            GFP_KERNEL,
        )?);
        Ok(())
    }

    /// Returns the file's device, or `ENODEV` before there is one.
    pub(super) fn device(&self) -> Result<Arc<SoftwareDevice>> {
        self.device.lock().clone().ok_or(ENODEV)
    }

    /// Attaches the device to `dma_buf` and returns the attachment's number.
    pub(super) fn attach(&self, dma_buf: Arc<DmaBuf>) -> Result<u64> {
        let device = self.device()?;

        self.add(Object::Attachment(Attachment::new(
            dma_buf,
            device.device(),
        )?))
    }

    /// Maps an attachment; returns the mapping's number and how many ranges it has.
    pub(super) fn map(&self, attachment: u64, direction: DataDirection) -> Result<(u64, usize)> {
        let Object::Attachment(attachment) = self.object(attachment)? else {
            return Err(EINVAL);
        };
        let mapping = Arc::new(MappedAttachment::new(attachment, direction)?, GFP_KERNEL)?;
        let ranges = mapping.ranges().count();

        Ok((self.add(Object::Mapping(mapping))?, ranges))
    }

    /// Maps `dma_buf` into kernel addresses and returns the vmap's number.
    pub(super) fn vmap(&self, dma_buf: Arc<DmaBuf>) -> Result<u64> {
        self.add(Object::Vmap(Arc::new(
            VmappedDmaBuf::new(dma_buf)?,
            GFP_KERNEL,
        )?))
    }

    /// Returns a mapping, or `EINVAL` if the number is not that of one.
    pub(super) fn mapping(&self, id: u64) -> Result<Arc<MappedAttachment>> {
        match self.object(id)? {
            Object::Mapping(mapping) => Ok(mapping),
            _ => Err(EINVAL),
        }
    }

    /// Returns a vmap, or `EINVAL` if the number is not that of one.
    pub(super) fn vmapped(&self, id: u64) -> Result<Arc<VmappedDmaBuf>> {
        match self.object(id)? {
            Object::Vmap(vmap) => Ok(vmap),
            _ => Err(EINVAL),
        }
    }

    /// Releases an object. An attachment with mappings is detached after the last of them.
    pub(super) fn release(&self, id: u64) -> Result {
        let object = self
            .objects
            .lock()
            .get_mut(usize::try_from(id)?)
            .and_then(Option::take)
            .ok_or(EINVAL)?;

        // The lock is not held here: dropping it calls the exporter.
        drop(object);
        Ok(())
    }

    fn object(&self, id: u64) -> Result<Object> {
        self.objects
            .lock()
            .get(usize::try_from(id)?)
            .and_then(Option::as_ref)
            .cloned()
            .ok_or(EINVAL)
    }

    fn add(&self, object: Object) -> Result<u64> {
        let mut objects = self.objects.lock();

        if let Some(id) = objects.iter().position(Option::is_none) {
            objects[id] = Some(object);
            return Ok(id as u64);
        }
        objects.push(Some(object), GFP_KERNEL)?;
        Ok(objects.len() as u64 - 1)
    }
}
