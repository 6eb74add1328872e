//! Layers in the hands of what nodes run: their compression and its window must be nobody's surprise.
//!
//! No test installs these programs; see `support/programs.rs` for where one is missing.

use camino::{Utf8Path, Utf8PathBuf};
use daemon::{Daemon, START_TIMEOUT};
use xshell::{Shell, cmd};

use crate::sources::small;
use crate::support::image::Layout;
use crate::support::programs::is_there_or_skipped;
use crate::support::run::{ended, folder, shell, succeed};

/// Writes an image as it is shipped into an archive of a layout, and counts its layers.
fn archive(sh: &Shell, root: &Utf8Path) -> (Utf8PathBuf, usize) {
    let (source, out, archive) = (
        root.join("source"),
        root.join("out"),
        root.join("image.tar"),
    );
    small(&source);
    succeed(cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {out}"
    ));
    let (from, to) = (
        format!("oci:{out}/oci:latest-civo"),
        format!("oci-archive:{archive}:latest-civo"),
    );
    succeed(cmd!(
        sh,
        "skopeo copy --quiet --preserve-digests {from} {to}"
    ));
    let image = Layout::below(&out).image("latest-civo");
    (archive, image.manifest["layers"].as_array().unwrap().len())
}

/// Starts containerd with everything below `folder`; where it listens.
fn containerd(sh: &Shell, folder: &Utf8Path) -> (Daemon, Utf8PathBuf) {
    let socket = folder.join("containerd.sock");
    let (root, state) = (folder.join("root"), folder.join("state"));
    let containerd = duct::cmd!(
        "containerd",
        "--address",
        &socket,
        "--root",
        root,
        "--state",
        state,
        "--config",
        "/dev/null"
    );
    let answers = || {
        let version = ended(cmd!(sh, "ctr --address {socket} version"));
        version.get_output().status.success()
    };
    let quiet = containerd.stdout_null().stderr_null();
    let daemon = Daemon::start("containerd", &quiet, START_TIMEOUT, answers).unwrap();
    (daemon, socket)
}

#[test]
fn containerd_unpacks_the_image() {
    let sh = shell();
    if !is_there_or_skipped(cmd!(sh, "containerd --version")) {
        return;
    }
    let (_folder, root) = folder();
    let (archive, layers) = archive(&sh, &root);
    let (_daemon, socket) = containerd(&sh, &root);
    let ctr = || cmd!(sh, "ctr --address {socket}");
    // Its native snapshotter needs nothing of the machine's file systems.
    let import = ["images", "import", "--snapshotter", "native"];
    let said = succeed(ctr().args(import).arg(&archive));
    assert!(said.contains("done"), "{said}");
    let kept = succeed(ctr().args(["snapshots", "--snapshotter", "native", "list"]));
    assert_eq!(kept.matches("Committed").count(), layers, "{kept}");
}

#[test]
fn podman_pulls_the_image() {
    let sh = shell();
    if !is_there_or_skipped(cmd!(sh, "podman --version")) {
        return;
    }
    let (_folder, root) = folder();
    let (archive, _) = archive(&sh, &root);
    let podman = || {
        cmd!(
            sh,
            "podman --storage-driver vfs --root {root}/storage --runroot {root}/run"
        )
    };
    let id = succeed(
        podman()
            .args(["pull", "--quiet"])
            .arg(format!("oci-archive:{archive}")),
    );
    let place = succeed(podman().args(["image", "mount", id.trim()]));
    let verifier = Utf8Path::new(place.trim()).join("usr/local/bin/verifier");
    assert!(verifier.is_file(), "{verifier}");
    succeed(podman().args(["rmi", "--force", id.trim()]));
}
