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

/// Prints a value as JSON.
pub fn json_to_stdout(value: &impl Serialize) -> anyhow::Result<()> {
    print(&text_of(value)?)
}

/// Writes a value as JSON, beside the file and then in its place.
pub fn json_to_file(value: &impl Serialize, file: &Utf8Path) -> anyhow::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_str().is_empty())
        .unwrap_or(Utf8Path::new("."));
    let write = || -> io::Result<()> {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut temporary = tempfile::Builder::new()
            .permissions(permissions)
            .tempfile_in(folder)?;
        temporary.write_all(text_of(value).map_err(io::Error::other)?.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("failed to write {file}"))
}

fn text_of(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text =
        serde_json::to_string_pretty(value).context("failed to make JSON of the result")?;
    text.push('\n');
    Ok(text)
}
