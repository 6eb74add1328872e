//! From a source to packs: the steps that every command that needs packs goes through, in their order.
//!
//! [`settings`] say what may be done; the [`foundation`](mod@foundation) is what caches are made in; then come the
//! [`packs`], a provider's by its [`provider_plan`], those of its [`plugins`], and the [`rest`]; or the [`whole`] at
//! once.

pub mod foundation;
pub mod packs;
pub mod plugins;
pub mod provider_plan;
pub mod rest;
pub mod settings;
pub mod whole;

pub use foundation::{Foundation, foundation};
pub use packs::{CommonPack, ProviderPack};
pub use rest::RestPack;
pub use settings::Settings;
pub use whole::Packs;
