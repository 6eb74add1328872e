//! `verifier check`: is everything in the caches what it should be?
//!
//! The go command believes its caches: of an output it compares the size, of a Go module nothing. So every file is
//! read and hashed here, against its name, against the list of what the image was shipped with, against the hash of
//! its download. The check itself is a function from what lies on disk to findings; it opens files for reading only,
//! changes no time of access where it may, and writes nothing.
//!
//! Nothing else should use the caches meanwhile: an entry that is being written looks like a damaged one.

mod as_shipped;
mod build_cache;
mod cache;
mod finding;
mod go_mod_verify;
mod module_cache;
mod object_code;
mod programs;
mod shipped;
mod tree;

use failure::Kind;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;
use gocache::image_info::OBJECTS_PATH;
use serde::Serialize;
use sha256::Sha256Hash;

use self::cache::Cache;
use self::finding::{Finding, Severity};
use self::go_mod_verify::GoModVerify;
use self::shipped::{Remarks, Shipped};
use crate::{go, info, output};

/// Findings that are shown; the rest is counted.
const SHOWN: usize = 1_000;

/// Version of the JSON's shape.
const SCHEMA: u32 = 1;

/// Check that everything in the caches is what it should be
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checked are the caches of the image; on a machine without /usr/local/share/iac-runner/image.json, those that
`go env` names. Nothing is written. Nothing else should use the caches meanwhile.

Exit codes: 0 all is well; 4 something is corrupt (a file does not hold what it should, is missing, or is too
much); 1 something else is not as shipped (owner, mode, time, a missing folder, a leftover); 2 bad usage.")]
pub struct Args {
    /// Check the caches of an image that is unpacked here
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: Utf8PathBuf,
    /// Also run `go mod verify` for the go.mods of this Go monorepo whose modules the image holds
    #[arg(long, value_name = "DIR")]
    source: Option<Utf8PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found; as JSON, what scripts read.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    /// GOCACHE and GOMODCACHE, as this machine sees them.
    caches: [Utf8PathBuf; 2],
    /// Packs of the image, sorted; none outside an image.
    packs: Vec<String>,
    /// Digest of the packs' lists of files, which the provenance of the image names as its byproduct `files`.
    #[serde(skip_serializing_if = "Option::is_none")]
    lists_sha256: Option<Sha256Hash>,
    /// Files in both caches.
    files: u64,
    size_bytes: u64,
    /// How many findings are of this severity.
    corrupt: usize,
    /// How many are of the other.
    not_as_shipped: usize,
    /// The first [`SHOWN`] of all, sorted by path.
    findings: Vec<Finding>,
    /// What could not be checked, and why.
    not_checked: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let root = std::path::absolute(&args.root)
        .ok()
        .and_then(|root| Utf8PathBuf::from_path_buf(root).ok())
        .with_context(|| format!("failed to find the absolute path of {}", args.root))?;
    let (shipped, mut remarks) = match Shipped::read(&root)? {
        Some((shipped, remarks)) => (Some(shipped), remarks),
        None => (None, without_image()),
    };
    let [gocache, gomodcache] = match &shipped {
        Some(Shipped { image, .. }) => [&image.identity.gocache, &image.identity.gomodcache]
            .map(|folder| Utf8PathBuf::from(folder.as_str())),
        None => caches_here()?,
    };
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock of this machine stands before 1970")?
        .as_secs();
    let (build, build_findings) = Cache::list(&root, &gocache, shipped.as_ref());
    let (modules, module_findings) = Cache::list(&root, &gomodcache, shipped.as_ref());
    let has_go = shipped.as_ref().is_none_or(|shipped| {
        let goroot = info::in_root(&root, &shipped.image.identity.goroot);
        goroot.is_dir() || !shipped.packs.is_empty()
    });
    let mut findings = if has_go {
        check(&build, build_findings, &modules, module_findings, now_s)
    } else {
        // Of the caches there are at most the entries whose second names are programs.
        build_cache::check(&build)
    };
    let objects = shipped.as_ref().filter(|shipped| shipped.has_objects());
    let objects = objects.map(|shipped| Cache::list(&root, OBJECTS_PATH.into(), Some(shipped)));
    let mut are_sound = true;
    if let Some((objects, of_listing)) = &objects {
        let of_objects = object_code::check(objects, &build);
        are_sound = of_listing.is_empty() && of_objects.is_empty();
        findings.extend(of_listing.iter().cloned());
        findings.extend(of_objects);
        findings.extend(as_shipped::check(objects));
    }
    findings.extend(programs::check(&root, &build.folder, are_sound));
    findings.append(&mut remarks.findings);
    if let Some(source) = &args.source {
        let go_mods = go_mods(source, shipped.as_ref(), &mut remarks.not_checked)?;
        let verify = GoModVerify {
            go: go_command(&root, shipped.as_ref()),
            gomodcache: modules.folder.clone(),
            incomplete: modules
                .left_out()
                .into_iter()
                .flatten()
                .filter_map(|(path, _)| GoModule::of_extracted(path))
                .collect(),
        };
        findings.extend(verify.run(source, &go_mods)?);
    }
    let report = Report::new(
        [&build, &modules],
        shipped.as_ref(),
        findings,
        remarks.not_checked,
    );
    if args.json {
        output::json_to_stdout(&report)?;
    } else {
        output::print(&report.text())?;
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// All that can be said of two caches from what lies on disk, beside what listing them found already.
fn check(
    build: &Cache<'_>,
    build_findings: Vec<Finding>,
    modules: &Cache<'_>,
    module_findings: Vec<Finding>,
    now_s: u64,
) -> Vec<Finding> {
    let mut findings = build_cache::check(build);
    findings.extend(module_cache::check(modules, &module_findings));
    findings.extend(as_shipped::check(build));
    findings.extend(as_shipped::check(modules));
    findings.extend(as_shipped::check_build_cache(build, now_s));
    findings.extend(build_findings);
    findings.extend(module_findings);
    findings
}

/// What cannot be checked where nothing says what was shipped.
fn without_image() -> Remarks {
    let not_checked = [
        "there is no list of what should be here: an entry that points at another package's output would not be found",
        "files of cache/download (.mod, .info, .zip) have no digest to compare with",
        "owners and times, for nothing says what they should be",
    ];
    Remarks {
        findings: Vec::new(),
        not_checked: not_checked.map(str::to_owned).into(),
    }
}

/// GOCACHE and GOMODCACHE of the go command here.
fn caches_here() -> anyhow::Result<[Utf8PathBuf; 2]> {
    let identity = go::Settings::in_folder(Utf8Path::new("."))?.identity;
    Ok([identity.gocache.into(), identity.gomodcache.into()])
}

/// The image's own go command, or the one on PATH.
fn go_command(root: &Utf8Path, shipped: Option<&Shipped>) -> Utf8PathBuf {
    let of_image = shipped.map(|shipped| {
        let goroot = shipped.image.identity.goroot.trim_start_matches('/');
        root.join(goroot).join("bin/go")
    });
    of_image
        .filter(|go| go.is_file())
        .unwrap_or_else(|| "go".into())
}

/// The go.mods of the source; in an image, those of modules that it holds, since it need not hold what others require.
fn go_mods(
    source: &Utf8Path,
    shipped: Option<&Shipped>,
    not_checked: &mut Vec<String>,
) -> anyhow::Result<BTreeSet<Utf8PathBuf>> {
    let layout = shipped.and_then(|shipped| shipped.image.source.as_ref());
    let modules = modules::discover(source, layout)?.modules;
    let packs = shipped.into_iter().flat_map(|shipped| &shipped.packs);
    let held: BTreeSet<&Utf8Path> = packs
        .flat_map(|pack| &pack.modules)
        .map(|module| module.path.as_path())
        .collect();
    let (held, others): (Vec<_>, Vec<_>) = modules
        .into_iter()
        .partition(|module| shipped.is_none() || held.contains(module.path.as_path()));
    let go_mods: BTreeSet<Utf8PathBuf> = held.into_iter().map(|module| module.go_mod).collect();
    let others: BTreeSet<Utf8PathBuf> = others
        .into_iter()
        .map(|module| module.go_mod)
        .filter(|go_mod| !go_mods.contains(go_mod))
        .collect();
    not_checked.extend(
        others.iter().map(|go_mod| {
            format!("{go_mod} of the source, for the image holds none of its modules")
        }),
    );
    Ok(go_mods)
}

impl Report {
    fn new(
        caches: [&Cache<'_>; 2],
        shipped: Option<&Shipped>,
        mut findings: Vec<Finding>,
        not_checked: Vec<String>,
    ) -> Self {
        findings.sort();
        let of = |severity| {
            let found = findings.iter();
            found.filter(|finding| finding.severity == severity).count()
        };
        let (corrupt, not_as_shipped) = (of(Severity::Corrupt), of(Severity::NotAsShipped));
        findings.truncate(SHOWN);
        let nodes = || caches.iter().flat_map(|cache| &cache.nodes);
        let files = || nodes().filter(|node| node.kind == tree::Kind::File);
        Self {
            schema: SCHEMA,
            caches: caches.map(|cache| cache.folder.clone()),
            packs: shipped
                .into_iter()
                .flat_map(|shipped| shipped.packs.iter().map(|pack| pack.name.clone()))
                .collect(),
            lists_sha256: shipped.and_then(Shipped::lists),
            files: files().count() as u64,
            size_bytes: files().map(|file| file.size_bytes).sum(),
            corrupt,
            not_as_shipped,
            findings,
            not_checked,
        }
    }

    fn exit_code(&self) -> u8 {
        if self.corrupt > 0 {
            Kind::Corrupt.exit_code()
        } else if self.not_as_shipped > 0 {
            Kind::Failed.exit_code()
        } else {
            0
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding {
            path,
            severity,
            problem,
        } in &self.findings
        {
            let severity = match severity {
                Severity::Corrupt => "corrupt",
                Severity::NotAsShipped => "not as shipped",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{severity}: {path}: {problem}");
        }
        let hidden = self.corrupt + self.not_as_shipped - self.findings.len();
        if hidden > 0 {
            let _ = writeln!(text, "and {hidden} more");
        }
        if let Some(digest) = &self.lists_sha256 {
            let _ = writeln!(
                text,
                "checked against the lists of files {digest}; the image's provenance names those that were shipped"
            );
        }
        for reason in &self.not_checked {
            let _ = writeln!(text, "not checked: {reason}");
        }
        let _ = writeln!(
            text,
            "{} files, {:.1} MB in {} and {}: {} corrupt, {} not as shipped",
            self.files,
            self.size_bytes as f64 / 1e6,
            self.caches[0],
            self.caches[1],
            self.corrupt,
            self.not_as_shipped
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_shown_with_what_was_not_checked_and_a_summary() {
        let findings = [
            finding::Problem::corrupt("its content has the digest 00").at("/c/go-build/a-d"),
            finding::Problem::not_as_shipped("its mode is 755 instead of 644")
                .at("/c/go-build/b-a"),
        ];
        let mut report = Report {
            schema: SCHEMA,
            caches: ["/c/go-build".into(), "/c/mod".into()],
            packs: vec!["civo".into()],
            lists_sha256: Some(Sha256Hash::of(b"lists")),
            files: 12_345,
            size_bytes: 1_234_567_890,
            corrupt: 1,
            not_as_shipped: 7,
            findings: findings.into(),
            not_checked: without_image().not_checked,
        };
        insta::assert_snapshot!("findings", report.text());
        assert_eq!(report.exit_code(), 4);
        insta::assert_json_snapshot!(report);
        (report.corrupt, report.not_as_shipped) = (0, 0);
        report.findings.clear();
        report.not_checked.clear();
        report.lists_sha256 = None;
        insta::assert_snapshot!("nothing_found", report.text());
        assert_eq!(report.exit_code(), 0);
    }
}
