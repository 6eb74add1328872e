//! Runs the verifier in the image: unpacked from its own layers, read-only, without network, as the image's user, with
//! the source at a path at which nothing was built. The verifier is one that was built here, at its own place in the
//! image: what is judged has no say in the judgement.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};
use camino::Utf8Path;
use serde::Serialize;
use serde_json::Value;

use crate::assemble::image_config;
use crate::foundation::tree::ELSEWHERE;
use crate::image_toml::ImageToml;
use crate::names::VERIFIER;
use crate::work;
use crate::work::{Key, Work};
use engine::progress::Step;
use engine::sandbox::{Done, RootFs, Sandbox, User};
use oci::image::Image;
use oci::layer::LayerBlob;
use oci::platform::Platform;
use oci::unpack::unpack_layers;

/// The verifier's report: as it wrote it, since it may know fields that this program does not, and as data.
#[derive(Debug, Clone)]
pub struct Report {
    /// The whole report.
    pub json: Value,
    /// What is known of it.
    pub data: report::Report,
}

/// What decides whether an earlier report still holds.
#[derive(Debug, Serialize)]
pub struct Inputs<'a> {
    /// Digests of the image's layers.
    pub layers: Vec<sha256::Sha256Hash>,
    /// The environment of the image.
    pub env: BTreeMap<String, String>,
    /// What the packs were made from.
    pub packs: Vec<&'a Key>,
    /// The modules that are measured, by path: those that are in a pack.
    pub modules: Vec<&'a Utf8Path>,
    /// Which of them are previewed, as the verifier's `--preview` has it.
    pub preview: Previewed,
    /// Whether modules that fail are left for the report.
    pub keep_going: bool,
}

/// The modules that are previewed; the names are those of the verifier's `--preview`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Previewed {
    /// No module.
    None,
    /// The first module of each provider.
    Sample,
    /// All modules.
    All,
}

impl Previewed {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sample => "sample",
            Self::All => "all",
        }
    }
}

/// The image that is measured.
#[derive(Debug)]
pub struct Measured<'a> {
    /// Its layers.
    pub layers: &'a [LayerBlob],
    /// What runs commands in it; where nothing does yet, it is unpacked.
    pub loaded: Option<RootFs>,
}

/// The verifiers that it takes, both built here.
#[derive(Debug, Clone, Copy)]
pub struct Verifiers<'a> {
    /// For this machine.
    pub machine: &'a Utf8Path,
    /// For the image, which may be of another platform.
    pub image: &'a Utf8Path,
}

/// Measures modules in an image; a report of the same inputs is kept.
pub fn run(
    work: &Work,
    (image, platform): (&ImageToml, &Platform),
    measured: Measured<'_>,
    (source, verifiers): (&Utf8Path, Verifiers<'_>),
    inputs: &Inputs<'_>,
    step: &Step,
) -> Result<Report> {
    let key = Key::of(inputs)?;
    let folder = work.keep("report", &key, |folder| {
        let unpacked = work.scratch("verify")?;
        let root = if let Some(root) = measured.loaded {
            root
        } else {
            step.detail("unpacking");
            unpack_layers(measured.layers, unpacked.path())?;
            RootFs::Directory(unpacked.path().to_owned())
        };
        step.detail("measuring");
        let mut flags = vec!["--preview", inputs.preview.as_str()];
        for module in &inputs.modules {
            flags.extend(["--module", module.as_str()]);
        }
        let sandbox =
            nonroot_sandbox(root, image, platform, verifiers).read_only(source, ELSEWHERE);
        let report = if inputs.keep_going {
            measured_as_far_as_possible(&sandbox, &flags)?
        } else {
            measure(&sandbox, &flags)?
        };
        fs_err::write(folder.join(REPORT), report)?;
        Ok(())
    })?;
    let read = || Report::parse(&fs_err::read_to_string(folder.join(REPORT))?);
    read().map_err(|error| work::discard(&folder, &format!("{error:#}")))
}

const REPORT: &str = "report.json";

/// Runs the verifier in the image behind `sandbox`, where the source is [`ELSEWHERE`]; its report as JSON.
pub fn measure(sandbox: &Sandbox, flags: &[&str]) -> Result<String> {
    measure_prebuilt(sandbox, &[&["--source", ELSEWHERE], flags].concat())
}

/// The same without a source: of programs that the image has built already.
pub fn measure_prebuilt(sandbox: &Sandbox, flags: &[&str]) -> Result<String> {
    let done = verifier_run(sandbox, flags)?;
    if !done.status.success() {
        return Err(failed_in_the_image(&done));
    }
    Ok(done.stdout)
}

/// The same, where modules may fail: the report names them.
fn measured_as_far_as_possible(sandbox: &Sandbox, flags: &[&str]) -> Result<String> {
    let done = verifier_run(sandbox, &[&["--source", ELSEWHERE], flags].concat())?;
    let has_failures = |report: &Report| !report.data.failures.is_empty();
    if done.status.success() || Report::parse(&done.stdout).as_ref().is_ok_and(has_failures) {
        return Ok(done.stdout);
    }
    Err(failed_in_the_image(&done))
}

fn verifier_run(sandbox: &Sandbox, flags: &[&str]) -> Result<Done> {
    let mut arguments = vec![VERIFIER, "run", "--json", "-"];
    arguments.extend(flags);
    sandbox.run(&arguments)
}

fn failed_in_the_image(done: &Done) -> anyhow::Error {
    anyhow!(
        "the verifier failed in the image ({}):\n{}",
        done.status,
        done.stderr.trim()
    )
}

/// Commands in an unpacked image as root, in a container that may be written to, with the source [`ELSEWHERE`].
pub fn root_sandbox(root: &Utf8Path, image: &Image, source: &Utf8Path) -> Sandbox {
    Sandbox::new(root)
        .env([("HOME", "/root")])
        .env(image.env())
        .writable_root()
        .read_only(source, ELSEWHERE)
}

/// Commands in an unpacked image as a pod with a read-only root runs them, with a verifier of ours.
fn nonroot_sandbox(
    root: RootFs,
    image: &ImageToml,
    platform: &Platform,
    verifiers: Verifiers<'_>,
) -> Sandbox {
    Sandbox::of(root)
        .init(verifiers.machine)
        .read_only(verifiers.image, VERIFIER)
        .env(image_config::env(image, platform, true))
        .user(User::Id(image.user.uid))
}

impl Report {
    /// Reads the JSON that the verifier wrote.
    pub fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("the verifier's report is no JSON")?;
        let data: report::Report = serde_json::from_value(json.clone())
            .context("the verifier's report lacks something")?;
        if data.schema != report::SCHEMA {
            bail!(
                "the verifier's report has the schema {}, and only {} is known here",
                data.schema,
                report::SCHEMA
            );
        }
        data.check()
            .context("the verifier's report cannot be right")?;
        Ok(Self { json, data })
    }

    /// Reads the text of `file`, which the user named.
    pub fn of_file(file: &Utf8Path, text: &str) -> Result<Self> {
        let data = report::file::parse_report(file, text)?;
        let json = serde_json::from_str(text).with_context(|| format!("{file} is no JSON"))?;
        Ok(Self { json, data })
    }

    /// Enters what was measured, which the verifier inside cannot know.
    pub fn of_image(mut self, image: report::Image) -> Result<Self> {
        self.json["image"] =
            serde_json::to_value(&image).context("failed to enter the image into the report")?;
        self.data.image = Some(image);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an older verifier wrote it, and with a field of a newer one.
    const REPORT: &str = r#"{
        "schema": 1,
        "identity": {"go_version": "go1.27.4", "goos": "linux", "goarch": "amd64", "goarch_level": "GOAMD64=v1",
            "cgo_enabled": "0", "goflags": "", "goexperiment": "", "goroot": "/r", "gomodcache": "/m", "gocache": "/c"},
        "modules": [{"provider": "civo", "component": "one", "path": "apis/x", "phases": {
            "first": {"wall_ms": [2.5], "packages": {"hits": 3, "total": 4}, "links": {"hits": 1, "total": 1},
                "compiled": ["a"], "new": 7},
            "preview": {"wall_ms": [9.0], "ran": true, "network_errors": []}}}],
        "failures": [],
        "summary": {"first_ms": {"p50": 2.5, "p95": 2.5, "max": 2.5}, "packages": {"hits": 3, "total": 4},
            "links": {"hits": 1, "total": 1}},
        "verifier": {"version": "0.1.0"}
    }"#;

    #[test]
    fn the_image_is_entered_and_the_rest_stays_as_it_was() {
        let image = report::Image {
            name: "latest".into(),
            digest: "sha256:1".into(),
            compressed_bytes: 1,
            uncompressed_bytes: 2,
        };
        let report = Report::parse(REPORT)
            .unwrap()
            .of_image(image.clone())
            .unwrap();
        assert_eq!(report.data.image, Some(image));
        let mut json = report.json;
        assert_eq!(json["image"]["uncompressed_bytes"], 2);
        json.as_object_mut().unwrap().remove("image");
        assert_eq!(json, serde_json::from_str::<Value>(REPORT).unwrap());
    }

    #[test]
    fn another_schema_is_refused() {
        let newer = REPORT.replace("\"schema\": 1", "\"schema\": 2");
        let error = Report::parse(&newer).unwrap_err().to_string();
        assert!(error.contains("schema 2"), "{error}");
    }
}
