//! A program of the image in a folder of the user's own, with its Pulumi.yaml: a copy, or unpacked where executables are
//! compressed. A folder is there whole or not at all, and what is in it has the digests that the image lists.
//!
//! The image may be anybody's: what it lists is a regular file of the size that it says, inside of it, or corrupt.

use std::fs::Permissions;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use failure::{corrupt, usage};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use gocache::executables::Executables;
use gocache::image_info::EXECUTABLES_PATH;
use gocache::image_info::programs::{PROJECT_FILE, Program};
use sha256::{HashingWriter, Sha256Hash};

use crate::info::{damaged, resolve};

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
        let there = resolve(root, program.executable())?;
        let opened = regular_file::open(&there).map_err(damaged)?;
        // One byte more shows that it is longer.
        let content = fs_err::File::from_parts(opened, there);
        io::copy(
            &mut content.take(program.size_bytes.saturating_add(1)),
            file,
        )?;
        return Ok(());
    }
    let executables = Executables::open(&resolve(root, EXECUTABLES_PATH)?)?;
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
    let there = resolve(root, program.place().join(PROJECT_FILE))?;
    let content = regular_file::read(&there, MAX_PROJECT_BYTES).map_err(damaged)?;
    file.write_all(&content)?;
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
    use crate::info::in_root;
    use crate::toolexec::executables::pack_one;
    use fs_err::os::unix::fs::symlink;
    use rustix::fs::{CWD, FileType, mknodat};

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

    fn pipe(place: &Utf8Path) {
        mknodat(CWD, place.as_std_path(), FileType::Fifo, 0o600.into(), 0).unwrap();
    }

    #[test]
    fn nothing_is_read_that_is_not_a_regular_file_of_the_image() {
        type Change = fn(&Utf8Path, &Utf8Path);
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let outside = folder.join("outside");
        write(&outside, "toy/one/one".into(), b"program");
        write(
            &outside,
            format!("toy/one/{PROJECT_FILE}").as_str().into(),
            b"name: one\n",
        );
        let cases: [(&str, Change); 9] = [
            ("one", |place, outside| {
                symlink(outside.join("toy/one/one"), place).unwrap();
            }),
            (PROJECT_FILE, |place, outside| {
                symlink(outside.join("toy/one").join(PROJECT_FILE), place).unwrap();
            }),
            ("", |place, outside| {
                symlink(outside.join("toy/one"), place).unwrap();
            }),
            ("one", |place, _| symlink("/dev/zero", place).unwrap()),
            ("one", |place, _| pipe(place)),
            ("one", |_, _| {}),
            (PROJECT_FILE, |place, _| pipe(place)),
            (PROJECT_FILE, |place, _| {
                fs_err::write(place, vec![b' '; 2 << 20]).unwrap();
            }),
            ("", |place, _| symlink("one", place).unwrap()),
        ];
        for (number, (name, change)) in cases.into_iter().enumerate() {
            let [(program, root), _] = images(&folder.join(number.to_string()));
            let place = in_root(&root, program.place().as_str()).join(name);
            if place.is_dir() {
                fs_err::remove_dir_all(&place).unwrap();
            } else {
                fs_err::remove_file(&place).unwrap();
            }
            change(place.as_str().trim_end_matches('/').into(), &outside);
            let to = folder.join(format!("to-{number}"));
            let error = put(&program, &root, &to).unwrap_err();
            assert_eq!(
                failure::kind(&error, &[]),
                failure::Kind::Corrupt,
                "{number}: {error:#}"
            );
        }
    }

    #[test]
    fn links_of_the_image_lead_to_places_in_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        for (number, (program, root)) in images(folder).into_iter().enumerate() {
            let place = if program.is_packed() {
                in_root(&root, EXECUTABLES_PATH)
            } else {
                in_root(&root, program.place().as_str())
            };
            fs_err::rename(&place, root.join("elsewhere")).unwrap();
            symlink("/elsewhere", &place).unwrap();
            let put = put(&program, &root, &folder.join(number.to_string())).unwrap();
            assert_eq!(fs_err::read(put.join("one")).unwrap(), b"program");
        }
    }
}
