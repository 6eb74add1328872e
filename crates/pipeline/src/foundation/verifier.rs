//! Builds the verifier for the image: linked statically, so that it runs on any base system, and without any path of
//! this machine in it, so that two machines build the same file.

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use crate::foundation::crates;
use crate::work::Work;
use engine::host;

/// The profile of Cargo.toml that says how hard it is optimised.
const PROFILE: &str = "image";

/// Builds the verifier and returns the executable: a copy of this run's own, as another run may build it from changed
/// sources before this one has hashed and packed it.
pub fn make(work: &Work, workspace: &Utf8Path, offline: bool) -> Result<Utf8PathBuf> {
    let sh = Shell::new()?;
    let _workspace = sh.push_dir(workspace);
    let version = host::read(cmd!(sh, "rustc -vV"))?;
    let target = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?;
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
    let cargo = host::cargo();
    let offline = offline.then_some("--offline");
    host::run(cmd!(
        sh,
        "{cargo} build --quiet --profile {PROFILE} --locked --package verifier --target {target} {offline...}"
    ))
    .context("failed to build the verifier")?;
    let executable = work.lasting("verifier-")?.join("verifier");
    fs_err::copy(
        folder.join(target).join(PROFILE).join("verifier"),
        &executable,
    )?;
    crates::add(&sh, "verifier", target, &executable)?;
    Ok(executable)
}
