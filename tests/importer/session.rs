// SPDX-License-Identifier: GPL-2.0

//! What an open file of the test importer holds.

use super::abstractions::{
    device::while_bound::{
        BoundDevice,
        OrphanDevice, //
    },
    dma_buf::{
        importer::{
            Attachment,
            Importing,
            MappedAttachment,
            VmappedDmaBuf, //
        },
        software_device::{
            DmaSettings,
            HeldPage,
            SoftwareDevice, //
        },
        DmaBuf, //
    },
    versions::eopnotsupp, //
};
use super::edu::Claim;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DataDirection,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Something that a process made and may release.
#[derive(Clone)]
enum Object {
    Attachment(Arc<Attachment>),
    Mapping(Arc<MappedAttachment>),
    Vmap(Arc<VmappedDmaBuf>),
    /// A reference, which releasing gives back.
    Page(#[expect(dead_code, reason = "it is only held")] Arc<HeldPage>),
}

/// What a process has made with an open file, by number.
#[pin_data]
pub(super) struct Objects {
    /// [`None`] once the device has gone.
    #[pin]
    list: Mutex<Option<KVec<Option<Object>>>>,
    /// Whether attachments stay when the device loses its driver.
    keeps_attachments: Atomic<bool>,
}

impl Objects {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(Some(KVec::new())),
                keeps_attachments: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Releases everything, and takes no more.
    pub(super) fn close(&self) {
        let objects = self.list.lock().take();

        // The lock is not held here: dropping them calls exporters.
        drop(objects);
    }

    /// Releases what the device must not use any more, as it loses its driver.
    pub(super) fn unbind(&self) {
        if !self.keeps_attachments.load(Relaxed) {
            return self.close();
        }

        let count = self.list.lock().as_ref().map_or(0, |objects| objects.len());

        // One by one, without the lock, as above.
        for id in 0..count as u64 {
            if matches!(self.get(id), Ok(Object::Mapping(_) | Object::Vmap(_))) {
                // What a process has released meanwhile is gone.
                let _ = self.release(id);
            }
        }
    }

    /// Returns the nanoseconds that it took to undo what the object stands for.
    fn release(&self, id: u64) -> Result<u64> {
        let id = usize::try_from(id)?;
        let object = {
            let mut list = self.list.lock();

            match &mut *list {
                Some(objects) => objects.get_mut(id).and_then(Option::take),
                None => None,
            }
        };

        let object = object.ok_or(EINVAL)?;
        let start = Instant::<Monotonic>::now();

        // As above.
        drop(object);
        Ok(start.elapsed().as_nanos().try_into()?)
    }

    fn get(&self, id: u64) -> Result<Object> {
        self.list
            .lock()
            .as_ref()
            .and_then(|objects| objects.get(usize::try_from(id).ok()?))
            .and_then(Option::as_ref)
            .cloned()
            .ok_or(EINVAL)
    }

    fn add(&self, object: Object) -> Result<u64> {
        let mut list = self.list.lock();
        let Some(objects) = &mut *list else {
            return Err(ENODEV);
        };

        if let Some(id) = objects.iter().position(Option::is_none) {
            objects[id] = Some(object);
            return Ok(id as u64);
        }
        objects.push(Some(object), GFP_KERNEL)?;
        Ok(objects.len() as u64 - 1)
    }
}

/// The device that an open file plays.
#[derive(Clone)]
pub(super) enum Player {
    Software(Arc<SoftwareDevice>),
    Edu(Arc<Claim>),
}

/// The device itself, which keeps its driver until this is dropped, if it still has one.
enum PlayerDevice<'a> {
    Software(&'a Device<Bound>),
    Edu(BoundDevice<'a>),
    Orphan(OrphanDevice<'a>),
}

impl PlayerDevice<'_> {
    fn get(&self) -> &dyn Importing {
        match self {
            Self::Software(device) => *device,
            Self::Edu(device) => &**device,
            Self::Orphan(device) => device,
        }
    }
}

impl Player {
    /// Returns the device. Other tasks that want it have to wait.
    fn device(&self) -> PlayerDevice<'_> {
        match self {
            Self::Software(device) => PlayerDevice::Software(device.device()),
            Self::Edu(claim) => claim
                .device()
                .map_or_else(PlayerDevice::Orphan, PlayerDevice::Edu),
        }
    }

    /// Returns the device in software. `EOPNOTSUPP` says that it is another one.
    pub(super) fn software(&self) -> Result<&SoftwareDevice> {
        match self {
            Self::Software(device) => Ok(device),
            Self::Edu(_) => Err(eopnotsupp()),
        }
    }

    /// Returns the edu device. `EOPNOTSUPP` says that it is another one.
    pub(super) fn edu(&self) -> Result<&Claim> {
        match self {
            Self::Edu(claim) => Ok(claim),
            Self::Software(_) => Err(eopnotsupp()),
        }
    }
}

/// An open file: a device with what is attached to it.
#[pin_data(PinnedDrop)]
pub(super) struct Session {
    objects: Arc<Objects>,
    #[pin]
    player: Mutex<Option<Player>>,
}

/// Numbers the devices, whose names must differ.
static NEXT_DEVICE: Atomic<u32> = Atomic::new(0);

impl Session {
    /// A file that was just opened has no device yet.
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            objects: Objects::new()?,
            player <- new_mutex!(None),
        })
    }

    /// Makes the file's device. Returns `EBUSY` if it has one.
    pub(super) fn set_device(&self, settings: DmaSettings) -> Result {
        self.set_player(|| {
            let number = NEXT_DEVICE.fetch_add(1, Relaxed);
            let name = CString::try_from_fmt(fmt!("dma_buf_test_importer.{number}"))?;
            let device = SoftwareDevice::new(&name, settings);

            Ok(Player::Software(Arc::pin_init(device, GFP_KERNEL)?))
        })
    }

    /// Makes the `index`th edu device the file's. Returns `EBUSY` if the file has a device or the
    /// device a file, and `ENODEV` if there are not so many.
    pub(super) fn set_edu(&self, index: u64) -> Result {
        self.set_player(|| {
            let claim = Claim::new(usize::try_from(index)?, self.objects.clone())?;

            Ok(Player::Edu(Arc::new(claim, GFP_KERNEL)?))
        })
    }

    fn set_player(&self, make: impl FnOnce() -> Result<Player>) -> Result {
        let mut player = self.player.lock();

        if player.is_some() {
            return Err(EBUSY);
        }
        *player = Some(make()?);
        Ok(())
    }

    /// Returns the file's device, or `ENODEV` before there is one.
    pub(super) fn player(&self) -> Result<Player> {
        self.player.lock().clone().ok_or(ENODEV)
    }

    /// Does something with the file's device, which does not lose its driver before that is done.
    ///
    /// Returns `ENODEV` if it has none, or has lost that, unless attachments stay then.
    pub(super) fn with_device<R>(
        &self,
        something: impl FnOnce(&Player, &dyn Importing) -> Result<R>,
    ) -> Result<R> {
        let player = self.player()?;
        let device = player.device();

        if matches!(device, PlayerDevice::Orphan(_))
            && !self.objects.keeps_attachments.load(Relaxed)
        {
            return Err(ENODEV);
        }
        something(&player, device.get())
    }

    /// Attaches the device to `dma_buf` and returns the attachment's number.
    pub(super) fn attach(&self, dma_buf: ARef<DmaBuf>) -> Result<u64> {
        self.with_device(|_, device| {
            let attachment = Attachment::new(dma_buf, device)?;

            self.objects.add(Object::Attachment(attachment))
        })
    }

    /// Maps an attachment; returns the mapping's number, how many ranges it has, and the
    /// nanoseconds that the map alone took.
    pub(super) fn map(
        &self,
        attachment: u64,
        direction: DataDirection,
    ) -> Result<(u64, usize, u64)> {
        self.with_device(|_, device| {
            let attachment = self.attachment(attachment)?;
            let start = Instant::<Monotonic>::now();
            let mapping = MappedAttachment::new(attachment, device, direction)?;
            let nanos = start.elapsed().as_nanos().try_into()?;
            let mapping = Arc::new(mapping, GFP_KERNEL)?;
            let ranges = mapping.ranges().count();

            Ok((self.objects.add(Object::Mapping(mapping))?, ranges, nanos))
        })
    }

    /// Tries to map an attachment; returns the errno, or 0, and the nanoseconds of the map alone.
    pub(super) fn try_map(&self, attachment: u64, direction: DataDirection) -> Result<(u64, u64)> {
        self.with_device(|_, device| {
            let attachment = self.attachment(attachment)?;
            let start = Instant::<Monotonic>::now();
            let mapping = MappedAttachment::new(attachment, device, direction);
            let nanos = start.elapsed().as_nanos().try_into()?;
            let errno = mapping.map_or_else(|error| -error.to_errno(), |_| 0);

            Ok((errno.try_into()?, nanos))
        })
    }

    /// Has attachments stay when the driver of the file's device is unbound.
    pub(super) fn keep_attachments(&self) {
        self.objects.keeps_attachments.store(true, Relaxed);
    }

    /// Maps `dma_buf` into kernel addresses and returns the vmap's number.
    pub(super) fn vmap(&self, dma_buf: ARef<DmaBuf>) -> Result<u64> {
        self.objects.add(Object::Vmap(Arc::new(
            VmappedDmaBuf::new(dma_buf)?,
            GFP_KERNEL,
        )?))
    }

    /// Takes a reference to the page at byte `offset` of a mapping of a device in software, and
    /// returns its number.
    pub(super) fn hold_page(&self, mapping: u64, offset: u64) -> Result<u64> {
        let player = self.player()?;
        let mapping = self.mapping(mapping)?;
        let page = player.software()?.hold_page(&mapping, offset.try_into()?)?;

        self.objects.add(Object::Page(Arc::new(page, GFP_KERNEL)?))
    }

    /// Returns an attachment, or `EINVAL` if the number is not that of one.
    pub(super) fn attachment(&self, id: u64) -> Result<Arc<Attachment>> {
        match self.objects.get(id)? {
            Object::Attachment(attachment) => Ok(attachment),
            _ => Err(EINVAL),
        }
    }

    /// Returns a mapping, or `EINVAL` if the number is not that of one.
    pub(super) fn mapping(&self, id: u64) -> Result<Arc<MappedAttachment>> {
        match self.objects.get(id)? {
            Object::Mapping(mapping) => Ok(mapping),
            _ => Err(EINVAL),
        }
    }

    /// Returns a vmap, or `EINVAL` if the number is not that of one.
    pub(super) fn vmapped(&self, id: u64) -> Result<Arc<VmappedDmaBuf>> {
        match self.objects.get(id)? {
            Object::Vmap(vmap) => Ok(vmap),
            _ => Err(EINVAL),
        }
    }

    /// Releases an object and returns the nanoseconds that this took. An attachment with mappings
    /// is detached after the last of them.
    pub(super) fn release(&self, id: u64) -> Result<u64> {
        let player = self.player().ok();
        // Until it is done: whoever unbinds the driver waits for it.
        let _device = player.as_ref().map(Player::device);

        self.objects.release(id)
    }

    /// The same for who has the device in hands.
    pub(super) fn release_for(&self, _device: &dyn Importing, id: u64) -> Result<u64> {
        self.objects.release(id)
    }
}

#[pinned_drop]
impl PinnedDrop for Session {
    fn drop(self: Pin<&mut Self>) {
        let player = self.player().ok();
        // Whoever unbinds the driver waits for it.
        let _device = player.as_ref().map(Player::device);

        // Everything goes before the device does.
        self.objects.close();
    }
}
