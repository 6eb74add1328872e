//! The image that a benchmark runs commands in.

use anyhow::Result;
use camino::Utf8Path;
use clap::Args;

use crate::flags::ImageLayout;
use engine::progress::{Kind, Progress};
use oci::image::Image;
use oci::platform::Platform;
use pipeline::names::LATEST;

/// An image of a layout.
#[derive(Debug, Args)]
pub struct ImageOfLayout {
    #[command(flatten)]
    pub layout: ImageLayout,
    /// Image in the layout
    #[arg(long, value_name = "NAME", default_value = LATEST)]
    pub name: String,
}

impl ImageOfLayout {
    /// Unpacks it into `root`.
    pub fn unpack(&self, root: &Utf8Path, progress: &mut Progress) -> Result<Image> {
        let (layout, platform) = (self.layout.open()?, Platform::host());
        let descriptor = layout.find(Some(&self.name), &platform)?;
        let image = Image::fetch(&layout, descriptor, &platform)?;
        progress.step("unpack", Kind::Local, |_| image.unpack(root))?;
        Ok(image)
    }
}
