//! Paths of an unpacked image, as they are inside it.
//!
//! An absolute link in an image means a place in the image, not on this machine, and an image of somebody else may
//! hold links that lead out on purpose. So whatever uses a path of the image below its root resolves it here first;
//! no result ever leaves the root.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};

/// Links followed for one path, as in Linux.
const MAX_LINKS: u32 = 40;

/// Where `path` of the image whose root is `root` leads to, all links followed; it need not exist.
///
/// # Errors
/// A path with more links on its way than Linux follows is [`ErrorKind::InvalidData`].
pub fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut real = root.to_owned();
    let mut rest = parts(path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            if real != root {
                real.pop();
            }
            continue;
        }
        let next = real.join(part);
        match fs_err::read_link(&next) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    let reason = format!("{} has too many links on its way", path.display());
                    return Err(io::Error::new(ErrorKind::InvalidData, reason));
                }
                if target.is_absolute() {
                    root.clone_into(&mut real);
                }
                rest.extend(parts(&target));
            }
            // Not a link, or nothing there.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory
                ) =>
            {
                real = next;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(real)
}

/// The same of a path that is UTF-8, as what it leads to has to be.
///
/// # Errors
/// Those of [`resolve`]; what is not UTF-8 is [`ErrorKind::InvalidData`], too.
pub fn resolve_utf8(root: &Utf8Path, path: impl AsRef<Utf8Path>) -> io::Result<Utf8PathBuf> {
    let path = path.as_ref();
    let place = resolve(root.as_std_path(), path.as_std_path())?;
    Utf8PathBuf::from_path_buf(place).map_err(|place| {
        let reason = format!("{path} leads to {}, which is not UTF-8", place.display());
        io::Error::new(ErrorKind::InvalidData, reason)
    })
}

/// The parts of `path`, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    let mut parts: Vec<OsString> = path.components().filter_map(part).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs_err::create_dir_all(root.join("usr/lib/deep")).unwrap();
        for (link, target) in [
            ("lib", "usr/lib"),
            ("var", "/usr/lib"),
            ("out", "/etc"),
            ("up", "../../.."),
            ("usr/lib/deep/back", "../../lib"),
            ("around", "around"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let resolve = |path: &str| resolve(&root, Path::new(path));
        for (path, place) in [
            ("/lib/x", "usr/lib/x"),
            ("var/x", "usr/lib/x"),
            ("out/passwd", "etc/passwd"),
            ("up/up/x", "x"),
            ("../../x", "x"),
            ("lib/deep/back/deep", "usr/lib/deep"),
            ("absent/./y/../x", "absent/x"),
            ("/", ""),
        ] {
            assert_eq!(resolve(path).unwrap(), root.join(place), "{path}");
        }
        let endless = resolve("around/x").unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::InvalidData);
    }
}
