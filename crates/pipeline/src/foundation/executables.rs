//! The executables of the tools: compiled from Go modules with the image's own Go, pinned by a go.mod and go.sum beside
//! `image.toml`, or, with `source = "release"`, taken from the project's archive, whose digest must be known
//! beforehand.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};
use modules::ModFile;

use crate::foundation::not_kept;
use crate::foundation::packages::{self, Packages};
use crate::foundation::release;
use crate::foundation::standard_library;
use crate::foundation::tree::{SCRATCH, Tree};
use crate::image_toml::{ImageToml, Release, Tool, ToolBuild, ToolSource};
use crate::resolve::host_go::{HostGo, without_credentials};
use crate::warm::share::Share;
use crate::work::files::link_tree;
use crate::work::kept_tree::{self, Additions};
use crate::work::{Key, Work};
use engine::excerpt::excerpt;
use engine::progress::{Step, millis};
use engine::{host, memory, together};
use failure::usage;

/// The kind of kept work.
const TOOL: &str = "tool";

/// Makes the tools' executables.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// The tree without tools.
    pub tree: &'a Tree,
    /// The image's settings, in which each tool has one source.
    pub image: &'a ImageToml,
    /// Folder of `image.toml`.
    pub description: &'a Utf8Path,
    /// The module cache that all fetches share.
    pub go_mod: &'a Utf8Path,
    /// Whether the network is out of bounds.
    pub offline: bool,
}

/// Where a tool comes from, and the digest of everything it is made from.
pub enum Origin<'a> {
    /// Go modules.
    Compiled {
        /// Which package of which.
        build: &'a ToolBuild,
        /// Its version, without a `v`.
        version: &'a str,
        /// Digest of all inputs.
        key: Key,
    },
    /// An archive of the project.
    Released {
        /// Which files of it.
        release: &'a Release,
        /// Where it is.
        url: String,
        /// Its digest, in hex.
        sha256: &'a str,
        /// Digest of all inputs.
        key: Key,
    },
}

impl Origin<'_> {
    /// Digest of everything it is made from.
    pub fn key(&self) -> &Key {
        match self {
            Self::Compiled { key, .. } | Self::Released { key, .. } => key,
        }
    }
}

impl Maker<'_> {
    /// Where all tools come from; nothing is made yet.
    pub fn origins(&self) -> Result<Vec<Origin<'_>>> {
        let mut origins = Vec::new();
        for (name, tool) in &self.image.tools {
            match tool.source {
                ToolSource::Auto => bail!("nobody decided where {name} comes from"),
                ToolSource::ModuleProxy => {
                    for build in &tool.build {
                        origins.push(self.compiled(tool, build)?);
                    }
                }
                ToolSource::Release => origins.push(self.released(name, tool)?),
            }
        }
        Ok(origins)
    }

    /// Makes the executables, by name.
    ///
    /// Tools are fetched and compiled side by side: one waits for the network, or for its linker, while another one's
    /// packages compile. Their cache is one; of a thousand packages each they share less than a hundred, so it matters
    /// little that two may compile the same.
    pub fn make(
        &self,
        origins: &[Origin<'_>],
        step: &mut Step,
    ) -> Result<BTreeMap<String, Utf8PathBuf>> {
        let go_build = self.work.scratch("tools-go-build")?;
        let mut is_compiled = false;
        for origin in origins {
            if let Origin::Compiled { key, .. } = origin {
                is_compiled |= self.work.kept(TOOL, key)?.is_none();
            }
        }
        let share = Share::of_tools(host::processors(), memory::memory(), origins.len());
        let compiling = Compiling {
            go_build: go_build.path(),
            share,
            step,
            started: Instant::now(),
            packages: Packages::default(),
            standard_library: OnceLock::new(),
        };
        let waiting = Mutex::new(origins.iter());
        let made = Mutex::new(BTreeMap::new());
        let worker = || -> Result<()> {
            loop {
                let next = waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next();
                let Some(origin) = next else { return Ok(()) };
                let executables = self.make_one(origin, &compiling)?;
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                made.extend(executables);
            }
        };
        let mut jobs: Vec<together::Job<'_>> = Vec::new();
        if is_compiled {
            // While the tools' modules are fetched.
            jobs.push(Box::new(|| compiling.start(self)));
        }
        for _ in 0..share.jobs {
            jobs.push(Box::new(worker));
        }
        together::run(jobs)?;
        if is_compiled {
            let go_ms = millis(compiling.started);
            step.go_ms += go_ms;
        }
        Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn make_one(
        &self,
        origin: &Origin<'_>,
        compiling: &Compiling<'_>,
    ) -> Result<Vec<(String, Utf8PathBuf)>> {
        match origin {
            Origin::Compiled {
                build,
                version,
                key,
            } => {
                let file = self.compile(build, version, key, compiling)?;
                Ok(vec![(build.binary.clone(), file)])
            }
            Origin::Released {
                release,
                url,
                sha256,
                key,
            } => {
                let folder =
                    kept_tree::keep(self.work, release::KIND, key, Additions::None, |kept| {
                        compiling.step.detail(url.as_str());
                        if self.offline {
                            return Err(not_kept(url.as_str()));
                        }
                        release::unpack(url, sha256, &release.binaries, kept)
                    })?;
                let binaries = release.binaries.iter();
                Ok(binaries
                    .map(|binary| (binary.clone(), folder.join(binary)))
                    .collect())
            }
        }
    }

    fn compiled<'b>(&self, tool: &'b Tool, build: &'b ToolBuild) -> Result<Origin<'b>> {
        let folder = self.description.join(&build.folder);
        let version = build.version.as_ref().unwrap_or(&tool.version);
        let sums = [folder.join("go.mod"), folder.join("go.sum")];
        let pinned = format!("{} v{version}", build.module);
        let required = ModFile::parse(&fs_err::read_to_string(&sums[0])?).require;
        let is_pinned = required
            .iter()
            .any(|it| it.module.path == build.module && it.module.version == format!("v{version}"));
        if !is_pinned {
            return Err(usage(
                format!("image.toml asks for {pinned}, {} does not", sums[0]),
                format!(
                    "run `go get {}@v{version} && go mod tidy` there",
                    build.module
                ),
            ));
        }
        let digests = sums
            .iter()
            .map(|file| Ok(sha256::hash_file(file)?.0))
            .collect::<Result<Vec<_>>>()?;
        let environment = self.tree.image.go_env(&self.tree.platform);
        let go = &self.tree.image.go.version;
        let key = Key::of(&(go, environment, build, version, digests))?;
        Ok(Origin::Compiled {
            build,
            version,
            key,
        })
    }

    fn compile(
        &self,
        build: &ToolBuild,
        version: &str,
        key: &Key,
        compiling: &Compiling<'_>,
    ) -> Result<Utf8PathBuf> {
        let folder = self.description.join(&build.folder);
        let kept = kept_tree::keep(self.work, TOOL, key, Additions::None, |kept| {
            self.fetch(build)?;
            compiling.start(self)?;
            let scratch = self.work.scratch(TOOL)?;
            let sandbox = self
                .tree
                .sandbox(scratch.path())
                .read_only(&folder, "/tool")
                .folder("/tool")
                .writable(compiling.go_build, &self.tree.image.go.gocache)
                .read_only(self.go_mod, &self.tree.image.go.gomodcache)
                .env(compiling.share.env());
            let binary = &build.binary;
            let failed = |said: &str| anyhow!("{binary} does not build:\n{}", excerpt(said));
            let listed = ["go", "list", "-deps", "-f", packages::FORMAT, "--"];
            let listed = sandbox.run(&[&listed[..], &[&*build.package]].concat())?;
            if !listed.status.success() {
                return Err(failed(&listed.stderr));
            }
            let own = compiling.packages.add(&listed.stdout);
            let output = format!("{SCRATCH}/{binary}");
            let ldflags = build.ldflags.replace("{version}", version);
            let arguments = [
                "go",
                "build",
                "-v",
                "-o",
                &output,
                "-ldflags",
                &ldflags,
                "--",
                &build.package,
            ];
            let (status, _, said) = sandbox.run_with(&arguments, |stderr| {
                own.follow(stderr, |done, total, package| {
                    compiling
                        .step
                        .count(done, total, "packages", &format!("{binary}: {package}"));
                })
            })?;
            if !status.success() {
                return Err(failed(&said));
            }
            fs_err::rename(scratch.path().join(binary), kept.join(binary))?;
            Ok(())
        })?;
        Ok(kept.join(&build.binary))
    }

    /// Fetches the Go modules that the build loads.
    fn fetch(&self, build: &ToolBuild) -> Result<()> {
        if self.offline {
            return Ok(());
        }
        let scratch = self.work.scratch("fetch-tool")?;
        let folder = scratch.path().join("tool");
        fs_err::create_dir(&folder)?;
        for file in ["go.mod", "go.sum"] {
            fs_err::copy(
                self.description.join(&build.folder).join(file),
                folder.join(file),
            )?;
        }
        let go = HostGo {
            goroot: &self.tree.go,
            module_cache: self.go_mod,
            scratch: scratch.path(),
            folder: &folder,
        };
        let done = go.run(&["list", "-deps", "-f", "", "--", &build.package])?;
        if !done.status.success() {
            bail!(
                "failed to fetch the Go modules of {}:\n{}",
                build.binary,
                without_credentials(&excerpt(&done.stderr))
            );
        }
        Ok(())
    }

    fn released<'b>(&self, name: &str, tool: &'b Tool) -> Result<Origin<'b>> {
        let platform = &self.tree.platform;
        let release = tool.release.as_ref();
        let release = release.context("image.toml was checked for a release")?;
        let sha256 = release.sha256.get(&platform.to_string()).ok_or_else(|| {
            usage(
                format!("image.toml: tools.{name}.release.sha256 has no digest for {platform}"),
                "add the digest that the project publishes",
            )
        })?;
        let url = release.url(&tool.version, platform);
        let key = release::key(&url, sha256, &release.binaries)?;
        Ok(Origin::Released {
            release,
            url,
            sha256,
            key,
        })
    }
}

/// What tools have in common that are compiled side by side.
struct Compiling<'a> {
    go_build: &'a Utf8Path,
    share: Share,
    step: &'a Step,
    started: Instant,
    packages: Packages,
    standard_library: OnceLock<bool>,
}

impl Compiling<'_> {
    /// Makes the build cache start with the standard library: whoever comes first, and the others wait.
    fn start(&self, maker: &Maker<'_>) -> Result<()> {
        let mut failure = None;
        let is_there = self.standard_library.get_or_init(|| {
            let made = standard_library::beside(maker.work, maker.tree, self.step);
            let linked = made.and_then(|(made, _)| link_tree(&made, self.go_build));
            failure = linked.err();
            failure.is_none()
        });
        match failure {
            Some(error) => Err(error),
            None if *is_there => Ok(()),
            None => bail!("the standard library is not there"),
        }
    }
}
