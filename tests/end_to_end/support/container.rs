//! Images entered without any code of the project: unpacked by umoci, run in by bubblewrap.

use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Cmd, Shell, cmd};

use super::image::Image;
use super::run::{shell, succeed};

/// Unpacks the image `name`, whose layers are gzip, of the output folder `out` at `place`; its root.
pub fn unpack(out: &Utf8Path, name: &str, place: &Utf8Path) -> Utf8PathBuf {
    let sh = shell();
    if place.exists() {
        succeed(cmd!(sh, "chmod -R u+w {place}"));
        fs_err::remove_dir_all(place).unwrap();
    }
    succeed(cmd!(sh, "umoci unpack --image {out}/oci:{name} {place}"));
    place.join("rootfs")
}

/// A container of an image: its root file system read-only, without a network.
pub struct Container<'a> {
    /// Where the image is unpacked.
    pub root: &'a Utf8Path,
    /// Its configuration.
    pub image: &'a Image,
    /// What is at /elsewhere.
    pub source: &'a Utf8Path,
    /// User and group.
    pub user: (u32, u32),
    /// More flags of bubblewrap.
    pub flags: &'a [&'a str],
}

impl Container<'_> {
    /// What `script` prints, which must succeed.
    pub fn run(&self, script: &str) -> String {
        succeed(self.command(&shell(), script))
    }

    /// The command that runs `script`.
    pub fn command<'s>(&self, sh: &'s Shell, script: &str) -> Cmd<'s> {
        let Self {
            root,
            image,
            source,
            user: (user, group),
            flags,
        } = self;
        let environment = image.config["config"]["Env"].as_array().unwrap().clone();
        for point in ["elsewhere", "proc", "dev"] {
            fs_err::create_dir_all(root.join(point)).unwrap();
        }
        let variables = environment.iter().flat_map(|variable| {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            ["--setenv", name, value]
        });
        // What a container of root has by default, as far as it matters here.
        let rights = match user {
            0 => &["--cap-add", "CAP_DAC_OVERRIDE"][..],
            _ => &[],
        };
        let (user, group) = (user.to_string(), group.to_string());
        let (flags, variables): (Vec<_>, Vec<_>) = (flags.to_vec(), variables.collect());
        cmd!(
            sh,
            "bwrap --die-with-parent --unshare-net --unshare-pid --unshare-ipc --clearenv
                --ro-bind {root} / --dev /dev --proc /proc --perms 1777 --tmpfs /tmp --ro-bind {source} /elsewhere
                {flags...} --cap-add CAP_SETUID --cap-add CAP_SETGID {rights...} {variables...}
                setpriv --reuid={user} --regid={group} --clear-groups sh -euc {script}"
        )
    }
}
