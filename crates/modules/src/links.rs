//! Where a path of a source leads, links followed as they will be where the source is mounted elsewhere.
//!
//! A source is built at other paths than the one it has here. So a link is of use only if it is relative and never
//! leaves the source on its way, not even to come back; an absolute one leads out, wherever it points.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// More links than any path that means well has.
const MAX_LINKS: usize = 64;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// To this path without links, relative to the source.
    Inside(PathBuf),
    /// Out of the source, by what is at `link`.
    Outside {
        /// The link, or the path itself, relative to the source.
        link: PathBuf,
        /// What it holds.
        to: PathBuf,
    },
    /// To nothing, or round in a circle.
    Nowhere,
}

/// Where `path`, relative to `source`, leads.
pub fn resolve(source: &Path, path: &Path) -> io::Result<Target> {
    let mut open: VecDeque<OsString> = segments(path).collect();
    let mut real = PathBuf::new();
    let (mut link, mut to) = (path.to_owned(), path.to_owned());
    let mut links = 0;
    if path.is_absolute() {
        return Ok(Target::Outside { link, to });
    }
    while let Some(segment) = open.pop_front() {
        if segment == ".." {
            if !real.pop() {
                return Ok(Target::Outside { link, to });
            }
            continue;
        }
        let next = real.join(&segment);
        let metadata = match fs_err::symlink_metadata(source.join(&next)) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Target::Nowhere);
            }
            Err(error) => return Err(error),
        };
        if !metadata.is_symlink() {
            real = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Ok(Target::Nowhere);
        }
        to = fs_err::read_link(source.join(&next))?;
        link = next;
        if to.is_absolute() {
            return Ok(Target::Outside { link, to });
        }
        for segment in segments(&to).collect::<Vec<_>>().into_iter().rev() {
            open.push_front(segment);
        }
    }
    Ok(Target::Inside(real))
}

/// The names in a path, and `..`.
fn segments(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err::os::unix::fs::symlink;

    #[test]
    fn a_link_is_of_use_if_it_never_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs_err::create_dir_all(source.join("a/b")).unwrap();
        fs_err::write(source.join("a/file"), "").unwrap();
        for (to, at) in [
            ("../a/file", "a/to-file"),
            ("a/b", "to-folder"),
            ("to-folder/../to-file", "twice"),
            ("../../source/a/file", "a/out-and-back"),
            ("gone", "dangling"),
            ("loop2", "loop1"),
            ("loop1", "loop2"),
            ("a/file/x", "below-a-file"),
            ("to-outside/x", "by-another"),
            ("../../..", "a/to-outside"),
        ] {
            symlink(to, source.join(at)).unwrap();
        }
        symlink(source.join("a/file"), source.join("absolute")).unwrap();
        symlink("a/to-outside", source.join("to-outside")).unwrap();
        let leads = |path: &str| resolve(&source, Path::new(path)).unwrap();
        let inside = |path: &str| Target::Inside(path.into());
        let outside = |link: &str, to: &str| Target::Outside {
            link: link.into(),
            to: to.into(),
        };
        assert_eq!(leads("a/to-file"), inside("a/file"));
        assert_eq!(leads("./to-folder/../to-file"), inside("a/file"));
        assert_eq!(leads("twice"), inside("a/file"));
        assert_eq!(
            leads("a/out-and-back"),
            outside("a/out-and-back", "../../source/a/file")
        );
        let to = source.join("a/file");
        assert_eq!(leads("absolute"), outside("absolute", to.to_str().unwrap()));
        assert_eq!(leads("by-another"), outside("a/to-outside", "../../.."));
        assert_eq!(leads("a/../../x"), outside("a/../../x", "a/../../x"));
        assert_eq!(leads("/etc"), outside("/etc", "/etc"));
        for nowhere in ["dangling", "loop1", "below-a-file", "gone/x"] {
            assert_eq!(leads(nowhere), Target::Nowhere, "{nowhere}");
        }
    }
}
