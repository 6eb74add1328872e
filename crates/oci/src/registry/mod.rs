//! Repositories of registries: images are pulled from them and pushed to them.
//!
//! Credentials come from Docker's own configuration, for the one registry that is asked, and go nowhere else. Plain
//! HTTP is spoken with registries on this machine, and with others only where the user says so. What overload or a
//! bad network breaks off is tried again a few times, each time after a longer while.

mod auth;
mod client;
mod credentials;
mod manifests;
mod pace;
mod pages;
mod pull;
mod push;
mod referrers;
mod repository;
mod request;
mod retry;
#[cfg(test)]
mod tests;
mod token_service;
mod upload;

pub use self::push::Pushed;
pub use self::repository::{Registry, TransferredBytes};
