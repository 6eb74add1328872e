//! Says in the verifier's executable which crates it is linked of, as executables of Go say it of Go modules.
//!
//! The place and the shape are those of cargo-auditable (the section `.dep-v0`: JSON in zlib), which scanners read. In
//! it is what Cargo.lock resolves to for this package, target and features: crates of tests, of build scripts and
//! of macros are not. The same crates give the same bytes, so two machines still build the same file.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use camino::Utf8Path;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use xshell::{Shell, cmd};

use engine::host;

/// The section of an executable that cargo-auditable and its readers agree on.
const SECTION: &str = ".dep-v0";

/// The document in it (`cargo-auditable.schema.json`).
#[derive(Debug, Serialize)]
struct Crates {
    packages: Vec<Crate>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Crate {
    name: String,
    version: String,
    source: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    root: bool,
}

/// Adds the crates of `package`, of the workspace that `sh` is in, to `executable`, which was built of it for `target`
/// and whose format `objcopy` knows.
pub fn add(
    sh: &Shell,
    package: &str,
    target: &str,
    objcopy: &str,
    executable: &Utf8Path,
) -> Result<()> {
    let cargo = host::cargo();
    let format = "{p}";
    // Offline: what is built has been fetched.
    let tree = host::read(cmd!(
        sh,
        "{cargo} tree --package {package} --target {target} --edges normal,no-proc-macro --prefix none --no-dedupe
            --format {format} --locked --offline"
    ))?;
    let packages = parse(&tree, package)?;
    let json = serde_json::to_vec(&Crates { packages }).context("failed to serialize crates")?;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let compressed = zlib.write_all(&json).and_then(|()| zlib.finish());
    let section = executable.with_extension("crates");
    fs_err::write(&section, compressed.context("failed to compress crates")?)?;
    let flags = format!("{SECTION}=noload,readonly");
    host::run(cmd!(
        sh,
        "{objcopy} --add-section {SECTION}={section} --set-section-flags {flags} {executable}"
    ))
    .context(
        "failed to add the crates of the verifier to it; objcopy is in the package `binutils`",
    )?;
    fs_err::remove_file(section)?;
    Ok(())
}

/// What `cargo tree` printed, a crate a line and some of them several times: `name vVERSION`, and the folder of those
/// that are in the workspace.
fn parse(tree: &str, root: &str) -> Result<Vec<Crate>> {
    let mut crates = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            bail!("cargo tree printed {line:?}");
        };
        let version = version
            .strip_prefix('v')
            .with_context(|| format!("cargo tree printed {line:?}"))?;
        let is_local = words.next().is_some_and(|place| place.starts_with("(/"));
        crates.push(Crate {
            name: name.to_owned(),
            version: version.to_owned(),
            source: if is_local { "local" } else { "crates.io" },
            root: name == root,
        });
    }
    crates.sort();
    crates.dedup();
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_named_once_and_tells_nothing_of_this_machine() {
        let tree = "verifier v0.1.0 (/home/me/verifier)\nserde v1.0.2\nfailure v0.1.0 (/home/me/failure)\n\
                    serde v1.0.2\nserde v0.9.0\n";
        let crates = parse(tree, "verifier").unwrap();
        insta::assert_json_snapshot!(crates, @r#"
        [
          {
            "name": "failure",
            "version": "0.1.0",
            "source": "local"
          },
          {
            "name": "serde",
            "version": "0.9.0",
            "source": "crates.io"
          },
          {
            "name": "serde",
            "version": "1.0.2",
            "source": "crates.io"
          },
          {
            "name": "verifier",
            "version": "0.1.0",
            "source": "local",
            "root": true
          }
        ]
        "#);
        assert!(parse("warning: something\n", "verifier").is_err());
    }
}
