//! Flags that several commands have.

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use engine::Engine;
use failure::usage;
use oci::layout::reader::Layout;
use oci::platform::Platform;
use pipeline::flow::Settings;
use pipeline::image_toml::ToolSource;
use pipeline::pack::matrix::Times;
use pipeline::signatures::cosign::Signer;
use pipeline::signatures::trust::Trust;

use crate::source::Source;

/// Where the image goes that is built without `--out`.
pub const BASE_IMAGE: &str = "target/base-image";
pub const BASE_IMAGE_LAYOUT: &str = "target/base-image/oci";

/// The variable that stands for the flag `--allow-unchecked-modules`.
pub const ALLOW_UNCHECKED: &str = "IAC_RUNNER_ALLOW_UNCHECKED_MODULES";

/// An image that is built already.
#[derive(Debug, Args)]
pub struct ImageLayout {
    /// OCI image layout
    #[arg(long, value_name = "DIR/oci", default_value = BASE_IMAGE_LAYOUT)]
    pub image: Utf8PathBuf,
}

impl ImageLayout {
    /// The layout.
    pub fn open(&self) -> Result<Layout> {
        open_layout(&self.image)
    }
}

/// The layout in a folder that the user names.
pub fn open_layout(folder: &Utf8Path) -> Result<Layout> {
    if folder.join("index.json").is_file() {
        return Layout::open(folder);
    }
    Err(usage(
        format!("{folder} is no OCI layout, it has no index.json"),
        "`cargo xtask base-image` makes one below its --out",
    ))
}

/// Whose signatures are demanded.
#[derive(Debug, Args)]
pub struct Trusted {
    /// Take nothing that is not signed with this key, and nothing beside which an unsigned statement lies: the public
    /// half, as `cosign generate-key-pair` writes it
    #[arg(long, value_name = "FILE")]
    pub trusted_key: Option<Utf8PathBuf>,
    /// The same for signatures without a key, by whom this policy names (TOML: `issuer`, and `subject` or `subject_regexp`)
    #[arg(long, value_name = "FILE", conflicts_with = "trusted_key")]
    pub trusted_identity: Option<Utf8PathBuf>,
}

impl Trusted {
    /// Whose they are, if any are.
    pub fn trust(&self) -> Result<Option<Trust>> {
        match (&self.trusted_key, &self.trusted_identity) {
            (Some(file), _) => Trust::key(file).map(Some),
            (_, Some(file)) => Trust::identity(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// How what is pushed is signed, by cosign, before it has a tag.
#[derive(Debug, Args)]
pub struct Signing {
    /// Sign with this key, a file or what else cosign takes for one; `COSIGN_PASSWORD` is its password
    #[arg(long, value_name = "KEY")]
    pub sign_key: Option<String>,
    /// Sign without a key, for the identity that the service this runs on vouches for, in the public log
    #[arg(long, conflicts_with = "sign_key")]
    pub sign: bool,
}

impl Signing {
    /// With what, if it is.
    pub fn signer(&self) -> Option<Signer> {
        let identity = self.sign.then_some(Signer::Identity);
        self.sign_key.clone().map(Signer::Key).or(identity)
    }
}

/// For what something is made, or taken.
#[derive(Debug, Clone, Args)]
pub struct Platforms {
    /// For which platform, such as linux/arm64; repeat for several, or put commas between them
    /// [default: this machine's]
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',')]
    named: Vec<Platform>,
}

impl Platforms {
    /// Those that were named, each once.
    pub fn named(&self) -> Vec<Platform> {
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in &self.named {
            if !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        platforms
    }

    /// The same, or this machine's.
    pub fn or_host(&self) -> Vec<Platform> {
        let named = self.named();
        if named.is_empty() {
            vec![Platform::host()]
        } else {
            named
        }
    }
}

/// What the names of steps for `platform` end with; nothing where it is the only one.
pub fn suffix(platform: &Platform, platforms: &[Platform]) -> String {
    if platforms.len() == 1 {
        String::new()
    } else {
        format!(" ({platform})")
    }
}

/// How packs are made.
#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    pub source: Source,
    /// Description of the image
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub platforms: Platforms,
    /// Modules that are built at the same time, and packages [default: one for each CPU, fewer where memory is short]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Use what was fetched before, and no network
    #[arg(long)]
    pub offline: bool,
    /// Where tools come from that have two sources [default: what image.toml says]
    #[arg(long, value_name = "SOURCE", env = "IAC_RUNNER_TOOLS", value_enum)]
    pub tools: Option<ToolSource>,
    /// Take Go modules that no checksum database vouches for, as GOSUMDB=off, GOINSECURE and others ask; packs say so
    #[arg(long, env = ALLOW_UNCHECKED)]
    pub allow_unchecked_modules: bool,
    /// Leave out modules that do not build instead of stopping at them; the exit code is 1 all the same
    #[arg(long)]
    pub keep_going: bool,
    /// Level of zstd for the layers: a higher one makes them smaller and takes longer [default: that of the image]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "IAC_RUNNER_ZSTD_LEVEL",
        value_parser = clap::value_parser!(i32).range(1..=22)
    )]
    pub zstd_level: Option<i32>,
    /// What runs commands in the image's tree
    #[arg(long, value_enum, default_value = "native")]
    pub engine: Engine,
}

impl Build {
    /// For which platforms.
    pub fn platforms(&self) -> Vec<Platform> {
        self.platforms.or_host()
    }

    /// Settings for `source` that these flags ask for, on this machine's platform.
    pub fn settings(&self, source: Utf8PathBuf) -> Result<Settings> {
        let defaults = Settings::new(source);
        Ok(Settings {
            image: self.image.clone().unwrap_or(defaults.image),
            jobs: self.jobs.map(usize::from),
            times: Times::read(None)?,
            offline: self.offline,
            tools: self.tools,
            allow_unchecked: self.allow_unchecked_modules,
            keep_going: self.keep_going,
            zstd_level: self.zstd_level,
            engine: self.engine,
            ..defaults
        })
    }
}
