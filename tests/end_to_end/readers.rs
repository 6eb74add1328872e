//! Layers in the hands of what nodes run: their compression and its window must be nobody's surprise.
//!
//! No test installs these programs; where one is missing its test says that it was skipped.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::Layout;
use crate::run::{Daemon, base_image, command, folder, succeed, succeeds_or_skipped};
use crate::sources::small;

/// Writes an image as it is shipped into an archive of a layout, and counts its layers.
fn archive(root: &Utf8Path) -> (Utf8PathBuf, usize) {
    let (source, out, archive) = (
        root.join("source"),
        root.join("out"),
        root.join("image.tar"),
    );
    small(&source);
    succeed(&mut base_image(&source, &out, &[]));
    let (from, to) = (
        format!("oci:{out}/oci:latest-civo"),
        format!("oci-archive:{archive}:latest-civo"),
    );
    succeed(command("skopeo").args(["copy", "--quiet", "--preserve-digests", &from, &to]));
    let image = Layout::below(&out).image("latest-civo");
    (archive, image.manifest["layers"].as_array().unwrap().len())
}

/// containerd, with everything below a folder of its own.
struct Containerd {
    _daemon: Daemon,
    socket: Utf8PathBuf,
}

impl Containerd {
    fn start(folder: &Utf8Path) -> Self {
        let socket = folder.join("containerd.sock");
        let mut containerd = command("containerd");
        containerd
            .args(["--address", socket.as_str()])
            .args(["--root", folder.join("root").as_str()])
            .args(["--state", folder.join("state").as_str()])
            .args(["--config", "/dev/null"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let daemon = Daemon::start(&mut containerd, || {
            let version = ctr(&socket, &["version"]).output().unwrap();
            version.status.success()
        });
        Self {
            _daemon: daemon,
            socket,
        }
    }
}

fn ctr(socket: &Utf8Path, arguments: &[&str]) -> Command {
    let mut ctr = command("ctr");
    ctr.args(["--address", socket.as_str()]).args(arguments);
    ctr
}

#[test]
fn containerd_unpacks_the_image() {
    if !succeeds_or_skipped("containerd", "--version", "containerd_unpacks_the_image") {
        return;
    }
    let (_folder, root) = folder();
    let (archive, layers) = archive(&root);
    let daemon = Containerd::start(&root);
    // Its native snapshotter needs nothing of the machine's file systems.
    let import = ["images", "import", "--snapshotter", "native"];
    let said = succeed(ctr(&daemon.socket, &import).arg(&archive));
    assert!(said.contains("done"), "{said}");
    let snapshots = ["snapshots", "--snapshotter", "native", "list"];
    let kept = succeed(&mut ctr(&daemon.socket, &snapshots));
    assert_eq!(kept.matches("Committed").count(), layers, "{kept}");
}

#[test]
fn podman_pulls_the_image() {
    if !succeeds_or_skipped("podman", "--version", "podman_pulls_the_image") {
        return;
    }
    let (_folder, root) = folder();
    let image = format!("oci-archive:{}", archive(&root).0);
    let storage = ["storage", "run"].map(|name| root.join(name).to_string());
    let podman = || {
        let mut podman = command("podman");
        podman.args(["--storage-driver", "vfs"]).args([
            "--root",
            &storage[0],
            "--runroot",
            &storage[1],
        ]);
        podman
    };
    let id = succeed(podman().args(["pull", "--quiet", &image]));
    let place = succeed(podman().args(["image", "mount", id.trim()]));
    let verifier = Utf8Path::new(place.trim()).join("usr/local/bin/verifier");
    assert!(verifier.is_file(), "{verifier}");
    succeed(podman().args(["rmi", "--force", id.trim()]));
}
