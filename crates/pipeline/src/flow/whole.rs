//! All packs of an image but `base` and `tools`, made on one machine.

use anyhow::Result;
use modules::Module;

use crate::flow::foundation::Foundation;
use crate::flow::packs::{CommonPack, ProviderPack};
use crate::flow::rest::RestPack;
use crate::pack::part::Part;
use crate::pack::{KeptPack, Pack};
use engine::progress::Progress;
use oci::platform::Platform;

/// The packs of an image, beside `base` and `tools`.
#[derive(Debug)]
pub struct Packs {
    /// What all providers build on.
    pub common: CommonPack,
    /// Whole providers.
    pub providers: Vec<ProviderPack>,
    /// What is left over beside all providers of the source; none where nothing is.
    pub rest: Option<RestPack>,
}

impl Packs {
    /// As they are kept.
    pub fn kept(&self) -> impl Iterator<Item = &KeptPack> {
        let providers = self.providers.iter().map(|provider| &provider.pack);
        let rest = self.rest.iter().map(|rest| &rest.pack);
        std::iter::once(&self.common.pack)
            .chain(providers)
            .chain(rest)
    }

    /// With their blobs, for `platform`.
    pub fn to_packs(&self, platform: &Platform) -> impl Iterator<Item = Pack> {
        let Self { common, .. } = self;
        let providers = self.providers.iter();
        let providers = providers.map(|pack| pack.to_pack(common, platform));
        let rest = self.rest.iter().map(|rest| rest.to_pack(platform));
        std::iter::once(common.to_pack(platform))
            .chain(providers)
            .chain(rest)
    }
}

impl Foundation {
    /// Makes the packs of `common`, of whole `providers`, and of what is left over.
    pub fn packs(
        &self,
        modules: &[Module],
        providers: &[String],
        progress: &mut Progress,
    ) -> Result<Packs> {
        let common = self.common(modules, progress)?;
        let providers = providers
            .iter()
            .map(|provider| self.provider(Part::whole(provider), modules, &common, progress))
            .collect::<Result<_>>()?;
        let rest = self.rest(&common, progress)?;
        Ok(Packs {
            common,
            providers,
            rest,
        })
    }
}
