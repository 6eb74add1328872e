//! Commands in a folder that holds a whole tree, with bubblewrap: no daemon, as root or in a user namespace.
//!
//! The tree may be anybody's, and hostile. So nothing of it decides what happens before its own programs run:
//! - Every capability is dropped. Root's commands get back what files of other owners take; they can neither mount nor
//!   make devices, and /proc is read-only. The commands of another user get none. In a user namespace there
//!   are none to give.
//! - Somebody has to become that user, and must have the right to. That is the verifier of this machine
//!   (`verifier init`), linked statically and mounted in a folder that bubblewrap made; no program, no library and no
//!   list of users of the tree has a part in it.
//! - Bubblewrap makes and mounts things before the tree is its root, when an absolute link in the tree still leads to
//!   this machine's files. So it is told places without links, resolved inside of the tree.

use std::iter;

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use duct::Expression;
use regular_file::in_root;

use crate::host;
use crate::sandbox::spec::{Mount, ROOT_CAPABILITIES, Sandbox, User};
use failure::usage;

/// Folders of every tree that bubblewrap mounts something on.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Where the first process is, when there has to be one: on a file system that bubblewrap made.
const INIT: &str = "/run/iac-runner/init";

/// What it needs to become somebody else, and to leave nobody the right to.
const INIT_CAPABILITIES: [&str; 3] = ["CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"];

/// The command, in the tree `root`.
pub fn expression(sandbox: &Sandbox, root: &Utf8Path, command: &[&str]) -> Result<Expression> {
    let mounts = make_mount_points(sandbox, root)?;
    let arguments = arguments(sandbox, root, &mounts, host::is_root(), command)?;
    let sandboxed = iter::once(host::SANDBOX.0.to_owned()).chain(arguments);
    let mut words = sandbox.tracer.iter().cloned().chain(sandboxed);
    let program = words.next().unwrap_or_default();
    Ok(duct::cmd(program, words))
}

/// What bubblewrap is told, by root or by somebody else.
fn arguments(
    sandbox: &Sandbox,
    root: &Utf8Path,
    mounts: &[Mount],
    by_root: bool,
    command: &[&str],
) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["--die-with-parent"]);
    add(&["--unshare-ipc", "--unshare-pid", "--unshare-uts"]);
    add(&["--unshare-cgroup-try"]);
    // Without a process of bubblewrap's own in between, whose children's CPU time would be lost.
    add(&["--as-pid-1"]);
    // Out of reach of the terminal, into which it could type.
    add(&["--new-session"]);
    add(&["--unshare-net"]);
    if !by_root {
        let id = match sandbox.user {
            User::Root => "0".to_owned(),
            User::Id(id) => id.to_string(),
        };
        add(&["--unshare-user", "--uid", &id, "--gid", &id]);
    }
    add(&["--cap-drop", "ALL"]);
    let capabilities: &[&str] = match sandbox.user {
        User::Root if by_root => &ROOT_CAPABILITIES,
        User::Id(_) if by_root => &INIT_CAPABILITIES,
        _ => &[],
    };
    for capability in capabilities {
        add(&["--cap-add", capability]);
    }
    let bind = |writable| if writable { "--bind" } else { "--ro-bind" };
    add(&["--clearenv"]);
    add(&[bind(sandbox.root_is_writable), root.as_str(), "/"]);
    // Read-only as a whole: what root may write to there is the machine's own, and takes no capability.
    add(&["--proc", "/proc", "--remount-ro", "/proc"]);
    add(&["--dev", "/dev", "--tmpfs", "/run"]);
    add(&["--perms", "1777", "--tmpfs", "/tmp"]);
    for mount in mounts {
        let (source, target) = (mount.source.as_str(), mount.target.as_str());
        add(&[bind(mount.writable), source, target]);
    }
    let init = match sandbox.user {
        User::Id(id) if by_root => {
            let init = sandbox.init.as_ref();
            let init = init.with_context(|| {
                format!("root becomes the user {id} by a program of its own, and none was named")
            })?;
            add(&["--ro-bind", init.as_str(), INIT]);
            Some(id.to_string())
        }
        _ => None,
    };
    for (name, value) in &sandbox.env {
        add(&["--setenv", name, value]);
    }
    add(&["--chdir", sandbox.folder.as_str()]);
    add(&["--"]);
    if let Some(id) = &init {
        add(&[INIT, "init", "--user", id, "--"]);
    }
    add(command);
    Ok(arguments)
}

/// Makes what is to be mounted on, which bubblewrap cannot in a tree that is mounted read-only. The mounts, each with
/// the place in the tree that its target leads to.
fn make_mount_points(sandbox: &Sandbox, root: &Utf8Path) -> Result<Vec<Mount>> {
    for folder in MOUNT_POINTS {
        let point = root.join(folder);
        match point.symlink_metadata() {
            Ok(there) if there.is_dir() => {}
            Ok(_) => {
                return Err(usage(
                    format!("/{folder} of the image is no folder"),
                    "a container runtime mounts its own there; make it a folder in the image",
                ));
            }
            Err(_) => fs_err::create_dir(point)?,
        }
    }
    let mut mounts = Vec::new();
    for mount in sandbox.mounts() {
        let mut mount = mount.clone();
        if MOUNT_POINTS
            .iter()
            .any(|temporary| mount.target.starts_with(format!("/{temporary}")))
        {
            mounts.push(mount);
            continue;
        }
        let point = in_root::resolve_utf8(root, &mount.target)?;
        mount.target = Utf8Path::new("/").join(point.strip_prefix(root)?);
        mounts.push(mount.clone());
        if point.exists() {
            continue;
        }
        if mount.source.is_dir() {
            fs_err::create_dir_all(point)?;
        } else {
            if let Some(folder) = point.parent() {
                fs_err::create_dir_all(folder)?;
            }
            fs_err::write(point, "")?;
        }
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments, each option with its values on a line.
    fn lines(sandbox: &Sandbox, by_root: bool, command: &[&str]) -> String {
        let mut text = String::new();
        let mut is_command = false;
        let mounts: Vec<Mount> = sandbox.mounts().cloned().collect();
        let root = "/kept/root".into();
        for word in arguments(sandbox, root, &mounts, by_root, command).unwrap() {
            let is_option = word.starts_with("--") && !is_command;
            text += if text.is_empty() {
                ""
            } else if is_option {
                "\n"
            } else {
                " "
            };
            text += &word;
            is_command |= word == "--";
        }
        text
    }

    fn sandbox() -> Sandbox {
        Sandbox::new("/kept/root".into())
            .read_only("/kept/go".into(), "/usr/local/go")
            .writable("/kept/scratch".into(), "/scratch")
            .env([("GOPROXY", "off"), ("HOME", "/tmp")])
            .folder("/source")
    }

    #[test]
    fn a_build_has_no_network() {
        insta::assert_snapshot!(lines(&sandbox(), true, &["go", "build", "--", "./..."]));
    }

    #[test]
    fn what_is_mounted_is_mounted_in_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (root, outside) = (folder.join("root"), folder.join("outside"));
        fs_err::create_dir_all(root.join("usr/local")).unwrap();
        // Bubblewrap has this machine's files there while it mounts.
        let link = format!("/oldroot{outside}");
        for place in ["elsewhere", "usr/local/bin"] {
            fs_err::os::unix::fs::symlink(&link, root.join(place)).unwrap();
        }
        let sandbox = Sandbox::new(&root)
            .read_only(folder, "/elsewhere/checkout")
            .read_only("/no/file".into(), "/usr/local/bin/verifier")
            .read_only(folder, "/run/folder");
        let mounts = make_mount_points(&sandbox, &root).unwrap();
        let targets: Vec<&str> = mounts.iter().map(|mount| mount.target.as_str()).collect();
        let inside = |name: &str| format!("{link}/{name}");
        assert_eq!(
            targets,
            [&*inside("checkout"), &*inside("verifier"), "/run/folder"]
        );
        assert!(root.join(&link[1..]).join("checkout").is_dir());
        assert!(!outside.exists());

        fs_err::remove_dir(root.join("run")).unwrap();
        fs_err::os::unix::fs::symlink(&outside, root.join("run")).unwrap();
        let said = make_mount_points(&sandbox, &root).unwrap_err().to_string();
        assert!(said.contains("/run"), "{said}");
    }

    #[test]
    fn a_user_of_the_image_has_no_rights() {
        let sandbox = sandbox().user(User::Id(65532)).writable_root();
        let error = arguments(&sandbox, "/kept/root".into(), &[], true, &["verifier"]);
        assert!(error.unwrap_err().to_string().contains("65532"));
        let sandbox = sandbox.init("/kept/verifier".into());
        insta::assert_snapshot!(
            "a_user_by_root",
            lines(&sandbox, true, &["verifier", "run"])
        );
        insta::assert_snapshot!(
            "a_user_by_somebody_else",
            lines(&sandbox, false, &["verifier", "run"])
        );
    }
}
