// SPDX-License-Identifier: GPL-2.0

//! `picture FILE WIDTHxHEIGHT columns|rows`: is the PNG FILE a picture of this size
//! with the eight colour bars side by side, or one below the other?
//!
//! Every pixel must be exact. The bars have all of a colour or nothing of it, so in
//! RGB their values are 255 and 0, whatever the colour space and its curve: nothing
//! on the way has anything to round. A frame that is torn, shifted, of the wrong
//! pitch or pixel format, or an older one, differs.
//!
//! Prints TAP and exits as a kselftest does.

#![forbid(unsafe_code)]

use anyhow::Context as _;
use anyhow::bail;
use dmaheap_tap::Tap;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

/// A pixel: red, green, blue.
type Pixel = [u8; 3];

/// How the bars lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bars {
    /// Side by side.
    Columns,
    /// One below the other.
    Rows,
}

/// The bars, from the brightest to the darkest: white, yellow, cyan, green,
/// magenta, red, blue, black. Green, which is brightest, goes first, blue last.
fn bar(index: u32) -> Pixel {
    let off = |bit: u32| if index & bit == 0 { 255 } else { 0 };
    [off(2), off(4), off(1)]
}

impl Bars {
    fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "columns" => Ok(Self::Columns),
            "rows" => Ok(Self::Rows),
            _ => bail!("bars lie in columns or in rows, not in {text:?}"),
        }
    }

    /// What is at a point of a picture.
    fn pixel(self, (x, y): (u32, u32), (width, height): (u32, u32)) -> Pixel {
        match self {
            Self::Columns => bar(x * 8 / width),
            Self::Rows => bar(y * 8 / height),
        }
    }
}

/// A picture: its width and its pixels.
struct Picture {
    size: (u32, u32),
    pixels: Vec<Pixel>,
}

fn read(path: &str) -> anyhow::Result<Picture> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info()?;
    let length = reader
        .output_buffer_size()
        .context("the picture is too large")?;
    let mut bytes = vec![0; length];
    let info = reader.next_frame(&mut bytes)?;
    if info.bit_depth != png::BitDepth::Eight {
        bail!("{path} has {:?} bits, not eight", info.bit_depth);
    }
    let step = match info.color_type {
        png::ColorType::Rgb => 3,
        // What is not opaque would be no picture of a screen.
        png::ColorType::Rgba => 4,
        other => bail!("{path} is {other:?}, not RGB"),
    };
    bytes.truncate(info.buffer_size());
    let pixels = bytes
        .chunks_exact(step)
        .map(|pixel| match pixel {
            [red, green, blue, ..] => [*red, *green, *blue],
            _ => [0; 3],
        })
        .collect();
    Ok(Picture {
        size: (info.width, info.height),
        pixels,
    })
}

/// How many pixels differ, and the first that does: where, what, and what it should
/// be.
#[derive(Debug, PartialEq)]
struct Difference {
    count: usize,
    at: (u32, u32),
    got: Pixel,
    wanted: Pixel,
}

fn difference(picture: &Picture, bars: Bars) -> Option<Difference> {
    let (width, _) = picture.size;
    let mut first = None;
    let points = (0..).flat_map(|y| (0..width).map(move |x| (x, y)));
    for (got, at) in picture.pixels.iter().zip(points) {
        let wanted = bars.pixel(at, picture.size);
        if *got != wanted {
            first
                .get_or_insert(Difference {
                    count: 0,
                    at,
                    got: *got,
                    wanted,
                })
                .count += 1;
        }
    }
    first
}

fn run(tap: &mut Tap) -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, size, bars] = arguments.as_slice() else {
        bail!("usage: picture FILE WIDTHxHEIGHT columns|rows");
    };
    let bars = Bars::parse(bars)?;
    let picture = read(path)?;
    tap.plan(2);
    let (width, height) = picture.size;
    tap.expect(
        format!("{width}x{height}") == *size,
        &format!("the screen has {size} pixels"),
        &format!("it has {width}x{height}"),
    );
    let test = "every pixel of the screen is the camera's";
    match difference(&picture, bars) {
        None => tap.pass(test),
        Some(Difference {
            count,
            at,
            got,
            wanted,
        }) => tap.fail(
            test,
            &format!(
                "{count} of {} differ, first {at:?}: {got:?} and not {wanted:?}",
                picture.pixels.len()
            ),
        ),
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut tap = Tap::start();
    match run(&mut tap) {
        Ok(()) => tap.finish(),
        Err(error) => tap.bail_out(&format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u32, u32) = (16, 9);

    fn picture(bars: Bars) -> Picture {
        let points = (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (x, y)));
        Picture {
            size: SIZE,
            pixels: points.map(|at| bars.pixel(at, SIZE)).collect(),
        }
    }

    #[test]
    fn bars_are_those_of_the_standard() {
        let names = [
            [255, 255, 255],
            [255, 255, 0],
            [0, 255, 255],
            [0, 255, 0],
            [255, 0, 255],
            [255, 0, 0],
            [0, 0, 255],
            [0, 0, 0],
        ];
        assert!((0..8).map(bar).eq(names));
    }

    #[test]
    fn a_right_picture_passes() {
        for bars in [Bars::Columns, Bars::Rows] {
            assert_eq!(difference(&picture(bars), bars), None);
        }
    }

    #[test]
    fn one_wrong_pixel_is_found() {
        let mut wrong = picture(Bars::Columns);
        if let Some(pixel) = wrong.pixels.get_mut(16 + 15) {
            *pixel = [0, 0, 1];
        }
        let found = Difference {
            count: 1,
            at: (15, 1),
            got: [0, 0, 1],
            wanted: [0, 0, 0],
        };
        assert_eq!(difference(&wrong, Bars::Columns), Some(found));
    }

    #[test]
    fn a_line_too_far_is_found() {
        let mut shifted = picture(Bars::Rows);
        shifted.pixels.rotate_left(16);
        // A line at the top of each bar but for the two lines of the last but one.
        let count = difference(&shifted, Bars::Rows).map(|difference| difference.count);
        assert_eq!(count, Some(8 * 16));
    }
}
