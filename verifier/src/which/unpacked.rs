//! A program of the image in a folder of the user's own, with its Pulumi.yaml: a copy, or unpacked where executables are
//! compressed. A folder is there whole or not at all, and what is in it has the digests that the image lists.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use failure::{corrupt, usage};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use gocache::executables::Executables;
use gocache::image_info::EXECUTABLES_PATH;
use gocache::image_info::programs::{PROJECT_FILE, Program};
use sha256::{HashingWriter, Sha256Hash};

use crate::info::in_root;

/// Larger than any project file of the image.
const MAX_PROJECT_BYTES: u64 = 1 << 20;

/// Makes the folder of `program`, which the image in `root` has, below `to`, and returns it.
///
/// # Errors
/// A folder that is there already is left alone; what does not have its digest is corrupt.
pub fn put(program: &Program, root: &Utf8Path, to: &Utf8Path) -> Result<Utf8PathBuf> {
    let folder = to.join(&program.folder);
    if folder.symlink_metadata().is_ok() {
        return Err(usage(
            format!("{folder} is there already"),
            "remove it, or name another folder",
        ));
    }
    let parent = folder.parent().unwrap_or(to);
    fs_err::create_dir_all(parent)?;
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(parent)?;
    let Some(inside) = Utf8Path::from_path(partial.path()) else {
        return Err(usage(
            format!("{parent} is not UTF-8"),
            "name another folder",
        ));
    };
    let binary = create(&inside.join(&program.binary), 0o755)?;
    let executable = copied(program.sha256, binary, |file| {
        executable(program, root, file)
    });
    executable.map_err(|error| error.context(format!("failed to unpack {}", program.name())))?;
    let project = create(&inside.join(PROJECT_FILE), 0o644)?;
    copied(program.project_sha256, project, |file| {
        self::project(program, root, file)
    })?;
    // It was this user's alone until all was in it.
    fs_err::set_permissions(inside, Permissions::from_mode(0o755))?;
    fs_err::rename(inside, &folder)?;
    // What has another name by now is not to be removed.
    let _ = partial.keep();
    Ok(folder)
}

fn create(path: &Utf8Path, mode: u32) -> io::Result<fs_err::File> {
    let mut how = fs_err::OpenOptions::new();
    how.write(true).create_new(true).mode(mode).open(path)
}

fn executable(program: &Program, root: &Utf8Path, file: &mut impl Write) -> Result<()> {
    if !program.is_packed() {
        let there = in_root(root, program.executable().as_str());
        io::copy(&mut fs_err::File::open(there)?, file)?;
        return Ok(());
    }
    let executables = Executables::open(&in_root(root, EXECUTABLES_PATH))?;
    let Some(packed) = executables.of_action(&program.link_action) else {
        return Err(corrupt(
            format!("the image lists {}, and does not have it", program.name()),
            "`verifier check` says what else is damaged; pull the image anew",
        ));
    };
    Ok(packed.unpack(file)?)
}

fn project(program: &Program, root: &Utf8Path, file: &mut impl Write) -> Result<()> {
    if let Some(text) = &program.project {
        file.write_all(text.as_bytes())?;
        return Ok(());
    }
    let there = in_root(root, program.place().join(PROJECT_FILE).as_str());
    let mut content = io::Read::take(fs_err::File::open(there)?, MAX_PROJECT_BYTES);
    io::copy(&mut content, file)?;
    Ok(())
}

/// Fails unless what `write` writes to `file` has this digest.
fn copied(
    wanted: Sha256Hash,
    file: fs_err::File,
    write: impl FnOnce(&mut HashingWriter<fs_err::File>) -> Result<()>,
) -> Result<()> {
    let path = file.path().to_owned();
    let mut file = HashingWriter::new(file);
    write(&mut file)?;
    let (_, found, _) = file.finish();
    if found == wanted {
        return Ok(());
    }
    Err(corrupt(
        format!(
            "{} has the digest {found} instead of {wanted}",
            path.display()
        ),
        "`verifier check` says what else is damaged; pull the image anew",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolexec::executables::pack_one;

    fn program() -> Program {
        Program {
            provider: "toy".into(),
            component: "one".into(),
            path: "apis/one".into(),
            folder: "toy/one".into(),
            binary: "one".into(),
            sha256: Sha256Hash::of(b"program"),
            size_bytes: 7,
            project_sha256: Sha256Hash::of(b"name: one\n"),
            project: None,
            link_action: Sha256Hash::of(b"link"),
        }
    }

    fn write(root: &Utf8Path, path: &Utf8Path, content: &[u8]) {
        let file = in_root(root, path.as_str());
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, content).unwrap();
    }

    /// The program as it is in two images.
    fn images(folder: &Utf8Path) -> [(Program, Utf8PathBuf); 2] {
        let raw = (program(), folder.join("raw"));
        write(&raw.1, &raw.0.executable(), b"program");
        write(&raw.1, &raw.0.place().join(PROJECT_FILE), b"name: one\n");
        let root = folder.join("packed");
        let executables = in_root(&root, EXECUTABLES_PATH);
        pack_one(&executables, raw.0.link_action, b"program");
        let packed = Program {
            project: Some("name: one\n".into()),
            ..program()
        };
        [raw, (packed, root)]
    }

    #[test]
    fn a_program_is_put_into_a_folder_whole_or_not_at_all() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        for (number, (program, root)) in images(folder).into_iter().enumerate() {
            let to = folder.join(number.to_string());
            let place = put(&program, &root, &to).unwrap();
            assert_eq!(place, to.join("toy/one"));
            assert_eq!(fs_err::read(place.join("one")).unwrap(), b"program");
            assert_eq!(
                fs_err::read(place.join(PROJECT_FILE)).unwrap(),
                b"name: one\n"
            );
            let mode = fs_err::metadata(place.join("one"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o100, 0o100);
            let error = put(&program, &root, &to).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);

            let damaged = [
                Program {
                    sha256: Sha256Hash::of(b"other"),
                    ..program.clone()
                },
                Program {
                    project_sha256: Sha256Hash::of(b"other"),
                    ..program
                },
            ];
            for program in damaged {
                let to = folder.join(format!("damaged-{number}"));
                let error = put(&program, &root, &to).unwrap_err();
                assert_eq!(
                    failure::kind(&error, &[]),
                    failure::Kind::Corrupt,
                    "{error:#}"
                );
                let left = to.join("toy").read_dir_utf8().unwrap().count();
                assert_eq!(left, 0);
            }
        }
    }
}
