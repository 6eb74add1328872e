//! From a source to packs: the steps that every command that needs packs goes through, in their order.
//!
//! [`settings`] say what may be done; the [`foundation`](mod@foundation) is what caches are made in; then come the
//! [`packs`], a provider's by its [`provider_plan`].

pub mod foundation;
pub mod packs;
pub mod provider_plan;
pub mod settings;

pub use foundation::{Foundation, foundation};
pub use packs::{CommonPack, ProviderPack};
pub use settings::Settings;
