//! The image that a benchmark runs commands in.

use anyhow::Result;
use camino::Utf8Path;

use crate::flags::ImageLayout;
use engine::progress::{Kind, Progress};
use oci::image::Image;
use oci::platform::Platform;

/// Unpacks the image `name` of `layout` into `root`.
pub fn unpack(
    layout: &ImageLayout,
    name: &str,
    root: &Utf8Path,
    progress: &mut Progress,
) -> Result<Image> {
    let (layout, platform) = (layout.open()?, Platform::host());
    let descriptor = layout.find(Some(name), &platform)?;
    let image = Image::fetch(&layout, descriptor, &platform)?;
    progress.step("unpack", Kind::Local, |_| image.unpack(root))?;
    Ok(image)
}
