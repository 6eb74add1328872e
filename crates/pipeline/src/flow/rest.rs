//! The pack of Go modules that all providers of a go.mod require and none loads; of the images, the whole one has it.

use anyhow::Result;

use crate::flow::foundation::Foundation;
use crate::flow::packs::CommonPack;
use crate::names::REST;
use crate::pack::manifest::FORMAT;
use crate::pack::{KeptPack, Pack};
use crate::work::Key;
use engine::progress::{Kind, Progress};
use oci::platform::Platform;

/// The pack `rest`.
#[derive(Debug)]
pub struct RestPack {
    /// Digest of everything it was made from.
    pub key: Key,
    /// The pack.
    pub pack: KeptPack,
    common: Key,
}

impl RestPack {
    /// With its blobs, for `platform`.
    pub fn to_pack(&self, platform: &Platform) -> Pack {
        Pack::rest(self.key.clone(), self.common.clone(), platform, &self.pack)
    }
}

impl Foundation {
    /// Makes the pack of what is left over beside `common` and all providers of the source, whichever are asked for;
    /// none where nothing is.
    pub fn rest(&self, common: &CommonPack, progress: &mut Progress) -> Result<Option<RestPack>> {
        if common.rest.required.is_empty() {
            return Ok(None);
        }
        let key = Key::of(&(FORMAT, REST, &common.key, &common.rest))?;
        let key = key.with(&self.unchecked)?;
        progress.step(REST, Kind::Local, |step| {
            let pack = self.pack_on_common(REST, &key, step, |folder, _| {
                self.warmer(REST).rest(&common.rest, &common.pack, folder)
            })?;
            let common = common.key.clone();
            Ok(Some(RestPack { key, pack, common }))
        })
    }
}
