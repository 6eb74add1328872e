//! How slow a server may be.
//!
//! A timeout on silence alone is renewed by every byte, and so is patience that every byte counts as progress for. So a
//! response has to bring some bytes in each stretch of time, a document all of them within some minutes, and only what
//! is worth a request counts as progress.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a response is watched before it is judged.
const WINDOW: Duration = Duration::from_secs(60);
/// As many bytes come in this time, at least: 1 KiB a second.
const MIN_WINDOW_BYTES: u64 = 60 << 10;
/// How long a document (a manifest, a list, a token, an error) may take, once it has begun.
const DOCUMENT_TIME: Duration = Duration::from_secs(300);

/// As many bytes of a blob are progress, after which tries are counted anew.
pub const WORTH_A_REQUEST: u64 = 256 << 10;

/// What a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Of any size.
    Blob,
    /// Small.
    Document,
}

/// Watches one response.
#[derive(Debug)]
pub struct Pace {
    content: Content,
    begun: Instant,
    window: Instant,
    window_bytes: u64,
}

impl Pace {
    /// A response that begins `now`.
    pub fn new(content: Content, now: Instant) -> Self {
        Self {
            content,
            begun: now,
            window: now,
            window_bytes: 0,
        }
    }

    /// `bytes` have come; an error if that is too slow.
    pub fn received(&mut self, bytes: usize, now: Instant) -> Result<()> {
        self.window_bytes += bytes as u64;
        if self.content == Content::Document && now.duration_since(self.begun) > DOCUMENT_TIME {
            bail!("an answer took more than {} s", DOCUMENT_TIME.as_secs());
        }
        if now.duration_since(self.window) < WINDOW {
            return Ok(());
        }
        if self.window_bytes < MIN_WINDOW_BYTES {
            bail!(
                "{} bytes came in {} s",
                self.window_bytes,
                now.duration_since(self.window).as_secs()
            );
        }
        self.window = now;
        self.window_bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pieces of `bytes`, one every `gap`, are taken of the first thousand.
    fn taken(content: Content, bytes: usize, gap: Duration) -> usize {
        let begun = Instant::now();
        let mut pace = Pace::new(content, begun);
        let mut pieces = 1..=1000;
        let refused = pieces.find(|piece| pace.received(bytes, begun + gap * *piece).is_err());
        refused.map_or(1000, |piece| piece as usize - 1)
    }

    #[test]
    fn a_byte_renews_no_patience() {
        let second = Duration::from_secs(1);
        for (content, bytes, gap, expected) in [
            (Content::Blob, 1, second, 59),
            (Content::Blob, 1, 59 * second, 1),
            (Content::Blob, 900, second, 59),
            (Content::Blob, 1100, second, 1000),
            (Content::Blob, 1 << 20, 59 * second, 1000),
            (Content::Document, 1100, second, 300),
            (Content::Document, 1, second, 59),
        ] {
            assert_eq!(
                taken(content, bytes, gap),
                expected,
                "{content:?} {bytes} {gap:?}"
            );
        }
    }
}
