//! Commands in the container that this process is in, for a `docker build` that has no rights to make another one.
//!
//! Nothing can be mounted there, so a symbolic link stands at each place where something would be: the go command goes
//! by the paths it is told, and these are those of the image. Nothing keeps a command from writing where it should
//! not, and nothing takes its network away but Go's own settings; what keeps the machine's files safe is the container.

use std::io::ErrorKind;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use duct::Expression;

use crate::sandbox::spec::{Mount, Sandbox};
use failure::usage;

/// The command, with everything at its place.
pub fn expression(sandbox: &Sandbox, arguments: &[&str]) -> Result<Expression> {
    for mount in sandbox.mounts() {
        put(mount)?;
    }
    let (program, arguments) = arguments.split_first().unwrap_or((&"true", &[]));
    Ok(duct::cmd(*program, arguments)
        // The folder as it is called, not where the link leads.
        .env("PWD", &sandbox.folder)
        .full_env(&sandbox.env)
        .dir(&sandbox.folder))
}

/// Makes `mount.target` stand for `mount.source`, from one moment to the next.
fn put(mount: &Mount) -> Result<()> {
    let Mount { source, target, .. } = mount;
    if source == target {
        return Ok(());
    }
    match target.symlink_metadata() {
        Ok(there) if there.is_symlink() => {
            if fs_err::read_link(target)? == *source {
                return Ok(());
            }
        }
        Ok(_) => {
            return Err(usage(
                format!("{target} is there already, and {source} has to be"),
                "run this in a container in which nothing is",
            ));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(folder) = target.parent() {
                fs_err::create_dir_all(folder)?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    let new = beside(target);
    match fs_err::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs_err::os::unix::fs::symlink(source, &new)?;
    Ok(fs_err::rename(&new, target)?)
}

fn beside(target: &Utf8Path) -> Utf8PathBuf {
    target.with_file_name(format!(".{}.new", target.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::spec::RootFs;

    #[test]
    fn a_link_stands_for_the_mount_and_the_folder_is_called_as_it_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for name in ["one", "two"] {
            fs_err::create_dir(folder.join(name)).unwrap();
            fs_err::write(folder.join(name).join("file"), name).unwrap();
        }
        let place = folder.join("deep/place");
        for name in ["one", "two", "two"] {
            let done = Sandbox::of(RootFs::CurrentContainer)
                // A later mount hides an earlier one.
                .read_only(folder, &place)
                .read_only(&folder.join(name), &place)
                .env([("PATH", "/usr/bin:/bin"), ("NAME", "value")])
                .folder(&place)
                .run(&["sh", "-c", "cat file; echo \" $PWD $NAME $HOME\""])
                .unwrap();
            assert_eq!(done.stdout, format!("{name} {place} value \n"));
        }
    }

    #[test]
    fn what_is_there_already_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let there = folder.join("there");
        fs_err::write(&there, "x").unwrap();
        let sandbox = Sandbox::of(RootFs::CurrentContainer).read_only(folder, &there);
        let said = sandbox.run(&["true"]).unwrap_err().to_string();
        assert!(said.contains("there already"), "{said}");
        assert_eq!(fs_err::read_to_string(&there).unwrap(), "x");
    }
}
