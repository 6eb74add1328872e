//! Commands in a folder that holds a whole tree, with bubblewrap: no daemon, as root or in a user namespace.

use anyhow::Result;
use camino::Utf8Path;
use duct::Expression;

use crate::host;
use crate::sandbox::spec::{Sandbox, User};
use oci::unpack::in_root;

/// Folders of every tree that bubblewrap mounts something on.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// The command, in the tree `root`.
pub fn expression(sandbox: &Sandbox, root: &Utf8Path, command: &[&str]) -> Result<Expression> {
    make_mount_points(sandbox, root)?;
    let arguments = arguments(sandbox, root, host::is_root(), command);
    Ok(duct::cmd(host::SANDBOX.0, arguments))
}

/// What bubblewrap is told, by root or by somebody else.
fn arguments(sandbox: &Sandbox, root: &Utf8Path, by_root: bool, command: &[&str]) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["--die-with-parent"]);
    add(&["--unshare-ipc", "--unshare-pid", "--unshare-uts"]);
    add(&["--unshare-cgroup-try"]);
    // Without a process of bubblewrap's own in between, whose children's CPU time would be lost.
    add(&["--as-pid-1"]);
    if !sandbox.network {
        add(&["--unshare-net"]);
    }
    if !by_root {
        let id = match sandbox.user {
            User::Root => "0".to_owned(),
            User::Id(id) => id.to_string(),
        };
        add(&["--unshare-user", "--uid", &id, "--gid", &id]);
    }
    let bind = |writable| if writable { "--bind" } else { "--ro-bind" };
    add(&["--clearenv"]);
    add(&[bind(sandbox.root_is_writable), root.as_str(), "/"]);
    add(&["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]);
    add(&["--perms", "1777", "--tmpfs", "/tmp"]);
    for mount in sandbox.mounts() {
        let (source, target) = (mount.source.as_str(), mount.target.as_str());
        add(&[bind(mount.writable), source, target]);
    }
    for (name, value) in &sandbox.env {
        add(&["--setenv", name, value]);
    }
    add(&["--chdir", sandbox.folder.as_str()]);
    match sandbox.user {
        User::Id(id) if by_root => {
            add(&["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--"]);
            // Only root's process dies with bubblewrap, and all others of its namespace with it.
            add(&["/usr/bin/unshare", "--fork", "--", "/usr/bin/setpriv"]);
            add(&[&format!("--reuid={id}"), &format!("--regid={id}")]);
            add(&["--clear-groups", "--"]);
        }
        _ => add(&["--"]),
    }
    add(command);
    arguments
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments, each option with its values on a line.
    fn lines(sandbox: &Sandbox, by_root: bool, command: &[&str]) -> String {
        let mut text = String::new();
        let mut is_command = false;
        for word in arguments(sandbox, "/work/root".into(), by_root, command) {
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
        Sandbox::new("/work/root".into())
            .read_only("/work/go".into(), "/usr/local/go")
            .writable("/work/scratch".into(), "/scratch")
            .env([("GOPROXY", "off"), ("HOME", "/tmp")])
            .folder("/source")
    }

    #[test]
    fn a_fetch_has_the_network_and_what_it_takes_of_the_machine() {
        let fetch = sandbox().with_network_of(
            |name| (name == "GOPROXY").then(|| "https://proxy.example".to_owned()),
            |file| file != "/etc/nsswitch.conf",
        );
        insta::assert_snapshot!(lines(&fetch, true, &["go", "mod", "download"]));
    }

    #[test]
    fn a_build_has_no_network() {
        insta::assert_snapshot!(lines(&sandbox(), true, &["go", "build", "--", "./..."]));
    }

    #[test]
    fn a_user_of_the_image_has_no_rights() {
        let sandbox = sandbox().user(User::Id(65532)).writable_root();
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
