//! What a transfer tells its caller while it runs; how it is shown is the caller's business.

/// Listens to transfers.
pub trait Events: Sync {
    /// `bytes` of the `total_bytes` of the blob `digest` (`sha256:…`) have come or gone.
    fn transferred(&self, digest: &str, bytes: u64, total_bytes: u64);
    /// Something went wrong that does not stop the transfer.
    fn warning(&self, message: &str);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Events for Silent {
    fn transferred(&self, _digest: &str, _bytes: u64, _total_bytes: u64) {}
    fn warning(&self, _message: &str) {}
}
