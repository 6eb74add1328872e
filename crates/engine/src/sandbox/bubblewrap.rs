//! Commands in a folder that holds a whole tree, with bubblewrap: no daemon, as root or in a user namespace.

use std::process::Command;

use anyhow::Result;
use camino::Utf8Path;

use super::{Sandbox, User};
use crate::host;
use oci::unpack::in_root;

/// Folders of every tree that bubblewrap mounts something on.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// The command, in the tree `root`.
pub fn command(sandbox: &Sandbox, root: &Utf8Path, arguments: &[&str]) -> Result<Command> {
    make_mount_points(sandbox, root)?;
    let mut bwrap = host::command("bwrap");
    bwrap.args([
        "--die-with-parent",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-uts",
        "--unshare-cgroup-try",
        // Without a process of bubblewrap's own in between, whose children's CPU time would be lost.
        "--as-pid-1",
    ]);
    if !sandbox.network {
        bwrap.arg("--unshare-net");
    }
    let is_root = host::is_root();
    if !is_root {
        let id = match sandbox.user {
            User::Root => 0,
            User::Id(id) => id,
        };
        bwrap
            .arg("--unshare-user")
            .args(["--uid", &id.to_string(), "--gid", &id.to_string()]);
    }
    let bind = |writable| if writable { "--bind" } else { "--ro-bind" };
    bwrap.args([
        "--clearenv",
        bind(sandbox.root_is_writable),
        root.as_str(),
        "/",
    ]);
    bwrap.args([
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--perms", "1777", "--tmpfs", "/tmp",
    ]);
    for mount in sandbox.mounts() {
        bwrap.args([
            bind(mount.writable),
            mount.source.as_str(),
            mount.target.as_str(),
        ]);
    }
    for (name, value) in &sandbox.env {
        bwrap.args(["--setenv", name, value]);
    }
    bwrap.args(["--chdir", sandbox.folder.as_str()]);
    match sandbox.user {
        User::Id(id) if is_root => {
            bwrap.args([
                "--cap-add",
                "CAP_SETUID",
                "--cap-add",
                "CAP_SETGID",
                "--",
                // Only root's process dies with bubblewrap, and all others of its namespace with it.
                "/usr/bin/unshare",
                "--fork",
                "--",
                "/usr/bin/setpriv",
            ]);
            bwrap.args([
                &format!("--reuid={id}"),
                &format!("--regid={id}"),
                "--clear-groups",
                "--",
            ]);
        }
        _ => {
            bwrap.arg("--");
        }
    }
    bwrap.args(arguments);
    Ok(bwrap)
}

/// The tree is mounted read-only, so bubblewrap cannot make what is to be mounted on.
fn make_mount_points(sandbox: &Sandbox, root: &Utf8Path) -> Result<()> {
    let resolve = |path: &str| in_root::resolve(root.as_std_path(), path.as_ref());
    for folder in MOUNT_POINTS {
        fs_err::create_dir_all(resolve(folder)?)?;
    }
    for mount in sandbox.mounts() {
        if MOUNT_POINTS
            .iter()
            .any(|temporary| mount.target.starts_with(format!("/{temporary}")))
        {
            continue;
        }
        let point = resolve(mount.target.as_str())?;
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
    Ok(())
}
