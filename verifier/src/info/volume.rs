//! `verifier info --volume DIR`: whether the caches of a volume hit here, before a build that would take minutes tells.
//!
//! A volume that is missing, another one, or at another place is no error to the go command, which compiles everything.
//! So whatever is wrong is one here, by name. What is printed goes into shells and pods, so it is looked at first: the
//! volume may be anybody's.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use camino::Utf8Path;
use failure::{Kind, corrupt, usage};
use gocache::Identity;
use gocache::image_info::volume::{FOLDER, INFO, Volume};
use gocache::image_info::{ImageInfo, SCHEMA};
use serde_json::json;

use super::{check_schema, unfit};
use crate::process::Environment;
use crate::{go, output};

/// Variables of a volume that decide on hits beside those of the identity.
const OTHERS: [&str; 2] = ["GOCACHEPROG", "GOTOOLCHAIN"];

/// Fails unless builds hit the caches of `folder`; prints the environment in which they do.
pub fn run(folder: &Utf8Path, json: bool) -> anyhow::Result<ExitCode> {
    let image = read(folder)?;
    let ImageInfo {
        identity, volume, ..
    } = &image;
    let Some(volume) = volume else {
        return Err(foreign(folder, "it is an image, and no volume"));
    };
    let Volume { place, env } = volume;
    check(env, folder)?;
    if !is_same_folder(folder, place)? {
        return Err(usage(
            format!(
                "{folder} is mounted at another place than {place}, where its caches were made"
            ),
            format!("mount it at {place}; its caches hit nowhere else"),
        ));
    }
    for cache in [&identity.gocache, &identity.gomodcache] {
        if !Utf8Path::new(cache).is_dir() {
            return Err(foreign(folder, &format!("it has no {cache}")));
        }
    }
    let settings = go::Settings::with_environment(Utf8Path::new("."), &known(env))?;
    let differences = settings.differences(identity);
    if !differences.is_empty() {
        let Identity {
            go_version, goroot, ..
        } = identity;
        return Err(usage(
            unfit(&differences),
            format!(
                "mount it into an image with {go_version} in {goroot}, or mount a volume for the Go that is there"
            ),
        ));
    }
    if json {
        let variables = env.iter();
        let variables = variables.map(|(name, value)| json!({"name": name, "value": value}));
        output::json_to_stdout(&variables.collect::<Vec<_>>())?;
    } else {
        let line = |(name, value): (&String, &String)| {
            format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
        };
        output::print(&env.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the volume in `folder` says of itself.
fn read(folder: &Utf8Path) -> anyhow::Result<ImageInfo> {
    let entries = folder.read_dir_utf8();
    let mut entries = entries.map_err(|error| foreign(folder, &error.to_string()))?;
    if entries.next().is_none() {
        return Err(foreign(folder, "nothing is mounted there"));
    }
    let file = folder.join(FOLDER).join(INFO);
    match file.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(foreign(folder, &format!("it has no {FOLDER}/{INFO}")));
        }
        _ => {}
    }
    let image = ImageInfo::read(&file).map_err(|error| match error.kind() {
        Some(Kind::Corrupt) => corrupt(error.to_string(), "pull the volume's image again"),
        _ => error.into(),
    })?;
    check_schema(image.schema, SCHEMA, &file)?;
    Ok(image)
}

fn foreign(folder: &Utf8Path, reason: &str) -> anyhow::Error {
    usage(
        format!("{folder} is no volume of Go caches: {reason}"),
        "mount an image whose name ends with -volume there, all of it, without a subPath",
    )
}

/// Fails if a shell or a pod would not take these variables for what they are.
fn check(env: &BTreeMap<String, String>, folder: &Utf8Path) -> anyhow::Result<()> {
    let is_name = |name: &str| {
        let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        let mut bytes = name.bytes();
        bytes.next().is_some_and(is_letter) && bytes.all(|it| is_letter(it) || it.is_ascii_digit())
    };
    let mut variables = env.iter();
    let wrong = variables.find(|(name, value)| !is_name(name) || value.contains(char::is_control));
    match wrong {
        None => Ok(()),
        Some((name, _)) => Err(corrupt(
            format!("{folder} says of a variable what cannot be: {name:?}"),
            "use a volume that `cargo xtask base-image` or `assemble` made",
        )),
    }
}

/// Those that the go command is asked with.
fn known(env: &BTreeMap<String, String>) -> Environment {
    let names = Identity::GO_ENV_NAMES.into_iter().chain(OTHERS);
    names
        .filter_map(|name| Some((name, env.get(name)?.clone())))
        .collect()
}

/// Whether `folder` is what is at `place`, whatever the two are called.
fn is_same_folder(folder: &Utf8Path, place: &Utf8Path) -> anyhow::Result<bool> {
    let here = fs_err::metadata(folder)?;
    let there = place.metadata().ok();
    Ok(there.is_some_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino())))
}
