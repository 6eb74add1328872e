//! Where results go: standard output, or a file that is complete or absent.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;
use camino::Utf8Path;
use serde::Serialize;

/// Prints to standard output. A reader that has gone away is no failure.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        _ => Ok(()),
    }
}

pub fn json_to_stdout(value: &impl Serialize) -> anyhow::Result<()> {
    print(&text_of(value)?)
}

/// Writes a value as JSON, beside the file and then in its place.
pub fn json_to_file(value: &impl Serialize, file: &Utf8Path) -> anyhow::Result<()> {
    Ok(report::file::write(file, &text_of(value)?)?)
}

fn text_of(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text =
        serde_json::to_string_pretty(value).context("failed to make JSON of the result")?;
    text.push('\n');
    Ok(text)
}
