//! Whether the image's user may read the source, found out before anything is built: root warms what only its owner may
//! read, and the verifier, which is nobody's owner, would meet it at the end.
//!
//! What counts is what discovery and the go command read: package files, what they embed, module and project files, and
//! the folders above them. Anything else may stay closed. Permission bits decide, and a file with an access control
//! list beyond them is left for the verifier to try.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use camino::Utf8Path;
use engine::sandbox::User;
use engine::{Engine, host};
use failure::usage;

/// Extensions of the files that the go command takes into packages.
const PACKAGE_FILES: [&str; 21] = [
    "go", "c", "cc", "cpp", "cxx", "m", "h", "hh", "hpp", "hxx", "f", "F", "for", "f90", "s", "S",
    "sx", "swig", "swigcxx", "syso", "pgo",
];

/// Other files that builds read.
const MODULE_FILES: [&str; 5] = ["go.mod", "go.sum", "go.work", "go.work.sum", "modules.txt"];

/// How Pulumi's files of projects and stacks begin.
const PROJECT_FILES: &str = "Pulumi.";

/// By which a Go file names what goes into its package beside it.
const EMBED: &str = "//go:embed";

/// Makes sure that `user` may read of `source` what it takes, if commands of that user do not run with this user's own
/// rights, as in a user namespace.
pub fn check(source: &Utf8Path, user: User, engine: Engine) -> Result<()> {
    match user {
        User::Id(id) if host::is_root() || engine == Engine::Docker => check_for(source, id),
        _ => Ok(()),
    }
}

fn check_for(source: &Utf8Path, id: u32) -> Result<()> {
    let closed = closed(source.as_std_path(), id)?;
    let Some(first) = closed.first() else {
        return Ok(());
    };
    let first = first.display();
    let (more, chmod) = match closed.len() {
        1 => (String::new(), format!("chmod a+rX '{first}'")),
        count => (
            format!(", and neither can {} more", count - 1),
            format!("chmod -R a+rX '{source}'"),
        ),
    };
    Err(usage(
        format!("{first} cannot be read by the image's user, whose ID is {id}{more}"),
        format!("{chmod}, and run the same command again"),
    ))
}

/// What of `source` is needed and the user `id` may not read, sorted within each folder.
fn closed(source: &Path, id: u32) -> Result<Vec<PathBuf>> {
    let mut walk = Walk {
        id,
        closed: Vec::new(),
    };
    let is_closed = !walk.may_read(source)?;
    walk.visit(source, source)?;
    if is_closed {
        walk.closed.insert(0, source.to_owned());
    }
    Ok(walk.closed)
}

struct Walk {
    id: u32,
    closed: Vec<PathBuf>,
}

impl Walk {
    /// Whether anything in `folder` is read by builds.
    fn visit(&mut self, source: &Path, folder: &Path) -> Result<bool> {
        let mut entries: Vec<_> = fs_err::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs_err::DirEntry::file_name);
        let mut is_read = false;
        for entry in entries {
            let path = entry.path();
            // A link is as readable as what it leads to; a folder behind one is visited at its own place.
            let Ok(metadata) = fs_err::metadata(&path) else {
                continue;
            };
            let at = self.closed.len();
            let is_needed = if entry.file_type()?.is_dir() {
                is_looked_into(&path) && self.visit(source, &path)?
            } else {
                metadata.is_file() && is_package_file(&path)
            };
            is_read |= is_needed;
            if !self.may_read(&path)? && (is_needed || is_embedded(source, &path)?) {
                self.closed.insert(at, path);
            }
        }
        Ok(is_read)
    }

    fn may_read(&self, path: &Path) -> Result<bool> {
        Ok(is_open(&fs_err::metadata(path)?, self.id) || has_access_list(path))
    }
}

/// Whether permission bits let the user and group `id` read a file, or list and enter a folder.
fn is_open(metadata: &Metadata, id: u32) -> bool {
    let shift = if metadata.uid() == id {
        6
    } else if metadata.gid() == id {
        3
    } else {
        0
    };
    let wanted = if metadata.is_dir() { 0o5 } else { 0o4 };
    (metadata.mode() >> shift) & wanted == wanted
}

fn has_access_list(path: &Path) -> bool {
    let mut nothing: [u8; 0] = [];
    // Asked for its length alone.
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut nothing).is_ok()
}

fn is_looked_into(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with(['.', '_']) && !["testdata", "node_modules"].contains(&&*name)
}

fn is_package_file(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    let is_of_go = PACKAGE_FILES.contains(&&*extension) && !name.starts_with(['.', '_']);
    is_of_go || MODULE_FILES.contains(&&*name) || name.starts_with(PROJECT_FILES)
}

/// Whether a package in one of the folders above `path` embeds it, or what is in it.
fn is_embedded(source: &Path, path: &Path) -> Result<bool> {
    let above = path.ancestors().skip(1);
    for folder in above.take_while(|folder| folder.starts_with(source)) {
        let below = path.strip_prefix(folder)?.to_string_lossy().into_owned();
        for entry in fs_err::read_dir(folder)? {
            let file = entry?.path();
            if file.extension().is_some_and(|it| it == "go") && file.is_file() {
                let text = fs_err::read(file)?;
                if embeds(&String::from_utf8_lossy(&text), &below) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Whether a Go file embeds `path`, what is in it or a folder above it. Of a pattern only what stands before its first
/// wildcard is looked at.
fn embeds(go_file: &str, path: &str) -> bool {
    let is_below = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut patterns = go_file
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(EMBED))
        .flat_map(str::split_whitespace)
        .map(|pattern| pattern.trim_matches(['"', '`']))
        .map(|pattern| pattern.strip_prefix("all:").unwrap_or(pattern));
    patterns.any(|pattern| {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        if let Some(wildcard) = pattern.find(['*', '?', '[']) {
            let begin = &pattern[..wildcard];
            return path.starts_with(begin) || begin.starts_with(&format!("{path}/"));
        }
        pattern == "." || is_below(path, pattern) || is_below(pattern, path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    /// Of the image, to whom nothing belongs that a test makes.
    const ID: u32 = 65532;

    struct Source(tempfile::TempDir);

    impl Source {
        fn new() -> Self {
            let source = Self(tempfile::tempdir().unwrap());
            for (path, content) in [
                ("go.mod", "module example.com/m\n"),
                (
                    "a/main.go",
                    "package main\n\n//go:embed all:files \"one.json\" deep/*.txt\n",
                ),
                ("a/Pulumi.yaml", "runtime: go\n"),
                ("a/files/inner/x", ""),
                ("a/one.json", ""),
                ("a/secret.env", ""),
                ("a/deep/x.txt", ""),
                ("a/testdata/broken.go", ""),
                ("vendor/modules.txt", ""),
                ("vendor/v/asm.s", ""),
                ("secrets/key", ""),
                (".git/config.go", ""),
            ] {
                let file = source.0.path().join(path);
                fs_err::create_dir_all(file.parent().unwrap()).unwrap();
                fs_err::write(file, content).unwrap();
            }
            source.chmod(".", 0o755);
            source
        }

        fn path(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn chmod(&self, path: &str, mode: u32) {
            let path = self.0.path().join(path);
            fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        fn closed(&self) -> Vec<String> {
            let paths = closed(self.0.path(), ID).unwrap().into_iter();
            let relative = |path: PathBuf| {
                let path = Utf8PathBuf::try_from(path).unwrap();
                path.strip_prefix(self.path()).unwrap().to_string()
            };
            paths.map(relative).collect()
        }
    }

    #[test]
    fn what_builds_read_must_be_open_and_nothing_else() {
        assert!(Source::new().closed().is_empty());
        for (path, mode, is_closed) in [
            ("", 0o700, true),
            ("", 0o744, true),
            ("", 0o711, true),
            ("a", 0o750, true),
            ("go.mod", 0o600, true),
            ("a/main.go", 0o640, true),
            ("a/Pulumi.yaml", 0o600, true),
            ("vendor", 0o700, true),
            ("vendor/modules.txt", 0o600, true),
            ("vendor/v/asm.s", 0o600, true),
            ("a/files", 0o700, true),
            ("a/files/inner", 0o700, true),
            ("a/files/inner/x", 0o600, true),
            ("a/one.json", 0o600, true),
            ("a/deep", 0o700, true),
            ("a/deep/x.txt", 0o600, true),
            ("a/secret.env", 0o600, false),
            ("a/testdata", 0o700, false),
            ("secrets", 0o700, false),
            ("secrets/key", 0o600, false),
            (".git", 0o700, false),
        ] {
            let source = Source::new();
            source.chmod(path, mode);
            let expected: &[&str] = if is_closed { &[path] } else { &[] };
            assert_eq!(source.closed(), expected, "{path} {mode:o}");
        }
    }

    #[test]
    fn the_first_is_named_with_the_number_of_others_and_the_command_that_opens_them() {
        let source = Source::new();
        check_for(source.path(), ID).unwrap();
        source.chmod("a/main.go", 0o600);
        let said = || {
            let error = check_for(source.path(), ID).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            failure::text(&error).replace(source.path().as_str(), "/source")
        };
        let one = said();
        source.chmod("a", 0o700);
        source.chmod("vendor", 0o700);
        insta::assert_snapshot!(format!("{one}\n---\n{}", said()));
    }

    #[test]
    fn owner_and_group_have_bits_of_their_own() {
        let source = Source::new();
        source.chmod("go.mod", 0o640);
        let metadata = fs_err::metadata(source.path().join("go.mod")).unwrap();
        assert!(is_open(&metadata, metadata.uid()));
        source.chmod("go.mod", 0o044);
        let metadata = fs_err::metadata(source.path().join("go.mod")).unwrap();
        assert!(!is_open(&metadata, metadata.uid()));
        assert!(is_open(&metadata, ID));
    }

    #[test]
    fn a_link_is_as_readable_as_what_it_leads_to() {
        let source = Source::new();
        let link = |to: &str, at: &str| {
            fs_err::os::unix::fs::symlink(to, source.path().join(at)).unwrap();
        };
        link("../secrets/key", "a/linked.go");
        link("gone", "a/dangling.go");
        link("..", "a/up");
        assert!(source.closed().is_empty());
        source.chmod("secrets/key", 0o600);
        assert_eq!(source.closed(), ["a/linked.go"]);
    }
}
