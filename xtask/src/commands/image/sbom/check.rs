//! An SPDX document against the image unpacked: what other programs find must be in it, and nothing else.
//!
//! None of the code that made the document is used: dpkg-query of the image tells of packages, `go version -m` of this
//! machine of executables, and the names of folders of Go modules. Packed executables are unpacked to where the document
//! has them. The image may be anybody's: its paths are looked up inside of it ([`in_root`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use walkdir::WalkDir;
use xshell::{Shell, cmd};

use engine::host;
use engine::sandbox::Sandbox;
use failure::corrupt;
use gocache::GoModule;
use gocache::executables::Executables;
use gocache::image_info::{EXECUTABLES_PATH, is_inside};
use oci::image::Image;
use regular_file::in_root;

/// Differences in an error; more would hide the first.
const LISTED: usize = 20;

type Names = BTreeSet<String>;

/// What the document says, and what is there, of one kind of components.
struct Compared {
    what: &'static str,
    documented: Names,
    found: Names,
}

/// Compares the document of `image` with `root`, where it is unpacked; its packed executables are unpacked to the empty
/// folder `scratch`. How much was compared.
///
/// # Errors
/// What is missing in the document, and what the image has not, is named.
pub fn check(
    document: &Value,
    (root, scratch): (&Utf8Path, &Utf8Path),
    image: &Image,
) -> Result<String> {
    let documented = Documented::of(document);
    unpack_executables(root, scratch)?;
    let mut linked = go_version(root)?;
    linked.extend(go_version(scratch)?);
    let places = super::places(image);
    let compared = [
        Compared {
            what: "Debian packages",
            documented: documented.packages("pkg:deb/"),
            found: dpkg(root)?,
        },
        Compared {
            what: "Go modules in the module cache",
            documented: documented.contained("pkg:golang/"),
            found: match &places.gomodcache {
                Some(cache) => folders(root, cache)?,
                None => Names::new(),
            },
        },
        Compared {
            what: "executables of Go",
            documented: documented
                .linked()
                .map(|(path, _)| path.to_owned())
                .collect(),
            found: linked.iter().map(|(path, _)| path.clone()).collect(),
        },
        Compared {
            what: "modules in executables of Go",
            documented: documented
                .linked()
                .map(|(path, module)| format!("{path}: {module}"))
                .collect(),
            found: linked
                .iter()
                .map(|(path, module)| format!("{path}: {module}"))
                .collect(),
        },
    ];
    compare(&compared)
}

fn compare(compared: &[Compared]) -> Result<String> {
    let mut said = Vec::new();
    for Compared {
        what,
        documented,
        found,
    } in compared
    {
        let differences: Vec<String> = found
            .difference(documented)
            .map(|name| format!("not in the document: {name}"))
            .chain(
                documented
                    .difference(found)
                    .map(|name| format!("not in the image: {name}")),
            )
            .collect();
        if let Some(more) = differences.len().checked_sub(1) {
            let listed = differences[..differences.len().min(LISTED)].join("\n");
            return Err(corrupt(
                format!("{what}: {} differences\n{listed}", more + 1),
                "the document does not describe this image; do not publish it",
            ));
        }
        said.push(format!("{} {what}", found.len()));
    }
    Ok(format!(
        "nothing missing, nothing invented: {}",
        said.join(", ")
    ))
}

/// What a document says, by the names of its elements.
struct Documented<'d> {
    packages: BTreeMap<&'d str, &'d Value>,
    relations: Vec<(&'d str, &'d str, &'d str)>,
}

impl<'d> Documented<'d> {
    fn of(document: &'d Value) -> Self {
        let list = |name: &str| document[name].as_array().into_iter().flatten();
        let text = |value: &'d Value, name: &str| value[name].as_str().unwrap_or_default();
        Self {
            packages: list("packages")
                .map(|it| (text(it, "SPDXID"), it))
                .collect(),
            relations: list("relationships")
                .map(|it| {
                    (
                        text(it, "spdxElementId"),
                        text(it, "relationshipType"),
                        text(it, "relatedSpdxElement"),
                    )
                })
                .collect(),
        }
    }

    /// `NAME VERSION` of a package whose package URL begins with `purl`.
    fn name(&self, id: &str, purl: &str) -> Option<String> {
        let package = self.packages.get(id)?;
        let references = package["externalRefs"].as_array()?.iter();
        let mut locators = references.filter_map(|it| it["referenceLocator"].as_str());
        locators.any(|it| it.starts_with(purl)).then_some(())?;
        let version = package["versionInfo"].as_str().unwrap_or_default();
        Some(format!("{} {version}", package["name"].as_str()?))
    }

    fn packages(&self, purl: &str) -> Names {
        self.packages
            .keys()
            .filter_map(|id| self.name(id, purl))
            .collect()
    }

    /// What packs contain, but for the standard library, which is in no module cache.
    fn contained(&self, purl: &str) -> Names {
        let contained = self
            .relations
            .iter()
            .filter(|(_, relation, _)| *relation == "CONTAINS");
        let names = contained.filter_map(|(_, _, to)| self.name(to, purl));
        names.filter(|name| !name.starts_with("stdlib ")).collect()
    }

    /// Executables of Go, each with a module in it.
    fn linked(&self) -> impl Iterator<Item = (&'d str, String)> {
        let needed = self
            .relations
            .iter()
            .filter(|(_, relation, _)| *relation == "DEPENDS_ON");
        needed.filter_map(|(from, _, to)| {
            let path = self.packages.get(from)?["name"].as_str()?;
            Some((path, self.name(to, "pkg:golang/")?))
        })
    }
}

/// `NAME VERSION` of every package that the image's own dpkg calls installed; a volume has neither dpkg nor packages.
fn dpkg(root: &Utf8Path) -> Result<Names> {
    if !in_root::resolve_utf8(root, "var/lib/dpkg")?.exists() {
        return Ok(Names::new());
    }
    let format = "${db:Status-Status} ${Package} ${Version}\n";
    let done =
        Sandbox::new(root).run(&["/usr/bin/dpkg-query", "--show", "--showformat", format])?;
    if !done.status.success() {
        return Err(corrupt(
            format!("dpkg-query fails in the image: {}", done.stderr.trim()),
            "make the image anew",
        ));
    }
    let lines = done.stdout.lines();
    Ok(lines
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect())
}

/// `PATH VERSION` of every folder of a Go module in the module cache `cache` of the image.
fn folders(root: &Utf8Path, cache: &Utf8Path) -> Result<Names> {
    let cache = in_root::resolve_utf8(root, cache)?;
    let mut found = Names::new();
    let mut entries = WalkDir::new(&cache).into_iter();
    while let Some(entry) = entries.next() {
        let entry = entry.with_context(|| format!("failed to list {cache}"))?;
        let path = Utf8Path::from_path(entry.path()).context("a name is not UTF-8")?;
        let below = path.strip_prefix(&cache)?;
        if below == "cache" {
            entries.skip_current_dir();
        } else if let Some(GoModule { path, version }) = GoModule::of_extracted(below) {
            found.insert(format!("{path} {version}"));
            if entry.file_type().is_dir() {
                entries.skip_current_dir();
            }
        }
    }
    Ok(found)
}

/// Writes each packed executable of the image, which may be anybody's, below `to`, under the name that it has in the
/// document.
fn unpack_executables(root: &Utf8Path, to: &Utf8Path) -> Result<()> {
    let place = &EXECUTABLES_PATH[1..];
    let folder = in_root::resolve_utf8(root, place)?;
    let odd = |path: &Utf8Path| {
        corrupt(
            format!("{path} is no place of executables"),
            "make the image anew",
        )
    };
    for packed in Executables::open(&folder)?.all() {
        let data = packed.data().strip_prefix(&folder)?;
        let path = Utf8PathBuf::from(format!("{data}:{}", packed.executable().program));
        if !is_inside(&path) {
            return Err(odd(&path));
        }
        let path = to.join(place).join(path);
        fs_err::create_dir_all(path.parent().context("it is in a folder")?)?;
        let mut file = fs_err::File::create_new(&path)?;
        packed.unpack(&mut file)?;
        fs_err::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What `go version -m` says of everything below `root`: executables by their paths in the image, each with a module.
fn go_version(root: &Utf8Path) -> Result<Vec<(String, String)>> {
    let sh = Shell::new()?;
    sh.set_var("GOTOOLCHAIN", "local");
    let printed = host::read(cmd!(sh, "go version -m {root}"))?;
    Ok(modules(&printed, root.as_str()))
}

fn modules(printed: &str, root: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut path = String::new();
    for line in printed.lines() {
        let Some(line) = line.strip_prefix('\t') else {
            let (file, go) = line.rsplit_once(": go").unwrap_or((line, ""));
            file.strip_prefix(root)
                .unwrap_or(file)
                .clone_into(&mut path);
            let go = go.split(' ').next().unwrap_or_default();
            found.push((path.clone(), format!("stdlib {go}")));
            continue;
        };
        let words: Vec<&str> = line.split('\t').collect();
        let (kind, name) = (words[0], words.get(1).copied().unwrap_or_default());
        let version = words.get(2).copied().unwrap_or_default();
        match kind {
            "mod" if version == "(devel)" => {}
            "mod" | "dep" => found.push((path.clone(), format!("{name} {version}"))),
            "=>" => {
                if let Some((_, replaced)) = found.last_mut() {
                    let original = replaced.split(' ').next().unwrap_or_default();
                    *replaced = match version {
                        "" | "(devel)" => format!("{original} "),
                        version => format!("{name} {version}"),
                    };
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err::os::unix::fs::symlink;

    #[test]
    fn nothing_that_the_image_says_leads_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (root, outside) = (folder.join("root"), folder.join("outside"));
        fs_err::create_dir_all(outside.join("x.test/one@v1.0.0")).unwrap();
        fs_err::create_dir_all(root.join("outside/x.test/two@v2.0.0")).unwrap();
        fs_err::create_dir_all(root.join("var/lib")).unwrap();
        symlink(&outside, root.join("var/lib/dpkg")).unwrap();
        symlink("../outside", root.join("cache")).unwrap();
        for cache in ["../outside", "cache", "var/../../outside"] {
            let found = folders(&root, cache.into()).unwrap();
            assert_eq!(
                found,
                Names::from(["x.test/two v2.0.0".to_owned()]),
                "{cache}"
            );
        }
        assert_eq!(dpkg(&root).unwrap(), Names::new());
    }

    #[test]
    fn what_is_missing_and_what_was_invented_is_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let compared = |documented: &[&str]| {
            compare(&[Compared {
                what: "things",
                documented: names(documented),
                found: names(&["a 1", "b 2"]),
            }])
        };
        let said = compared(&["b 2", "a 1"]).unwrap();
        assert_eq!(said, "nothing missing, nothing invented: 2 things");
        for (documented, expected) in [
            (
                &["a 1"][..],
                "things: 1 differences\nnot in the document: b 2",
            ),
            (
                &["a 1", "b 2", "c 3"],
                "things: 1 differences\nnot in the image: c 3",
            ),
            (
                &["a 1", "b 3"],
                "things: 2 differences\nnot in the document: b 2\nnot in the image: b 3",
            ),
        ] {
            let error = compared(documented).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        }
    }

    #[test]
    fn what_go_prints_is_read_with_what_stands_in_for_modules() {
        let printed = "/r/bin/a: go1.27.4 X:x\n\tpath\tx/cmd\n\tmod\tx\t(devel)\t\n\tdep\ty\tv1.0.0\th1:a=\n\
                       \tdep\tz\tv1.0.0\n\t=>\tfork\tv2.0.0\th1:b=\n\tdep\tw\tv1.0.0\n\t=>\t./w\t(devel)\t\n\
                       \tbuild\tCGO_ENABLED=0\n/r/b: go1.27.4\n";
        let found = modules(printed, "/r");
        let found: Vec<_> = found
            .iter()
            .map(|(path, it)| (path.as_str(), it.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("/bin/a", "stdlib 1.27.4"),
                ("/bin/a", "y v1.0.0"),
                ("/bin/a", "fork v2.0.0"),
                ("/bin/a", "w "),
                ("/b", "stdlib 1.27.4"),
            ]
        );
    }
}
