//! The compressed file that holds a layer: written, read, and compressed anew.
//!
//! Blob and tar are hashed in the same pass that writes them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use flate2::write::GzEncoder;
use sha256::HashingWriter;

use super::compression::{Compression, CompressionSettings};
use super::description::Layer;
use super::zstd_settings::Zstd;

enum Compressor<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
}

impl<W: Write> Compressor<W> {
    fn new(inner: W, compression: Compression, settings: CompressionSettings) -> io::Result<Self> {
        match compression {
            Compression::Zstd => Ok(Self::Zstd(Zstd::of(settings).encoder(inner)?)),
            Compression::Gzip => Ok(Self::Gzip(GzEncoder::new(
                inner,
                flate2::Compression::new(settings.gzip_level),
            ))),
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(data),
            Self::Gzip(encoder) => encoder.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}

/// The stream behind a blob: uncompressed bytes in, a compressed file out, both hashed.
pub(super) struct BlobWriter {
    path: Utf8PathBuf,
    compression: Compression,
    stream: HashingWriter<Compressor<HashingWriter<BufWriter<File>>>>,
}

impl BlobWriter {
    pub(super) fn create(
        path: &Utf8Path,
        compression: Compression,
        settings: CompressionSettings,
    ) -> Result<Self> {
        let file = fs_err::File::create(path)?.into_parts().0;
        let blob = HashingWriter::new(BufWriter::with_capacity(1 << 20, file));
        let compressor = Compressor::new(blob, compression, settings)
            .context("failed to set up the compression of a layer")?;
        Ok(Self {
            path: path.to_owned(),
            compression,
            stream: HashingWriter::new(compressor),
        })
    }

    pub(super) fn finish(self) -> Result<Layer> {
        let path = self.path;
        let written = (|| {
            let (compressor, diff_id, uncompressed_bytes) = self.stream.finish();
            let (mut buffer, digest, size_bytes) = compressor.finish()?.finish();
            buffer.flush()?;
            buffer.get_ref().sync_all()?;
            Ok::<_, io::Error>(Layer {
                compression: self.compression,
                digest,
                size_bytes,
                diff_id,
                uncompressed_bytes,
            })
        })();
        written.with_context(|| format!("failed to write {path}"))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The uncompressed tar of a layer, which may not have been compressed at all.
pub fn reader(blob: &Utf8Path, compression: Option<Compression>) -> Result<Box<dyn Read>> {
    let file = BufReader::with_capacity(1 << 20, fs_err::File::open(blob)?);
    Ok(match compression {
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)
                .with_context(|| format!("failed to read {blob}"))?;
            decoder
                .window_log_max(31)
                .with_context(|| format!("failed to read {blob}"))?;
            Box::new(BufReader::with_capacity(1 << 20, decoder))
        }
        Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        None => Box::new(file),
    })
}

/// Writes `blob` again under another compression; the tar inside stays the same.
pub fn transcode(
    blob: &Utf8Path,
    layer: &Layer,
    to: &Utf8Path,
    compression: Compression,
    settings: CompressionSettings,
) -> Result<Layer> {
    let mut writer = BlobWriter::create(to, compression, settings)?;
    let mut reader = reader(blob, Some(layer.compression))?;
    io::copy(&mut reader, &mut writer).with_context(|| format!("failed to copy {blob} to {to}"))?;
    let written = writer.finish()?;
    if written.diff_id != layer.diff_id {
        return Err(failure::corrupt(
            format!("{blob} does not unpack to what it was made from"),
            "remove it and run the same command again",
        ));
    }
    Ok(written)
}
