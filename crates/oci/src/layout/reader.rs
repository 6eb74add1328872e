//! Images of an OCI image layout: a folder of blobs, and an `index.json` that names them.
//!
//! A layout may have come from anywhere, so all that is read of it are regular files in the folder itself: a link could
//! lead to any file of this machine.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, ImageIndex};
use serde::Deserialize;

use crate::blob::{Blobs, read, read_document, sha256};
use crate::platform::Platform;
use crate::platform::pick;
use crate::reference::LATEST;
use crate::referrer::{self, Referrers};
use failure::{corrupt, usage};
use sha256::check_file;

/// The annotation that names a manifest.
pub const NAME: &str = "org.opencontainers.image.ref.name";

/// A layout.
#[derive(Debug)]
pub struct Layout {
    folder: Utf8PathBuf,
    index: ImageIndex,
}

impl Layout {
    /// The layout in `folder`.
    pub fn open(folder: &Utf8Path) -> Result<Self> {
        let index = folder.join("index.json");
        if !index.is_file() {
            return Err(usage(
                format!("{folder} is no OCI layout, it has no index.json"),
                "name the folder of a layout, which holds one",
            ));
        }
        Ok(Self {
            folder: folder.to_owned(),
            index: read(&index, "index of images")?,
        })
    }

    /// Everything that the index names.
    pub fn manifests(&self) -> &[Descriptor] {
        self.index.manifests()
    }

    /// The image with this tag; without one the only image, or `latest`.
    pub fn find(&self, tag: Option<&str>, platform: &Platform) -> Result<&Descriptor> {
        let manifests = self.index.manifests();
        if let (None, [only]) = (tag, manifests.as_slice()) {
            return Ok(only);
        }
        let tag = tag.unwrap_or(LATEST);
        let named: Vec<&Descriptor> = manifests
            .iter()
            .filter(|manifest| name(manifest) == Some(tag))
            .collect();
        match named.as_slice() {
            [] => {
                let there: Vec<&str> = manifests.iter().filter_map(name).collect();
                Err(usage(
                    format!("there is no tag {tag} in {}", self.folder),
                    format!("there are {}", there.join(", ")),
                ))
            }
            [only] => Ok(only),
            several => pick(several, platform),
        }
    }
}

impl Blobs for Layout {
    fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf> {
        let digest = sha256(blob)?;
        let mut file = self.folder.clone();
        let damaged = |reason: String| {
            corrupt(
                format!("{} is damaged: {reason}", self.folder),
                "make it anew; if it holds links, copy what they lead to (`cp -rL`)",
            )
        };
        for name in ["blobs", "sha256"] {
            file.push(name);
            if file.is_symlink() {
                return Err(damaged(format!("{file} is a link")));
            }
        }
        file.push(digest.to_string());
        regular_file::open(&file).map_err(|error| damaged(error.to_string()))?;
        check_file(&file, blob.size(), &digest).map_err(damaged)?;
        Ok(file)
    }
}

impl Referrers for Layout {
    fn referrers(&self, subject: &Descriptor) -> Result<Vec<Descriptor>> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        for listed in self.manifests() {
            // With a name, too: the field decides, as for whoever else reads it. An index may be said of an image as well.
            if !seen.insert(listed.digest().to_string()) {
                continue;
            }
            let read: Referring = read_document(self, listed, "manifest")?;
            if read
                .subject
                .is_some_and(|of| of.digest() == subject.digest())
            {
                all.push(listed.clone());
            }
        }
        referrer::bounded(all, subject)
    }
}

/// A manifest or an index, as far as it matters of what it is said.
#[derive(Deserialize)]
struct Referring {
    subject: Option<Descriptor>,
}

/// The name of an image in a layout.
pub fn name(manifest: &Descriptor) -> Option<&str> {
    let annotations = manifest.annotations().as_ref()?;
    annotations.get(NAME).map(String::as_str)
}
