//! Files that somebody else made: what lies in an unpacked image, in a layout, in an archive of packs, in a source.
//!
//! A name there may be a link to anywhere, a device without an end, or a pipe that nobody writes to. So a file is
//! opened only if it is a regular one itself, without waiting for anything, and read only up to a size that its reader
//! names. What is not as it should be is an error of the kind `InvalidData`, which callers take for corrupt data.
//!
//! That is about the file alone: folders on its way may be links, too, and in an image they are followed inside of it
//! ([`in_root`]).

#![warn(missing_docs)]

pub mod in_root;

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens `path` for reading; a link, a device, a pipe or a folder is an error.
pub fn open<P: AsRef<Path> + ?Sized>(path: &P) -> io::Result<File> {
    let path = path.as_ref();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = match opened {
        Ok(file) => File::from(file),
        // A link; a socket, or a device that there is no driver of.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(irregular(path)),
        Err(errno) => {
            let error = io::Error::from(errno);
            return Err(io::Error::new(
                error.kind(),
                format!("failed to open file `{}`: {error}", path.display()),
            ));
        }
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(irregular(path))
    }
}

/// The content of `path`, of at most `max_bytes`.
pub fn read<P: AsRef<Path> + ?Sized>(path: &P, max_bytes: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let file = open(path)?;
    let mut content = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        let reason = format!("{} has more than {max_bytes} bytes", path.display());
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    Ok(content)
}

fn irregular(path: &Path) -> io::Error {
    let reason = format!("{} is no regular file", path.display());
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use camino::Utf8Path;
    use rustix::fs::{CWD, FileType};

    use super::*;

    #[test]
    fn only_regular_files_of_the_expected_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::write(folder.join("file"), "12345").unwrap();
        symlink("file", folder.join("link")).unwrap();
        symlink("/dev/zero", folder.join("endless")).unwrap();
        let _socket = UnixListener::bind(folder.join("socket")).unwrap();
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(CWD, pipe.as_std_path(), FileType::Fifo, 0o600.into(), 0).unwrap();

        assert_eq!(read(&folder.join("file"), 5).unwrap(), b"12345");
        for (name, reason) in [
            ("file", "more than 4 bytes"),
            ("link", "no regular file"),
            ("endless", "no regular file"),
            ("socket", "no regular file"),
            ("pipe", "no regular file"),
            (".", "no regular file"),
        ] {
            let error = read(&folder.join(name), 4).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{name}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        for device in ["/dev/zero", "/dev/null"] {
            assert_eq!(open(device).unwrap_err().kind(), ErrorKind::InvalidData);
        }
        let absent = open(&folder.join("absent")).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        assert!(absent.to_string().contains("absent"), "{absent}");
    }
}
