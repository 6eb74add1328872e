//! Settings that are not those of the image, and where they come from.
//!
//! Each of them changes every action ID, or the place where entries are looked for, so one alone explains that nothing
//! hits. Flags that change neither are passed over.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use camino::{Utf8Path, Utf8PathBuf};
use gocache::{Difference, Identity};
use modules::ModFile;
use serde::Serialize;

use crate::go;

/// Flags in GOFLAGS that no action ID depends on.
const NEUTRAL_FLAGS: [&str; 6] = ["-mod", "-modcacherw", "-p", "-v", "-work", "-x"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name in `go env`.
    pub name: &'static str,
    /// What the caches were made with.
    pub image: String,
    /// What is in force.
    pub here: String,
    /// Where that comes from.
    pub origin: String,
    /// What it comes to, where the values alone do not show it.
    pub detail: Option<String>,
}

#[derive(Debug, Default)]
pub struct Origins {
    /// Variables of the process that are set.
    environment: Vec<(String, String)>,
    /// The file that `go env -w` writes, and its text.
    goenv: Option<(Utf8PathBuf, String)>,
    /// The go.mod, and what it says.
    go_mod: Option<(Utf8PathBuf, ModFile)>,
}

impl Origins {
    /// Those of this process and of the folder that `settings` are from.
    pub fn of_process(settings: &go::Settings) -> anyhow::Result<Self> {
        let read = |name: &str| -> anyhow::Result<_> {
            let path = Utf8Path::new(settings.value(name));
            if path.is_absolute() && path.is_file() {
                return Ok(Some((path.to_owned(), fs_err::read_to_string(path)?)));
            }
            Ok(None)
        };
        let variables = std::env::vars_os();
        let environment = variables.filter_map(|(name, value)| {
            let value = value.into_string().ok().filter(|value| !value.is_empty())?;
            Some((name.into_string().ok()?, value))
        });
        Ok(Self {
            environment: environment.collect(),
            goenv: read("GOENV")?,
            go_mod: read("GOMOD")?.map(|(path, text)| (path, ModFile::parse(&text))),
        })
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.environment.iter();
        let (_, value) = variables.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The file of `go env -w`, if it sets a variable of the go command, and to what.
    fn written(&self, name: &str) -> Option<(&Utf8Path, &str)> {
        let (path, text) = self.goenv.as_ref()?;
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(key, _)| *key == name)?;
        Some((path, value))
    }

    /// What a variable of the go command is set to, if it is.
    fn value(&self, name: &str) -> Option<&str> {
        let written = || self.written(name).map(|(_, value)| value);
        self.variable(name).or_else(written)
    }

    /// Where the value of a variable of the go command comes from.
    fn of(&self, name: &str) -> String {
        match self.written(name) {
            _ if self.variable(name).is_some() => "set in the environment".into(),
            Some((path, _)) => format!("set in {path}, by `go env -w`"),
            None => "not set, so the go command's default".into(),
        }
    }

    /// Why this very Go runs.
    fn of_go(&self, version: &str) -> String {
        let wanted = version.strip_prefix("go").unwrap_or(version);
        if let Some((path, go_mod)) = &self.go_mod {
            let is_free = self.variable("GOTOOLCHAIN") != Some("local");
            if is_free && go_mod.go.as_deref() == Some(wanted) {
                return format!("by the go line in {path}, or the go command on PATH is that one");
            }
            if go_mod.toolchain.as_deref() == Some(version) {
                return format!("by the toolchain line in {path}");
            }
        }
        match self.variable("GOTOOLCHAIN") {
            Some(name) if name.starts_with(version) => "by GOTOOLCHAIN in the environment".into(),
            _ => "the go command on PATH is that one".into(),
        }
    }
}

/// What differs between the image, if there is one, and the settings in force; `has_go_modules` says whether it ships
/// any.
pub fn differences(
    image: Option<&Identity>,
    has_go_modules: bool,
    here: &go::Settings,
    origins: &Origins,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(image) = image {
        settings.extend(in_identity(
            &here.differences(image),
            image,
            &here.identity,
            origins,
        ));
        let program = here.value("GOCACHEPROG");
        if settings.is_empty() {
            settings.extend(empty(image, has_go_modules, here, origins));
        }
        if !go::serves(program, &image.gocache) {
            settings.push(Setting {
                name: "GOCACHEPROG",
                image: format!("verifier cacheprog --shipped {}", image.gocache),
                here: program.to_owned(),
                origin: origins.of("GOCACHEPROG"),
                detail: Some("it does not serve the image's cache".into()),
            });
        }
    }
    let gocache = &here.identity.gocache;
    let is_named = settings.iter().any(|setting| setting.name == "GOCACHE");
    if !is_named && !go::can_be_opened(gocache) {
        settings.push(Setting {
            name: "GOCACHE",
            image: image.map_or(String::new(), |image| image.gocache.clone()),
            here: gocache.clone(),
            origin: origins.of("GOCACHE"),
            detail: Some("the go command cannot build with it".into()),
        });
    }
    let debug = origins.variable("GODEBUG").unwrap_or_default();
    // A GOCACHEPROG is asked all the same.
    let has_program = !here.value("GOCACHEPROG").is_empty();
    if !has_program && debug.split(',').any(|setting| setting == "gocacheverify=1") {
        settings.push(Setting {
            name: "GODEBUG",
            image: String::new(),
            here: debug.to_owned(),
            origin: origins.of("GODEBUG"),
            detail: Some("gocacheverify=1 makes every look-up miss".into()),
        });
    }
    settings.extend(of_the_compiler(origins));
    settings
}

/// Variables that are set, and part of every package's action ID then; no image is made with them.
fn of_the_compiler(origins: &Origins) -> impl Iterator<Item = Setting> {
    let names = Identity::OF_THE_COMPILER.into_iter();
    names.filter_map(|name| {
        Some(Setting {
            name,
            image: String::new(),
            here: origins.variable(name)?.to_owned(),
            origin: origins.of(name),
            detail: Some("it is part of every package's action ID".into()),
        })
    })
}

/// The Go that go.mod asks for is not to be had.
pub fn toolchain(message: &str, here: &go::Settings, origins: &Origins) -> Setting {
    let chosen = origins.value("GOTOOLCHAIN").filter(|value| {
        let name = value.split('+').next().unwrap_or_default();
        !["", "auto", "local", "path"].contains(&name)
    });
    let by_go_mod = || {
        let (path, go_mod) = origins.go_mod.as_ref()?;
        let asked = match (&go_mod.toolchain, &go_mod.go) {
            (Some(toolchain), _) => format!("toolchain {toolchain}"),
            (None, Some(go)) => format!("go {go}"),
            (None, None) => return None,
        };
        Some((asked, format!("asked for by {path}")))
    };
    let set = || {
        (
            here.value("GOTOOLCHAIN").to_owned(),
            origins.of("GOTOOLCHAIN"),
        )
    };
    let (asked, origin) = match chosen {
        Some(chosen) => (chosen.to_owned(), origins.of("GOTOOLCHAIN")),
        None => by_go_mod().unwrap_or_else(set),
    };
    Setting {
        name: "GOTOOLCHAIN",
        image: "local".into(),
        here: asked,
        origin,
        detail: Some(format!(
            "that Go is not here: {}",
            message.lines().last().unwrap_or_default()
        )),
    }
}

/// Variables that are set and decide how the go command finds Go modules; with the value, in place of the image's,
/// under which it finds them as it did for the image. Whether they matter depends on the source.
pub fn of_module_lookup(origins: &Origins, here: &go::Settings) -> Vec<Setting> {
    let defaults = [("GOWORK", "auto"), ("GO111MODULE", "on")];
    let set = defaults
        .into_iter()
        .filter(|(name, _)| origins.value(name).is_some());
    set.map(|(name, default)| Setting {
        name,
        image: default.to_owned(),
        here: here.value(name).to_owned(),
        origin: origins.of(name),
        detail: None,
    })
    .collect()
}

/// A cache of the image that holds nothing; its folder is there, but not what was shipped in it.
fn empty(
    image: &Identity,
    has_go_modules: bool,
    here: &go::Settings,
    origins: &Origins,
) -> Vec<Setting> {
    let modules = has_go_modules.then_some(("GOMODCACHE", &image.gomodcache));
    let caches = [("GOCACHE", &image.gocache)].into_iter().chain(modules);
    let empty = caches.filter(|(_, folder)| holds_nothing(Utf8Path::new(folder)));
    empty
        .map(|(name, folder)| Setting {
            name,
            image: folder.clone(),
            here: folder.clone(),
            origin: origins.of(name),
            detail: Some(format!(
                "{folder} is empty; {}",
                if here.identity.gocache == *folder || name == "GOMODCACHE" {
                    "is a volume mounted over what the image ships?"
                } else {
                    "there is nothing to serve from it"
                }
            )),
        })
        .collect()
}

/// Whether there is no file in `folder` but those that lie at its top; one that cannot be read is not called empty.
fn holds_nothing(folder: &Utf8Path) -> bool {
    walkdir::WalkDir::new(folder)
        .min_depth(2)
        .into_iter()
        .all(|entry| match entry {
            Ok(entry) => entry.file_type().is_dir(),
            Err(error) => error
                .io_error()
                .is_some_and(|it| it.kind() == ErrorKind::NotFound),
        })
}

fn in_identity(
    differences: &[Difference],
    image: &Identity,
    here: &Identity,
    origins: &Origins,
) -> Vec<Setting> {
    let differing = differences.iter().filter_map(|difference| {
        let (old, new) = (difference.ours.clone(), difference.theirs.clone());
        let mut detail = None;
        let (name, origin) = match difference.field {
            "GOFLAGS" => {
                detail = Some(flags_changed(&old, &new)?);
                ("GOFLAGS", origins.of("GOFLAGS"))
            }
            "GOVERSION" => ("GOVERSION", origins.of_go(&new)),
            // Another Go has another folder.
            "GOROOT" if image.go_version != here.go_version => return None,
            "GOROOT" if origins.variable("GOROOT").is_none() => {
                ("GOROOT", "the go command on PATH is there".to_owned())
            }
            "architecture level" => {
                let (variable, level) = new.split_once('=').unwrap_or((&new, ""));
                let level = level.to_owned();
                let image = old.split_once('=').map_or("", |(_, level)| level);
                return Some(Setting {
                    origin: origins.of(variable),
                    name: Identity::GO_ENV_NAMES
                        .into_iter()
                        .find(|known| *known == variable)
                        .unwrap_or(difference.field),
                    image: image.to_owned(),
                    here: level,
                    detail: None,
                });
            }
            name => (name, origins.of(name)),
        };
        Some(Setting {
            name,
            image: old,
            here: new,
            origin,
            detail,
        })
    });
    differing.collect()
}

/// What one GOFLAGS has that the other has not, if any action ID depends on it.
fn flags_changed(image: &str, here: &str) -> Option<String> {
    let flags = |text: &str| -> BTreeSet<String> {
        let flags = go::split_quoted(text).into_iter();
        let matters = |flag: &String| {
            let name = flag.split('=').next().unwrap_or_default();
            !NEUTRAL_FLAGS.contains(&name.replacen("--", "-", 1).as_str())
        };
        flags.filter(matters).collect()
    };
    let (image, here) = (flags(image), flags(here));
    let list = |what: &str, flags: &BTreeSet<String>, others: &BTreeSet<String>| {
        let flags: Vec<_> = flags.difference(others).map(String::as_str).collect();
        (!flags.is_empty()).then(|| format!("{what} {}", flags.join(" ")))
    };
    let parts = [
        list("it lacks", &image, &here),
        list("it adds", &here, &image),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(change: impl FnOnce(&mut Identity)) -> Identity {
        let env = include_str!("../../../crates/gocache/tests/fixtures/go-env.json");
        let env = serde_json::from_str(env).unwrap();
        let mut identity = Identity::from_go_env(&env).unwrap();
        change(&mut identity);
        identity
    }

    fn origins() -> Origins {
        Origins {
            environment: vec![("CGO_ENABLED".into(), "1".into())],
            goenv: Some(("/h/env".into(), "GOAMD64=v3\n".into())),
            go_mod: Some((
                "/s/go.mod".into(),
                ModFile::parse("module m\n\ngo 1.24\n\ntoolchain go1.99.1\n"),
            )),
        }
    }

    fn only(change: impl FnOnce(&mut Identity)) -> Setting {
        let (image, here) = (identity(|_| {}), identity(change));
        let mut settings = in_identity(&image.differences(&here), &image, &here, &origins());
        assert_eq!(settings.len(), 1, "{settings:?}");
        settings.remove(0)
    }

    #[test]
    fn each_setting_is_named_with_its_origin() {
        let setting = only(|it| it.cgo_enabled = "1".into());
        assert_eq!(
            (setting.name, setting.origin.as_str()),
            ("CGO_ENABLED", "set in the environment")
        );
        let setting = only(|it| it.goarch_level = "GOAMD64=v3".into());
        assert_eq!((setting.name, setting.here.as_str()), ("GOAMD64", "v3"));
        assert_eq!(setting.origin, "set in /h/env, by `go env -w`");
        let setting = only(|it| it.gofips140 = "latest".into());
        assert_eq!((setting.name, setting.image.as_str()), ("GOFIPS140", "off"));
        let setting = only(|it| it.go_extlink_enabled = "1".into());
        assert_eq!(setting.name, "GO_EXTLINK_ENABLED");
        let setting = only(|it| it.gomodcache = "/elsewhere".into());
        assert_eq!(setting.origin, "not set, so the go command's default");
    }

    #[test]
    fn another_go_is_named_with_who_asked_for_it() {
        let setting = only(|it| {
            it.go_version = "go1.99.1".into();
            it.goroot = "/m/toolchain".into();
        });
        assert_eq!(setting.origin, "by the toolchain line in /s/go.mod");
        let setting = only(|it| it.go_version = "go1.2.3".into());
        assert_eq!(setting.origin, "the go command on PATH is that one");
        let setting = only(|it| it.goroot = "/other".into());
        assert_eq!(setting.name, "GOROOT");
    }

    #[test]
    fn what_the_compiler_reads_of_the_environment_is_named() {
        let mut origins = origins();
        assert_eq!(of_the_compiler(&origins).count(), 0);
        let set = ("GOSSAFUNC".to_owned(), "main".to_owned());
        origins.environment.push(set);
        let named: Vec<_> = of_the_compiler(&origins).collect();
        assert_eq!(
            (named[0].name, named[0].here.as_str()),
            ("GOSSAFUNC", "main")
        );
        assert_eq!(named[0].origin, "set in the environment");
    }

    #[test]
    fn only_flags_that_matter_count() {
        let image = "-trimpath -buildvcs=false '-ldflags=-s -w'";
        for same in [
            "-buildvcs=false -trimpath \"-ldflags=-s -w\"",
            "-v -mod=mod --p=4 -trimpath  -buildvcs=false '-ldflags=-s -w'",
        ] {
            assert_eq!(flags_changed(image, same), None, "{same}");
        }
        assert_eq!(
            flags_changed(image, "-trimpath -tags=x '-ldflags=-s -w'").unwrap(),
            "it lacks -buildvcs=false, it adds -tags=x"
        );
        assert!(flags_changed(image, &format!("{image} -a")).is_some());
    }
}
