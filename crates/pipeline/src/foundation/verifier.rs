//! Builds the verifier for the image: linked statically, so that it runs on any base system, and without any path of
//! this machine in it, so that two machines build the same file.
//!
//! For another platform it is cross-compiled, which takes that platform's standard library of Rust, and a C compiler
//! and linker. Where they are not there, the pack of tools is made on a machine of that platform.

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use oci::platform::Platform;
use xshell::{Shell, cmd};

use crate::foundation::crates;
use crate::names::TOOLS;
use crate::work::Work;
use engine::host;
use failure::usage;

/// The profile of Cargo.toml that says how hard it is optimised.
const PROFILE: &str = "image";

/// What compiles for a platform that is not this machine's.
struct Cross {
    /// What Go calls the architecture.
    arch: &'static str,
    /// What Rust calls the platform.
    target: &'static str,
    /// What the programs of GNU for it begin with.
    gnu: &'static str,
    /// The Debian package that has them.
    package: &'static str,
}

const CROSS: [Cross; 2] = [
    Cross {
        arch: "amd64",
        target: "x86_64-unknown-linux-gnu",
        gnu: "x86_64-linux-gnu-",
        package: "gcc-x86-64-linux-gnu",
    },
    Cross {
        arch: "arm64",
        target: "aarch64-unknown-linux-gnu",
        gnu: "aarch64-linux-gnu-",
        package: "gcc-aarch64-linux-gnu",
    },
];

/// How the verifier is built.
struct Toolchain {
    target: String,
    /// What links it; for this machine, what Rust takes.
    linker: Option<String>,
    objcopy: String,
}

impl Toolchain {
    /// What is there for `platform`.
    fn find(sh: &Shell, platform: &Platform) -> Result<Self> {
        let rustc = rustc();
        if !platform.is_foreign() {
            let version = host::read(cmd!(sh, "{rustc} -vV"))?;
            let target = version
                .lines()
                .find_map(|line| line.strip_prefix("host: "))
                .context("`rustc -vV` names no host")?;
            return Ok(Self {
                target: target.to_owned(),
                linker: None,
                objcopy: "objcopy".to_owned(),
            });
        }
        let cross = CROSS.iter().find(|cross| cross.arch == platform.arch);
        let cross = cross.with_context(|| format!("no compiler is known for {platform}"))?;
        let Cross {
            target,
            gnu,
            package,
            ..
        } = cross;
        let linker = std::env::var(linker_variable(target)).ok();
        let linker = linker.unwrap_or_else(|| format!("{gnu}gcc"));
        let objcopy = format!("{gnu}objcopy");
        let mut missing = Vec::new();
        if !has_standard_library(sh, target) {
            missing.push(format!("rustup target add {target}"));
        }
        if [&linker, &objcopy]
            .into_iter()
            .any(|it| host::find(it).is_none())
        {
            missing.push(format!("apt-get install {package}"));
        }
        if missing.is_empty() {
            return Ok(Self {
                target: (*target).to_owned(),
                linker: Some(linker),
                objcopy,
            });
        }
        Err(usage(
            format!("the verifier cannot be compiled for {platform} on this machine"),
            format!(
                "either install what compiles it: {}; or make the pack {TOOLS} on a machine of that platform, with \
                 `cargo xtask warm --provider {TOOLS} --push …`, the others here with `warm`, and `assemble` the image \
                 from there",
                missing.join(" && "),
            ),
        ))
    }
}

/// The variable by which cargo is told what links for `target`.
fn linker_variable(target: &str) -> String {
    let target = target.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{target}_LINKER")
}

/// The compiler that cargo will take.
fn rustc() -> String {
    std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

fn has_standard_library(sh: &Shell, target: &str) -> bool {
    let rustc = rustc();
    let printed = host::read(cmd!(sh, "{rustc} --print target-libdir --target {target}"));
    let libraries = printed.map(|folder| Utf8PathBuf::from(folder.trim()));
    libraries.is_ok_and(|folder| {
        let files = folder.read_dir_utf8().into_iter().flatten().flatten();
        files
            .map(|file| file.file_name().to_owned())
            .any(|name| name.starts_with("libstd-"))
    })
}

/// Makes sure that the verifier can be built for `platform`.
pub fn require(platform: &Platform) -> Result<()> {
    Toolchain::find(&Shell::new()?, platform).map(drop)
}

/// Builds the verifier and returns the executable: a copy of this run's own, as another run may build it from changed
/// sources before this one has hashed and packed it.
pub fn make(
    work: &Work,
    workspace: &Utf8Path,
    platform: &Platform,
    offline: bool,
) -> Result<Utf8PathBuf> {
    let sh = Shell::new()?;
    let _workspace = sh.push_dir(workspace);
    let Toolchain {
        target,
        linker,
        objcopy,
    } = Toolchain::find(&sh, platform)?;
    let home = std::env::var("CARGO_HOME").ok().map(Utf8PathBuf::from);
    let home = home.or_else(|| Some(Utf8PathBuf::from(std::env::var("HOME").ok()?).join(".cargo")));
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={workspace}=/iac-runner"),
    ];
    flags.extend(home.map(|home| format!("--remap-path-prefix={home}=/cargo")));
    let folder = workspace.join("target/image");
    let _folder = sh.push_env("CARGO_TARGET_DIR", &folder);
    let _flags = sh.push_env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let _linker = linker.map(|linker| sh.push_env(linker_variable(&target), linker));
    let cargo = host::cargo();
    let offline = offline.then_some("--offline");
    host::run(cmd!(
        sh,
        "{cargo} build --quiet --profile {PROFILE} --locked --package verifier --target {target} {offline...}"
    ))
    .with_context(|| format!("failed to build the verifier for {platform}"))?;
    let executable = work.lasting("verifier-")?.join("verifier");
    fs_err::copy(
        folder.join(&target).join(PROFILE).join("verifier"),
        &executable,
    )?;
    crates::add(&sh, "verifier", &target, &objcopy, &executable)?;
    Ok(executable)
}
