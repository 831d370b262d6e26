// SPDX-License-Identifier: GPL-2.0

//! Pixel formats by both of their names: V4L2 and DRM have a code of four letters
//! for each, but not the same for all, and the same letters may mean two things.

use drm::buffer::DrmFourcc;
use v4l2r::PixelFormat;

/// Formats of one plane, as V4L2 and as DRM call them, those first that need least
/// work of a screen. DRM names the bits of a little-endian word from the highest
/// down, V4L2 most often the bytes in memory.
const PAIRS: &[(&[u8; 4], DrmFourcc)] = &[
    (b"XR24", DrmFourcc::Xrgb8888), // V4L2_PIX_FMT_XBGR32: bytes B, G, R, x
    (b"AR24", DrmFourcc::Argb8888), // V4L2_PIX_FMT_ABGR32: bytes B, G, R, A
    (b"XB24", DrmFourcc::Xbgr8888), // V4L2_PIX_FMT_RGBX32: bytes R, G, B, x
    (b"BX24", DrmFourcc::Bgrx8888), // V4L2_PIX_FMT_XRGB32: bytes x, R, G, B
    (b"RX24", DrmFourcc::Rgbx8888), // V4L2_PIX_FMT_BGRX32: bytes x, B, G, R
    (b"BGR3", DrmFourcc::Rgb888),   // V4L2_PIX_FMT_BGR24: bytes B, G, R
    (b"RGB3", DrmFourcc::Bgr888),   // V4L2_PIX_FMT_RGB24: bytes R, G, B
    (b"RGBP", DrmFourcc::Rgb565),
    (b"YUYV", DrmFourcc::Yuyv),
    (b"UYVY", DrmFourcc::Uyvy),
];

/// The first format that both know.
pub(crate) fn common(
    camera: &[PixelFormat],
    screen: &[DrmFourcc],
) -> Option<(PixelFormat, DrmFourcc)> {
    PAIRS
        .iter()
        .map(|(v4l2, drm)| (PixelFormat::from_fourcc(v4l2), *drm))
        .find(|(v4l2, drm)| camera.contains(v4l2) && screen.contains(drm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_both_know() {
        let camera = [*b"YUYV", *b"RGB3", *b"BX24"].map(|code| PixelFormat::from_fourcc(&code));
        let screen = [DrmFourcc::Xrgb8888, DrmFourcc::Bgr888, DrmFourcc::Bgrx8888];
        let both = common(&camera, &screen);
        assert_eq!(
            both,
            Some((PixelFormat::from_fourcc(b"BX24"), DrmFourcc::Bgrx8888))
        );
        assert_eq!(common(&camera, &[DrmFourcc::Xrgb8888]), None);
    }
}
