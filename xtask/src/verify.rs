//! Runs the image's own verifier in the image: unpacked from its own layers, read-only, without network, as the
//! image's user, with the source at a path at which nothing was built.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image_toml::{ImageToml, Platform};
use crate::kept_layer::KeptLayer;
use crate::progress::Step;
use crate::root_fs;
use crate::sandbox::{Sandbox, User};
use crate::tree::ELSEWHERE;
use crate::warm::VERIFIER;
use crate::work::{self, Key, Work};

/// The verifier's report: as it wrote it, and the parts that are shown.
#[derive(Debug, Clone)]
pub struct Report {
    /// The whole report.
    pub json: Value,
    /// Its modules.
    pub modules: Vec<ReportedModule>,
}

/// A module in the report.
#[derive(Debug, Clone, Deserialize)]
pub struct ReportedModule {
    /// Its provider.
    pub provider: String,
    /// What was measured, by phase.
    pub phases: BTreeMap<String, Phase>,
}

/// A phase of a module.
#[derive(Debug, Clone, Deserialize)]
pub struct Phase {
    /// Wall time of each run in milliseconds.
    pub wall_ms: Vec<f64>,
    /// Packages from the cache.
    #[serde(default)]
    pub packages: gocache::Ratio,
    /// Links from the cache.
    #[serde(default)]
    pub links: gocache::Ratio,
}

/// What decides whether an earlier report still holds.
#[derive(Debug, Serialize)]
pub struct Inputs<'a> {
    /// Digests of the image's layers.
    pub layers: Vec<gocache::Sha256Hash>,
    /// The environment of the image.
    pub env: BTreeMap<String, String>,
    /// What the packs were made from.
    pub packs: Vec<&'a Key>,
    /// The modules that are measured, by path: those that are in a pack.
    pub modules: Vec<&'a Utf8Path>,
}

/// Unpacks an image, the layers of its packs after the others, and measures modules in it; a report of the same inputs is kept.
pub fn run(
    work: &Work,
    image: &ImageToml,
    platform: &Platform,
    (ground, packs): (&[KeptLayer], &[KeptLayer]),
    source: &Utf8Path,
    inputs: &Inputs<'_>,
    step: &Step,
) -> Result<Report> {
    let key = Key::of(inputs)?;
    let folder = work.keep("report", &key, |folder| {
        let unpacked = work.scratch("verify")?;
        step.detail("unpacking");
        root_fs::unpack(ground, packs, unpacked.path())?;
        step.detail("measuring");
        let mut arguments = vec![
            VERIFIER,
            "run",
            "--source",
            ELSEWHERE,
            "--preview",
            "sample",
            "--json",
            "-",
        ];
        for module in &inputs.modules {
            arguments.extend(["--module", module.as_str()]);
        }
        let done = in_image(unpacked.path(), image, platform)
            .read_only(source, ELSEWHERE)
            .run(&arguments)?;
        if !done.status.success() {
            bail!(
                "the verifier failed in the image ({}):\n{}",
                done.status,
                done.stderr.trim()
            );
        }
        fs_err::write(folder.join(REPORT), done.stdout)?;
        Ok(())
    })?;
    let read = || Report::parse(&fs_err::read_to_string(folder.join(REPORT))?);
    read().map_err(|error| work::discard(&folder, &format!("{error:#}")))
}

const REPORT: &str = "report.json";

/// Commands in an unpacked image as a pod with a read-only root runs them.
pub fn in_image(root: &Utf8Path, image: &ImageToml, platform: &Platform) -> Sandbox {
    Sandbox::new(root)
        .env(crate::oci::env(image, platform, true))
        .env([("HOME", "/tmp")])
        .user(User::Id(image.user.uid))
}

impl Report {
    /// Reads the JSON that the verifier wrote.
    pub fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("the verifier's report is no JSON")?;
        let modules = serde_json::from_value(json["modules"].clone())
            .context("the verifier's report lacks modules")?;
        Ok(Self { json, modules })
    }

    /// First builds of `provider`'s modules (of all modules for `None`), in milliseconds, sorted, with their hits.
    pub fn first(&self, provider: Option<&str>) -> (Vec<f64>, gocache::Ratio, gocache::Ratio) {
        let (mut times, mut packages, mut links) = (
            Vec::new(),
            gocache::Ratio::default(),
            gocache::Ratio::default(),
        );
        for module in self
            .modules
            .iter()
            .filter(|module| provider.is_none_or(|name| module.provider == name))
        {
            if let Some(first) = module.phases.get("first") {
                times.extend(&first.wall_ms);
                packages += first.packages;
                links += first.links;
            }
        }
        times.sort_by(f64::total_cmp);
        (times, packages, links)
    }
}
