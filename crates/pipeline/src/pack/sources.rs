//! Where packs come from that a user names: folders, archives, and tags of a registry.

use anyhow::Result;
use camino::Utf8Path;
use oci_spec::distribution::Reference as RegistryReference;
use oci_spec::image::Descriptor;

use crate::pack::archive;
use crate::pack::artifact::Artifact;
use crate::pack::kept::KeptPack;
use crate::signatures::trust::Trust;
use crate::work::{Scratch, Work};
use engine::progress::Step;
use failure::usage;
use oci::layout::reader::{self, Layout};
use oci::reference::names_a_host;
use oci::referrer::Referrers;
use oci::registry::{Registry, TransferredBytes};

/// Reads packs from anywhere, for one command.
pub struct PackSources<'a> {
    /// Where blobs that are pulled are kept.
    work: &'a Work,
    /// Whether plain HTTP is spoken with registries.
    insecure: bool,
    /// Whose signatures packs must have, if any.
    trust: Option<&'a Trust>,
    /// Tells how far it is.
    step: &'a Step,
    unpacked: Vec<Scratch>,
    received_bytes: u64,
    has_rest: bool,
}

impl<'a> PackSources<'a> {
    /// For one command.
    pub fn new(work: &'a Work, insecure: bool, step: &'a Step) -> Self {
        Self {
            work,
            insecure,
            trust: None,
            step,
            unpacked: Vec::new(),
            received_bytes: 0,
            has_rest: false,
        }
    }

    /// The same, taking no pack without a signature that `trust` demands.
    #[must_use]
    pub fn trusting(self, trust: Option<&'a Trust>) -> Self {
        Self { trust, ..self }
    }

    /// Bytes that came from registries so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Whether a pack of caches among those that were read says that there is a pack `rest` beside it.
    pub fn has_rest(&self) -> bool {
        self.has_rest
    }

    /// Hands each pack that `name` leads to, to `take`, with its place if that is a registry. What was taken out of
    /// archives stays until this value goes.
    pub fn each(
        &mut self,
        name: &str,
        mut take: impl FnMut(&Artifact<'_>, Option<&RegistryReference>) -> Result<()>,
    ) -> Result<()> {
        let path = Utf8Path::new(name);
        if !path.exists() && names_a_host(name) {
            return self.pulled(name, take);
        }
        let scratch = self.work.scratch("pack")?;
        let layout = Layout::open(&archive::unpacked(path, scratch.path())?)?;
        self.unpacked.push(scratch);
        // What has no name is said of one that has.
        let named = layout.manifests().iter();
        let named: Vec<_> = named.filter(|it| reader::name(it).is_some()).collect();
        if named.is_empty() {
            return Err(usage(
                format!("{name} holds no pack"),
                "name what `cargo xtask warm` wrote",
            ));
        }
        for descriptor in named {
            self.check(&layout, name, descriptor)?;
            take(&Artifact::read(&layout, descriptor, name)?, None)?;
        }
        Ok(())
    }

    /// The packs of caches among those that `names` lead to, with their blobs on this machine for as long as this
    /// value lasts; `base` and `tools` hold no caches.
    pub fn caches(&mut self, names: &[String]) -> Result<Vec<KeptPack>> {
        let mut packs = Vec::new();
        let mut folders = Vec::new();
        let mut has_rest = false;
        let work = self.work;
        for name in names {
            self.each(name, |artifact, _| {
                if artifact.description.pack.is_none() {
                    return Ok(());
                }
                has_rest |= artifact.description.has_rest;
                let scratch = work.scratch("restored")?;
                let mut manifest = artifact.pack_manifest()?;
                // Nothing reads programs of a pack that is taken apart.
                manifest.programs.clear();
                manifest.program_folders = None;
                let layers = artifact.layers_of_caches()?;
                KeptPack::restore(scratch.path(), &manifest, &layers, &[])?;
                packs.push(KeptPack {
                    folder: scratch.path().to_owned(),
                    manifest,
                });
                folders.push(scratch);
                Ok(())
            })?;
        }
        self.unpacked.extend(folders);
        self.has_rest |= has_rest;
        Ok(packs)
    }

    fn check(&self, place: &dyn Referrers, name: &str, pack: &Descriptor) -> Result<()> {
        match self.trust {
            Some(trust) => trust.check(place, name, pack),
            None => Ok(()),
        }
    }

    fn pulled(
        &mut self,
        name: &str,
        mut take: impl FnMut(&Artifact<'_>, Option<&RegistryReference>) -> Result<()>,
    ) -> Result<()> {
        let reference: RegistryReference = name.parse().map_err(|error| {
            usage(
                format!("{name} is no reference to a pack: {error}"),
                "write HOST/REPOSITORY:TAG",
            )
        })?;
        let blobs = self.work.shared("blobs")?;
        let registry = Registry::open(&reference, self.insecure, blobs, self.step)?;
        let descriptor = registry.find()?;
        self.check(&registry, name, &descriptor)?;
        take(
            &Artifact::read(&registry, &descriptor, name)?,
            Some(&reference),
        )?;
        let TransferredBytes { received_bytes, .. } = registry.transferred();
        self.received_bytes += received_bytes;
        Ok(())
    }
}
