//! What can be known before anything is made: whatever would stop a run after minutes is found in seconds, and all of
//! it at once.
//!
//! Each check is a function of the plan in one table, and looks only. Where a check cannot know, it lets the run go on:
//! the step itself has the last word.

mod named;
mod plan;
mod proxy;

pub use plan::{Makes, Plan};

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use engine::progress::human_bytes;
use engine::sandbox::User;
use engine::{Engine, emulation, host};
use failure::{Failure, Kind, usage};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::foundation::verifier;
use crate::image_toml::ImageToml;
use crate::readable;

/// What a first run takes at least: the base system, Go and the tools, and the caches of one small provider.
const LEAST_AT_FIRST_BYTES: u64 = 5_000_000_000;
/// What a later one takes at least: the image of one small provider, unpacked to be verified.
const LEAST_LATER_BYTES: u64 = 1_500_000_000;
/// What the layers of one small provider's image take, where they cannot be links to kept ones.
const LEAST_OUT_BYTES: u64 = 250_000_000;

/// All checks, in the order in which their findings are told.
const CHECKS: [fn(&Plan<'_>) -> Result<()>; 10] = [
    |plan| {
        let image = ImageToml::read(&plan.settings.image)?;
        let user = User::of(image.user.uid);
        let (source, engine) = (&plan.settings.source, plan.settings.engine);
        if plan.verifies {
            readable::check(source, user, engine)
        } else {
            Ok(())
        }
    },
    |plan| {
        let file = &plan.settings.image;
        named::check(file, &ImageToml::read(file)?, plan.modules)
    },
    |plan| match plan.settings.engine {
        Engine::CurrentContainer => Ok(()),
        engine => engine.require(),
    },
    has_programs,
    |plan| {
        may_write(
            &plan.kept,
            "the kept work",
            "set XDG_CACHE_HOME to another folder",
        )
    },
    |plan| match plan.out.and_then(Utf8Path::parent) {
        Some(folder) => may_write(folder, "--out", "name another folder with --out"),
        None => Ok(()),
    },
    has_room,
    proxy::check,
    // Those of other platforms, for nothing else can be missing.
    |plan| {
        let runs = plan.makes.base || plan.verifies;
        let mut platforms = plan.platforms.iter().filter(|_| runs);
        platforms.try_for_each(emulation::require)
    },
    |plan| {
        let makes = plan.makes.verifier;
        let mut foreign = plan.platforms.iter().filter(|it| makes && it.is_foreign());
        foreign.try_for_each(verifier::require)
    },
];

/// Makes sure that nothing known stands in the way of `plan`; `more` is what was found before.
pub fn check(plan: &Plan<'_>, more: Option<anyhow::Error>) -> Result<()> {
    let found = CHECKS.iter().filter_map(|check| check(plan).err());
    match together(more.into_iter().chain(found).collect()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// One error of several, which are told one below the other with what to do about each.
fn together(mut found: Vec<anyhow::Error>) -> Option<anyhow::Error> {
    if found.len() < 2 {
        return found.pop();
    }
    let kinds: Vec<Kind> = found
        .iter()
        .map(|error| failure::kind(error, &[modules::Error::classify]))
        .collect();
    let texts = found.iter().map(|error| {
        let text = failure::text(error).replace('\n', "\n    ");
        format!("\n  {text}")
    });
    let failure = Failure {
        kind: if kinds.contains(&Kind::Usage) {
            Kind::Usage
        } else {
            kinds[0]
        },
        message: format!(
            "{} things stand in the way:{}",
            found.len(),
            texts.collect::<Vec<_>>().concat()
        ),
        hint: None,
    };
    Some(failure.into())
}

/// The folder nearest to `place`, or above it, that is there.
pub fn there(place: &Utf8Path) -> &Utf8Path {
    let mut above = place.ancestors();
    above
        .find(|folder| !folder.as_str().is_empty() && folder.exists())
        .unwrap_or(if place.is_absolute() { "/" } else { "." }.into())
}

/// Bytes that are free for this user where `place` is, or will be.
pub fn free_bytes(place: &Utf8Path) -> Result<u64> {
    let folder = there(place);
    let disk =
        statvfs(folder.as_std_path()).with_context(|| format!("failed to look at {folder}"))?;
    Ok(disk.blocks_available() * disk.fragment_size())
}

fn may_write(place: &Utf8Path, what: &str, hint: &str) -> Result<()> {
    let folder = there(place);
    if !folder.is_dir() {
        let message = format!("{what} cannot be in {place}: {folder} is no folder");
        return Err(usage(message, hint));
    }
    access(folder.as_std_path(), AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
        let message = format!("{what} cannot be written to {folder}: {}", error.desc());
        usage(message, format!("{hint}, or let this user write there"))
    })
}

fn has_room(plan: &Plan<'_>) -> Result<()> {
    let is_first = !plan.kept.join("tools-layer").is_dir() && !plan.kept.join("common").is_dir();
    let least = if is_first {
        LEAST_AT_FIRST_BYTES
    } else {
        LEAST_LATER_BYTES
    };
    room(
        "the kept work",
        &plan.kept,
        free_bytes(&plan.kept)?,
        least,
        "remove what is not used with `cargo xtask clean`, or set XDG_CACHE_HOME to a folder elsewhere",
    )?;
    let Some(out) = plan.out else { return Ok(()) };
    let device = |place: &Utf8Path| -> Result<u64> {
        Ok(std::os::unix::fs::MetadataExt::dev(&fs_err::metadata(
            there(place),
        )?))
    };
    if device(out)? == device(&plan.kept)? {
        return Ok(());
    }
    let hint = "make room, or name a folder elsewhere with --out";
    room("--out", out, free_bytes(out)?, LEAST_OUT_BYTES, hint)
}

fn room(what: &str, place: &Utf8Path, free: u64, least: u64, hint: &str) -> Result<()> {
    if free >= least {
        return Ok(());
    }
    let (free, least) = (human_bytes(free), human_bytes(least));
    Err(usage(
        format!("{what} in {place} takes at least {least}, and {free} are free there"),
        hint,
    ))
}

/// Makes sure that there are the programs which nothing here installs.
fn has_programs(plan: &Plan<'_>) -> Result<()> {
    let cargo = host::cargo();
    let needed = [
        // Which fetches the image's own.
        ("go", "https://go.dev/dl", !plan.kept.join("go").is_dir()),
        ("cargo", "https://rustup.rs", !cargo.contains('/')),
    ];
    let is_missing = |program: &str| host::find(program).is_none();
    match needed.iter().find(|it| it.2 && is_missing(it.0)) {
        None => Ok(()),
        Some((program, from, _)) => Err(usage(
            format!("{program} is not on this machine"),
            format!("install it: {from}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Settings;
    use failure::failed;

    #[test]
    fn findings_are_told_together_and_input_decides_the_exit_code() {
        assert!(together(Vec::new()).is_none());
        let network = || failed("the proxy is not there", "check the network");
        let alone = together(vec![network()]).unwrap();
        assert_eq!(failure::kind(&alone, &[]), Kind::Failed);
        let both = together(vec![network(), usage("no provider x", "there are: a, b")]).unwrap();
        assert_eq!(failure::kind(&both, &[]), Kind::Usage);
        insta::assert_snapshot!(format!(
            "{}\n---\n{}",
            failure::text(&alone),
            failure::text(&both)
        ));
    }

    #[test]
    fn too_little_room_is_told_with_both_numbers() {
        let said = |free| {
            let told = room("the kept work", "/kept".into(), free, 5_000_000_000, "do");
            told.map_err(|error| failure::text(&error))
        };
        assert_eq!(said(5_000_000_000), Ok(()));
        let expected =
            "the kept work in /kept takes at least 5.00 GB, and 1.20 GB are free there\nhint: do";
        assert_eq!(said(1_200_000_000), Err(expected.to_owned()));
    }

    #[test]
    fn a_folder_is_written_to_where_the_next_one_above_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::write(folder.join("file"), "").unwrap();
        let said = |place: &str| may_write(&folder.join(place), "--out", "name another");
        said("a/b/c").unwrap();
        for (place, why) in [("file/a", "is no folder"), ("file", "is no folder")] {
            let error = said(place).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), Kind::Usage);
            assert!(error.to_string().ends_with(why), "{error}");
        }
        // Nobody can, root neither.
        let error = may_write("/proc/1/x/y".into(), "--out", "name another").unwrap_err();
        assert!(error.to_string().contains("/proc/1"), "{error}");
        assert_eq!(there("absent/x".into()), ".");
    }

    #[test]
    fn a_plan_without_faults_goes_on_and_all_faults_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let mut settings = Settings::new(folder.to_owned());
        settings.engine = Engine::CurrentContainer;
        let out = folder.join("out");
        let plan = Plan {
            settings: &settings,
            modules: &[],
            platforms: &[],
            makes: Makes::NONE,
            verifies: false,
            out: Some(&out),
            kept: folder.join("kept"),
        };
        fs_err::create_dir_all(plan.kept.join("common")).unwrap();
        check(&plan, None).unwrap();
        fs_err::write(folder.join("file"), "").unwrap();
        let out = folder.join("file/x/out");
        let plan = Plan {
            out: Some(&out),
            kept: folder.join("file/kept"),
            ..plan
        };
        let error = check(&plan, Some(usage("no provider", "name one"))).unwrap_err();
        let said = failure::text(&error);
        for part in ["3 things", "no provider", "--out", "the kept work"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
