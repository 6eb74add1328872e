//! Mode, owner and time of everything in the image, in one table.
//!
//! The caches and the home belong to the image's user, who can add to them, and root can. Nobody else writes to
//! anything, not group 0 either: every user ID that a cluster assigns is in it, and what one of them puts into a cache
//! or a home, another one would run. Extracted Go modules are read-only, as the go command leaves them.

use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::OBJECTS_PATH;

use crate::image_toml::ImageToml;
use oci::layer::Meta;

/// The table, for one image.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a>(pub &'a ImageToml);

impl Owners<'_> {
    /// A folder of the image; `path` is relative to its root.
    pub fn folder(self, path: &Utf8Path) -> Meta {
        if self.in_extracted_module(path) {
            self.runners(0o555)
        } else if self.is_runners(path) {
            self.runners(0o755)
        } else {
            self.roots(0o755)
        }
    }

    /// A file of the image. An executable in the build cache is a program as well, and everybody runs that.
    pub fn file(self, path: &Utf8Path, executable: bool) -> Meta {
        if path.starts_with(relative(&self.0.go.gocache)) {
            Meta {
                mtime: self.0.image.cache_entry_time,
                ..self.runners(if executable { 0o755 } else { 0o644 })
            }
        } else if self.in_extracted_module(path) {
            self.runners(0o444)
        } else if self.is_runners(path) {
            self.runners(0o644)
        } else {
            self.roots(if executable { 0o755 } else { 0o644 })
        }
    }

    fn roots(self, mode: u32) -> Meta {
        Meta {
            mode,
            uid: 0,
            gid: 0,
            mtime: self.0.image.epoch,
        }
    }

    fn runners(self, mode: u32) -> Meta {
        Meta {
            uid: self.0.user.uid,
            ..self.roots(mode)
        }
    }

    fn is_runners(self, path: &Utf8Path) -> bool {
        let go = &self.0.go;
        let objects = Utf8Path::new(OBJECTS_PATH);
        [&go.gomodcache, &go.gocache, &self.0.user.home]
            .into_iter()
            .map(Utf8PathBuf::as_path)
            .chain([objects])
            .chain(self.0.writable.folders.iter().map(Utf8PathBuf::as_path))
            .any(|folder| path.starts_with(relative(folder)))
    }

    /// Whether `path` is the folder of an extracted Go module or below one.
    fn in_extracted_module(self, path: &Utf8Path) -> bool {
        let Ok(below) = path.strip_prefix(relative(&self.0.go.gomodcache)) else {
            return false;
        };
        !below.starts_with("cache") && below.components().any(|part| part.as_str().contains('@'))
    }
}

/// An absolute path of the image, relative to its root.
pub fn relative(path: &Utf8Path) -> &Utf8Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageToml {
        ImageToml::read(&crate::workspace::image_toml()).unwrap()
    }

    #[test]
    fn the_caches_are_open_to_the_user_and_closed_to_everybody_else() {
        let image = image();
        let owners = Owners(&image);
        let entry = owners.file("var/cache/go-build/ab/abc-d".into(), false);
        assert_eq!(
            (entry.mode, entry.uid, entry.gid, entry.mtime),
            (0o644, 65532, 0, image.image.cache_entry_time)
        );
        let executable = owners.file("var/cache/go-build/ab/abc-d".into(), true);
        assert_eq!(
            executable,
            Meta {
                mode: 0o755,
                ..entry
            }
        );
        let folder = owners.folder("var/cache/go-build/ab".into());
        assert_eq!(
            (folder.mode, folder.uid, folder.gid, folder.mtime),
            (0o755, 65532, 0, image.image.epoch)
        );
        let download = owners.file(
            "var/cache/go-mod/cache/download/x/@v/v1.0.0.mod".into(),
            false,
        );
        assert_eq!(download.mode, 0o644);
    }

    #[test]
    fn extracted_modules_are_read_only_and_their_parents_are_the_users() {
        let image = image();
        let owners = Owners(&image);
        assert_eq!(
            owners
                .folder("var/cache/go-mod/github.com/pulumi".into())
                .mode,
            0o755
        );
        assert_eq!(
            owners
                .folder("var/cache/go-mod/github.com/x@v1.0.0".into())
                .mode,
            0o555
        );
        assert_eq!(
            owners
                .folder("var/cache/go-mod/github.com/x@v1.0.0/sub".into())
                .mode,
            0o555
        );
        assert_eq!(
            owners
                .file("var/cache/go-mod/github.com/x@v1.0.0/a.go".into(), false)
                .mode,
            0o444
        );
    }

    #[test]
    fn the_rest_is_roots() {
        let image = image();
        let owners = Owners(&image);
        assert_eq!(
            owners.file("usr/local/bin/tofu".into(), true),
            Meta {
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: image.image.epoch
            }
        );
        assert_eq!(owners.folder("var/cache".into()).uid, 0);
    }
}
