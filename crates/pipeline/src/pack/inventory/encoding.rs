//! Inventories of layers as bytes: JSON in zstd, with a checksum, which finds out damage where no digest is known.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sbom::inventory::{FORMAT, Inventory};
use serde::{Deserialize, Serialize};

/// Far more than what a pack's layers have takes, which is held in memory.
pub const MAX_BYTES: u64 = 256 << 20;
/// Fast, and executables of one provider have most in common.
const LEVEL: i32 = 3;

/// What is read of another format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Inventories<I> {
    format: u32,
    layers: Vec<I>,
}

/// The bytes of what layers have, in their order; always the same.
pub fn encode(layers: &[Arc<Inventory>]) -> Result<Vec<u8>> {
    let of = Inventories {
        format: FORMAT,
        layers: layers.iter().map(|it| &**it).collect::<Vec<&Inventory>>(),
    };
    let json = serde_json::to_vec(&of).context("failed to serialize what layers have")?;
    let mut zstd = zstd::Encoder::new(Vec::new(), LEVEL)?;
    zstd.include_checksum(true)?;
    zstd.write_all(&json)?;
    zstd.finish().context("failed to compress what layers have")
}

/// What [`encode`] wrote, of up to `max_bytes`; none where another version of this project wrote it, and a reason where
/// it is not that.
pub fn decode(bytes: &[u8], max_bytes: u64) -> Result<Option<Vec<Arc<Inventory>>>, String> {
    let decoder = zstd::Decoder::new(bytes).map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    let read = decoder.take(max_bytes + 1).read_to_end(&mut json);
    read.map_err(|error| format!("it is no zstd: {error}"))?;
    if json.len() as u64 > max_bytes {
        return Err(format!("it has more than {max_bytes} bytes"));
    }
    let Format { format } = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Ok(None);
    }
    let of: Inventories<Inventory> =
        serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    Ok(Some(of.layers.into_iter().map(Arc::new).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventories_come_back_and_damage_is_found_out() {
        let go = Some("1.27.4".to_owned());
        let inventory = Inventory {
            go,
            ..Inventory::default()
        };
        let layers = [Arc::new(inventory), Arc::default()];
        let bytes = encode(&layers).unwrap();
        assert_eq!(
            decode(&bytes, MAX_BYTES).unwrap().as_deref(),
            Some(&layers[..])
        );
        assert!(
            decode(&bytes, 10)
                .unwrap_err()
                .contains("more than 10 bytes")
        );
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            let read = decode(&damaged, MAX_BYTES);
            let is_whole = |read: &Option<Vec<_>>| read.as_deref() == Some(&layers[..]);
            assert!(read.as_ref().map_or(true, is_whole), "{place}");
        }
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], MAX_BYTES).is_err(), "{end}");
        }
    }

    #[test]
    fn what_another_version_wrote_is_not_read() {
        let other = format!(
            r#"{{"format": {}, "layers": "in its own way"}}"#,
            FORMAT + 1
        );
        let bytes = zstd::encode_all(other.as_bytes(), LEVEL).unwrap();
        assert_eq!(decode(&bytes, MAX_BYTES), Ok(None));
    }
}
