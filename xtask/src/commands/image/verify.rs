//! `cargo xtask verify`: runs this repository's verifier in an image, wherever the image is and whoever made it.
//!
//! The verifier is built here and mounted over the image's own, which would say of itself what it likes.
//!
//! As a strict cluster would: no network, a read-only root file system, no rights, and the source at a path at which
//! nothing was built, with the environment that the image itself sets. What the verifier says goes straight to the
//! terminal, and its exit code is that of the command.

use crate::fetched::Fetched;
use crate::flags::{Platforms, Trusted};
use crate::source::Source;
use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::programs::PROGRAM_LISTS_PATH;
use gocache::image_info::{IMAGE_INFO_PATH, ImageInfo, PACKS_PATH, PackInfo};
use nix::unistd::{AccessFlags, access};

use crate::source;
use engine::progress::{Kind, Progress};
use engine::sandbox::{Sandbox, Stdout, User};
use engine::{Engine, emulation, host};
use failure::{corrupt, usage};
use oci::image::Image;
use oci::platform::Platform;
use oci::reference::ImageReference;
use pipeline::assemble::image_config;
use pipeline::foundation::tree::ELSEWHERE;
use pipeline::foundation::verifier;
use pipeline::measure::Report;
use pipeline::names::{COMMON, REST, VERIFIER};
use pipeline::pack::part::Part;
use pipeline::readable;
use pipeline::work::Work;
use pipeline::work::out;
use pipeline::workspace::workspace;
use regular_file::in_root;

/// More bytes than the list of an image's users has.
const MAX_PASSWD_BYTES: u64 = 1 << 20;
/// More than the description of any image takes.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;
/// How root drops the page cache.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image: DIR/oci[:TAG] in an OCI layout, HOST/REPOSITORY:TAG in a registry, docker:NAME in the local Docker
    /// [default: the layout of `base-image`]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The image's tag in a layout [default: the only one, or `latest`]
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    #[command(flatten)]
    pub platforms: Platforms,
    #[command(flatten)]
    pub source: Source,
    /// Provider to measure; repeat for several [default: those that the image has packs of]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// As whom: root, a user of the image, or a user ID; as root the page cache can be dropped
    #[arg(long, value_name = "USER", default_value = "65532")]
    pub user: String,
    /// Let the verifier and what it runs write to the image's root file system
    #[arg(long)]
    pub writable: bool,
    /// Write the report as JSON, with what the image is; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub trusted: Trusted,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// What the verifier does, and its flags; in the image the source is the current folder [default: run]
    #[arg(last = true, value_name = "VERIFIER'S ARGUMENTS")]
    pub verifier: Vec<String>,
}

/// Verifies the image for each platform, and exits as the verifier did; of several, as the first that failed.
pub fn run(flags: &Args) -> Result<ExitCode> {
    let platforms = flags.platforms.or_host();
    if platforms.len() > 1 && flags.json.is_some() {
        return Err(usage(
            "--json is for the report of one platform",
            "name one --platform at a time",
        ));
    }
    for platform in &platforms {
        emulation::require(platform)?;
        if platform.is_foreign() {
            verifier::require(platform)?;
        }
    }
    let mut first_failure = ExitCode::SUCCESS;
    for platform in &platforms {
        if platforms.len() > 1 {
            eprintln!("{platform}:");
        }
        let code = verify(flags, platform)?;
        if first_failure == ExitCode::SUCCESS {
            first_failure = code;
        }
    }
    Ok(first_failure)
}

fn verify(flags: &Args, platform: &Platform) -> Result<ExitCode> {
    let mut arguments = Arguments::parse(&flags.verifier);
    arguments.check(flags)?;
    let source = flags.source.folder()?;
    let takes_source = arguments.takes_source();
    if let (true, Ok(id)) = (takes_source, flags.user.parse()) {
        readable::check(&source, User::of(id), Engine::Native)?;
    }
    let reference = reference(flags)?;
    let trust = flags.trusted.trust()?;
    host::require_programs(&[host::SANDBOX])?;
    let work = Work::open()?;
    let mut progress = Progress::default();

    let fetched = progress.step(format!("fetch {reference}"), Kind::Network, |step| {
        let how = (flags.insecure, trust.as_ref());
        let fetched = Fetched::fetch(&reference, &work, platform, how, step)?;
        fetched.image.check_platform(platform)?;
        Ok(fetched)
    })?;
    let root = work.scratch("image")?;
    let root = root.path();
    let uncompressed_bytes =
        progress.step("unpack", Kind::Local, |_| fetched.image.unpack(root))?;

    arguments.add_source(builds(root)?);
    if flags.providers.is_empty() && arguments.is_run() {
        arguments.add_providers(&warm_providers(root, &source)?);
    }
    arguments.add_providers(&flags.providers);
    let (user, sandbox) = sandbox(root, &fetched.image, flags)?;
    if takes_source {
        readable::check(&source, user, Engine::Native)?;
    }
    let sandbox = sandbox.read_only(&source, ELSEWHERE);
    let mut built = |platform: &Platform| {
        progress.step(format!("verifier, {platform}"), Kind::Local, |_| {
            verifier::make(&work, &workspace(), platform, false)
        })
    };
    let verifier = built(platform)?;
    let init = if platform.is_foreign() {
        built(&Platform::host())?
    } else {
        verifier.clone()
    };
    if let Some(difference) = difference(&in_root::resolve_utf8(root, VERIFIER)?, &verifier)? {
        eprintln!("{difference}; this repository's is used");
    }
    let sandbox = sandbox.init(&init).read_only(&verifier, VERIFIER);
    let Some(file) = &flags.json else {
        let done = sandbox.run_through(&arguments.words(), Stdout::Inherited)?;
        return exit_code(done.status);
    };
    arguments.0.extend(["--json".to_owned(), "-".to_owned()]);
    let done = sandbox.run_through(&arguments.words(), Stdout::Captured)?;
    let code = exit_code(done.status)?;
    if done.stdout.is_empty() {
        // It has said why.
        return Ok(code);
    }
    let report = Report::parse(&String::from_utf8_lossy(&done.stdout))?;
    let report = report.of_image(report::Image {
        name: fetched.name,
        digest: fetched.image.digest,
        compressed_bytes: fetched
            .image
            .layers
            .iter()
            .map(|layer| layer.size_bytes)
            .sum(),
        uncompressed_bytes,
    })?;
    let json = format!("{}\n", serde_json::to_string_pretty(&report.json)?);
    if file == "-" {
        print!("{json}");
    } else {
        out::write_file(file, json.as_bytes())?;
    }
    Ok(code)
}

/// The image that the flags name.
fn reference(flags: &Args) -> Result<ImageReference> {
    let image = flags
        .image
        .as_deref()
        .unwrap_or(crate::flags::BASE_IMAGE_LAYOUT);
    let mut reference = ImageReference::parse(image, Utf8Path::is_dir)?;
    if let Some(wanted) = &flags.tag {
        match &mut reference {
            ImageReference::Layout { tag, .. } if tag.is_none() => *tag = Some(wanted.clone()),
            _ => {
                return Err(usage(
                    format!("--tag {wanted} is for a layout named without a tag"),
                    format!("--image {image} says by itself which image it means"),
                ));
            }
        }
    }
    Ok(reference)
}

/// The command line of the verifier.
#[derive(Debug, PartialEq)]
struct Arguments(Vec<String>);

impl Arguments {
    /// What was given after `--`; flags alone are those of `run`.
    fn parse(given: &[String]) -> Self {
        let mut words = given.to_vec();
        if words.first().is_none_or(|word| word.starts_with('-')) {
            words.insert(0, "run".to_owned());
        }
        Self(words)
    }

    fn is_run(&self) -> bool {
        self.0[0] == "run"
    }

    /// Whether the subcommand reads a source.
    fn takes_source(&self) -> bool {
        self.is_run() || ["explain", "check"].contains(&self.0[0].as_str())
    }

    fn check(&self, flags: &Args) -> Result<()> {
        let set = [
            (flags.json.is_some(), "--json"),
            (!flags.providers.is_empty(), "--provider"),
        ];
        match set.iter().find(|(is_set, _)| *is_set) {
            Some((_, flag)) if !self.is_run() => Err(usage(
                format!("{flag} is for the verifier's `run`"),
                format!("give `{}` flags of its own after --", self.0[0]),
            )),
            _ => Ok(()),
        }
    }

    /// Names the source to the subcommands that take one, unless that was done. Where the image builds nothing, `run`
    /// measures what is built already.
    fn add_source(&mut self, builds: bool) {
        let wants_one = self.takes_source() && (builds || !self.is_run());
        if wants_one && !self.0.iter().any(|word| word.starts_with("--source")) {
            self.0.extend(["--source".to_owned(), ELSEWHERE.to_owned()]);
        }
    }

    fn add_providers(&mut self, providers: &[String]) {
        for provider in providers {
            self.0.extend(["--provider".to_owned(), provider.clone()]);
        }
    }

    fn words(&self) -> Vec<&str> {
        let words = self.0.iter().map(String::as_str);
        std::iter::once(VERIFIER).chain(words).collect()
    }
}

/// Whether programs can be built in the image; else it has programs alone, as no image with caches has.
fn builds(root: &Utf8Path) -> Result<bool> {
    let has_programs = in_root::resolve_utf8(root, PROGRAM_LISTS_PATH)?.is_dir();
    Ok(!has_programs || in_root::resolve_utf8(root, PACKS_PATH)?.is_dir())
}

/// The providers of the source whose packs the image holds; none where the image tells of no packs.
fn warm_providers(root: &Utf8Path, source: &Utf8Path) -> Result<Vec<String>> {
    let packs = PackInfo::read_all(&in_root::resolve_utf8(root, PACKS_PATH)?)?;
    let names = packs.iter().map(|pack| Part::provider_of(&pack.name));
    let mut providers: Vec<String> = names.map(str::to_owned).collect();
    providers.retain(|provider| ![COMMON, REST].contains(&provider.as_str()));
    providers.dedup();
    if providers.is_empty() {
        return Ok(providers);
    }
    let description = in_root::resolve_utf8(root, IMAGE_INFO_PATH)?;
    let layout = if description.is_file() {
        // The image may be anybody's.
        let json = regular_file::read(&description, MAX_DESCRIPTION_BYTES)?;
        let info: ImageInfo = serde_json::from_slice(&json).map_err(|error| {
            corrupt(
                format!("{IMAGE_INFO_PATH} of the image: {error}"),
                "make it anew",
            )
        })?;
        info.source
    } else {
        None
    };
    let found = source::discover_by(source, layout.as_ref())?;
    let all = source::select(&found.modules, &[])?;
    providers.retain(|provider| all.contains(provider));
    if providers.is_empty() {
        return Err(usage(
            format!(
                "the image holds packs of none of the providers of {source}: {}",
                all.join(", ")
            ),
            "name one with --provider to measure it cold",
        ));
    }
    Ok(providers)
}

/// Commands in the unpacked image, as a container runtime would run them, and as whom.
fn sandbox(root: &Utf8Path, image: &Image, flags: &Args) -> Result<(User, Sandbox)> {
    let passwd = in_root::resolve_utf8(root, "/etc/passwd")?;
    let passwd = if passwd.is_file() {
        // The image may be anybody's.
        let passwd = regular_file::read(&passwd, MAX_PASSWD_BYTES);
        String::from_utf8(passwd?).context("the image's /etc/passwd is no text")?
    } else {
        String::new()
    };
    let account = Account::find(&passwd, &flags.user)?;
    let mut env = BTreeMap::from([("HOME", account.home.as_str())]);
    env.extend(image.env());
    let gocache = env.get("GOCACHE").copied();
    let mut sandbox = Sandbox::new(root)
        .env(env.clone())
        .user(account.user)
        .folder(ELSEWHERE);
    if flags.writable {
        sandbox = sandbox.writable_root();
    } else if let (Some(gocache), None) = (gocache, env.get("GOCACHEPROG")) {
        eprintln!(
            "GOCACHE cannot be written to here, which the go command takes for an error; GOCACHEPROG is set as in a \
             `-nonroot` image (--writable leaves the environment as it is)"
        );
        sandbox = sandbox.env([("GOCACHEPROG", image_config::cacheprog(gocache.into()))]);
    }
    match account.user {
        User::Root if access(DROP_CACHES, AccessFlags::W_OK).is_ok() => {
            sandbox = sandbox.writable(DROP_CACHES.into(), DROP_CACHES);
        }
        _ => {}
    }
    Ok((account.user, sandbox))
}

/// A user as a container runtime sees it.
#[derive(Debug, PartialEq)]
struct Account {
    user: User,
    home: String,
}

impl Account {
    /// The user with this name or ID in `passwd`; an ID need not be there.
    fn find(passwd: &str, wanted: &str) -> Result<Self> {
        let mut lines = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let line = lines.find(|line| line.len() > 5 && (line[0] == wanted || line[2] == wanted));
        let id = match &line {
            Some(line) => line[2],
            None if wanted == "root" => "0",
            None => wanted,
        };
        let id: u32 = id.parse().map_err(|_| {
            usage(
                format!("--user {wanted}: the image has no user of this name"),
                "give a user ID",
            )
        })?;
        Ok(Self {
            user: User::of(id),
            home: line.map_or("/", |line| line[5]).to_owned(),
        })
    }
}

/// What is to be said of the image's own verifier, unless it is `ours`.
fn difference(own: &Utf8Path, ours: &Utf8Path) -> Result<Option<&'static str>> {
    if !own.is_file() {
        return Ok(Some("the image holds no verifier"));
    }
    let is_same = own.metadata()?.len() == ours.metadata()?.len()
        && fs_err::read(own)? == fs_err::read(ours)?;
    Ok((!is_same).then_some("the image holds another verifier"))
}

fn exit_code(status: std::process::ExitStatus) -> Result<ExitCode> {
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ok(ExitCode::from(code)),
        _ => bail!("the verifier was ended ({status})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(given: &str) -> Arguments {
        let given: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let mut arguments = Arguments::parse(&given);
        arguments.add_source(true);
        arguments
    }

    #[test]
    fn the_verifier_runs_on_the_mounted_source() {
        for (given, expected) in [
            ("", "run --source /elsewhere/checkout"),
            ("--runs 3", "run --runs 3 --source /elsewhere/checkout"),
            ("run --source /x", "run --source /x"),
            ("run --source=/x", "run --source=/x"),
            (
                "explain civo/one",
                "explain civo/one --source /elsewhere/checkout",
            ),
            ("check", "check --source /elsewhere/checkout"),
            ("info", "info"),
        ] {
            assert_eq!(arguments(given).0.join(" "), expected, "{given}");
        }
    }

    #[test]
    fn where_nothing_can_be_built_programs_are_measured_that_are_built_already() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        assert!(builds(root).unwrap());
        let make = |path: &str| {
            fs_err::create_dir_all(root.join(path.trim_start_matches('/'))).unwrap();
        };
        make(PROGRAM_LISTS_PATH);
        assert!(!builds(root).unwrap());
        for (given, expected) in [
            ("run", "run"),
            ("check", "check --source /elsewhere/checkout"),
        ] {
            let mut arguments = Arguments::parse(&[given.to_owned()]);
            arguments.add_source(false);
            assert_eq!(arguments.0.join(" "), expected);
        }
        make(PACKS_PATH);
        assert!(builds(root).unwrap());
    }

    #[test]
    fn users_are_those_of_the_image() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nrunner:x:65532:0::/home/runner:/bin/sh\nbroken\n";
        for (wanted, user, home) in [
            ("root", User::Root, "/root"),
            ("0", User::Root, "/root"),
            ("runner", User::Id(65532), "/home/runner"),
            ("65532", User::Id(65532), "/home/runner"),
            ("1234", User::Id(1234), "/"),
        ] {
            let home = home.to_owned();
            assert_eq!(
                Account::find(passwd, wanted).unwrap(),
                Account { user, home }
            );
        }
        assert!(Account::find(passwd, "nobody").is_err());
        assert_eq!(Account::find("", "root").unwrap().user, User::Root);
    }
}
