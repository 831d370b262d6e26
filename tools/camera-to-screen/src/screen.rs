// SPDX-License-Identifier: GPL-2.0

//! The screen: a KMS device that shows dma-bufs of somebody else's.
//!
//! A buffer comes in by PRIME (`DRM_IOCTL_PRIME_FD_TO_HANDLE`), which attaches the
//! dma-buf to the device. A framebuffer says what is in it: size, pixel format,
//! pitch. Then a framebuffer is shown by a mode setting, and each later one by a
//! page flip, which takes effect at the next vertical blanking; the event that the
//! device sends then says that the one before is free again.

use crate::camera::FrameFormat;
use anyhow::Context as _;
use anyhow::bail;
use dma_heap::Buffer;
use drm::ClientCapability;
use drm::Device as _;
use drm::buffer::DrmFourcc;
use drm::buffer::DrmModifier;
use drm::buffer::Handle;
use drm::buffer::PlanarBuffer;
use drm::control::Device as _;
use drm::control::Event;
use drm::control::FbCmd2Flags;
use drm::control::Mode;
use drm::control::PageFlipFlags;
use drm::control::PlaneType;
use drm::control::ResourceHandles;
use drm::control::connector;
use drm::control::connector::State;
use drm::control::crtc;
use drm::control::framebuffer;
use drm::control::plane;
use std::fs::File;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// An open device of /dev/dri.
struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// A device with a connected screen.
pub(crate) struct Screen {
    card: Card,
    connector: connector::Info,
    crtc: crtc::Handle,
    formats: Vec<DrmFourcc>,
    pub(crate) name: String,
}

/// A buffer that the screen can show.
pub(crate) type Framebuffer = framebuffer::Handle;

/// What is in an imported buffer.
struct Picture<'a> {
    frame: &'a FrameFormat,
    format: DrmFourcc,
    handle: Handle,
}

impl PlanarBuffer for Picture<'_> {
    fn size(&self) -> (u32, u32) {
        (self.frame.width, self.frame.height)
    }

    fn format(&self) -> DrmFourcc {
        self.format
    }

    fn modifier(&self) -> Option<DrmModifier> {
        None
    }

    fn pitches(&self) -> [u32; 4] {
        [self.frame.pitch, 0, 0, 0]
    }

    fn handles(&self) -> [Option<Handle>; 4] {
        [Some(self.handle), None, None, None]
    }

    fn offsets(&self) -> [u32; 4] {
        [0; 4]
    }
}

impl Screen {
    /// Opens a device, or the first that has a screen.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = path {
            return Self::try_open(path)
                .with_context(|| format!("cannot use the screen of {}", path.display()))?
                .with_context(|| format!("no screen is connected to {}", path.display()));
        }
        let entries = std::fs::read_dir("/dev/dri").context("no graphics device (/dev/dri)")?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.to_string_lossy().starts_with("/dev/dri/card"));
        paths.sort();
        for path in &paths {
            // One that only renders has no screens to ask for.
            if let Ok(Some(screen)) = Self::try_open(path) {
                return Ok(screen);
            }
        }
        bail!("no screen is connected to any of {paths:?}")
    }

    fn try_open(path: &Path) -> anyhow::Result<Option<Self>> {
        let card = Card(OpenOptions::new().read(true).write(true).open(path)?);
        // Without it, the kernel would not tell of primary planes, and so not of
        // the formats they take.
        card.set_client_capability(ClientCapability::UniversalPlanes, true)?;
        let resources = card.resource_handles()?;
        for handle in resources.connectors() {
            let connector = card.get_connector(*handle, true)?;
            if connector.state() != State::Connected || connector.modes().is_empty() {
                continue;
            }
            let Some(crtc) = crtc_for(&card, &resources, &connector)? else {
                continue;
            };
            let formats = primary_plane(&card, &resources, crtc)?
                .formats()
                .iter()
                .filter_map(|code| DrmFourcc::try_from(*code).ok())
                .collect();
            let driver = card.get_driver()?;
            return Ok(Some(Self {
                name: format!(
                    "{connector} of {} ({})",
                    path.display(),
                    driver.name().to_string_lossy()
                ),
                card,
                connector,
                crtc,
                formats,
            }));
        }
        Ok(None)
    }

    /// The pixel formats that it shows.
    pub(crate) fn formats(&self) -> &[DrmFourcc] {
        &self.formats
    }

    /// Its mode with exactly this size, and of those the one with the most pictures
    /// a second.
    pub(crate) fn mode(&self, size: (u32, u32)) -> Option<Mode> {
        let modes = self.connector.modes().iter();
        modes
            .filter(|mode| (mode.size().0.into(), mode.size().1.into()) == size)
            .max_by_key(|mode| mode.vrefresh())
            .copied()
    }

    /// All sizes that it has, as text.
    pub(crate) fn sizes(&self) -> String {
        let mut sizes: Vec<_> = self.connector.modes().iter().map(Mode::size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let sizes: Vec<String> = sizes.iter().map(|(x, y)| format!("{x}x{y}")).collect();
        sizes.join(" ")
    }

    /// Makes a buffer one that the screen can show. Nothing is mapped or copied.
    pub(crate) fn import(
        &self,
        buffer: &Buffer,
        frame: &FrameFormat,
        format: DrmFourcc,
    ) -> anyhow::Result<Framebuffer> {
        let handle = self
            .card
            .prime_fd_to_buffer(buffer.as_fd())
            .context("the screen's driver does not import a buffer")?;
        let picture = Picture {
            frame,
            format,
            handle,
        };
        let framebuffer = self
            .card
            .add_planar_framebuffer(&picture, FbCmd2Flags::empty());
        // A framebuffer has a reference of its own to what it shows.
        self.card.close_buffer(handle)?;
        framebuffer.with_context(|| {
            format!(
                "the screen's driver does not show {format} with {} bytes a line",
                frame.pitch
            )
        })
    }

    /// Sets a mode and shows a framebuffer in it, at once.
    pub(crate) fn show(&self, framebuffer: Framebuffer, mode: Mode) -> anyhow::Result<()> {
        self.card
            .set_crtc(
                self.crtc,
                Some(framebuffer),
                (0, 0),
                &[self.connector.handle()],
                Some(mode),
            )
            .context(
                "the screen's mode cannot be set: does another program, such as a desktop, have it?",
            )
    }

    /// Shows a framebuffer from the next vertical blanking on, and returns at once.
    pub(crate) fn flip(&self, framebuffer: Framebuffer) -> anyhow::Result<()> {
        self.card
            .page_flip(self.crtc, framebuffer, PageFlipFlags::EVENT, None)
            .context("the screen does not flip")
    }

    /// When the flip took effect, by CLOCK_MONOTONIC. Waits for it.
    pub(crate) fn flipped(&self) -> anyhow::Result<Option<Duration>> {
        let mut time = None;
        for event in self.card.receive_events()? {
            if let Event::PageFlip(flip) = event {
                time = Some(flip.duration);
            }
        }
        Ok(time)
    }

    /// Lets go of a buffer. One that is shown makes the screen dark.
    pub(crate) fn forget(&self, framebuffer: Framebuffer) -> anyhow::Result<()> {
        self.card
            .destroy_framebuffer(framebuffer)
            .context("cannot remove a framebuffer")
    }

    /// Switches the screen off.
    pub(crate) fn switch_off(&self) -> anyhow::Result<()> {
        self.card
            .set_crtc(self.crtc, None, (0, 0), &[], None)
            .context("cannot switch the screen off")
    }
}

impl AsFd for Screen {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.card.as_fd()
    }
}

/// What can send pictures to a connector.
fn crtc_for(
    card: &Card,
    resources: &ResourceHandles,
    connector: &connector::Info,
) -> anyhow::Result<Option<crtc::Handle>> {
    for encoder in connector.encoders() {
        let possible = card.get_encoder(*encoder)?.possible_crtcs();
        if let Some(crtc) = resources.filter_crtcs(possible).first() {
            return Ok(Some(*crtc));
        }
    }
    Ok(None)
}

/// The plane that the whole picture of a CRTC comes from.
fn primary_plane(
    card: &Card,
    resources: &ResourceHandles,
    crtc: crtc::Handle,
) -> anyhow::Result<plane::Info> {
    for handle in card.plane_handles()? {
        let plane = card.get_plane(handle)?;
        if !resources
            .filter_crtcs(plane.possible_crtcs())
            .contains(&crtc)
        {
            continue;
        }
        for (property, value) in card.get_properties(handle)?.iter() {
            let is_type = card.get_property(*property)?.name().to_bytes() == b"type";
            if is_type && *value == u64::from(PlaneType::Primary as u32) {
                return Ok(plane);
            }
        }
    }
    bail!("the device has no primary plane")
}
