//! An image whose every program tries to get out, verified: it gets nothing, whoever it runs as.
//!
//! As root these tests hold what is promised for root; by somebody else they run in a user namespace.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use engine::sandbox::{RootFs, Sandbox, User};
use serde_json::json;
use walkdir::WalkDir;
use xshell::cmd;

use crate::sources::small;
use crate::support::programs::is_there_or_skipped;
use crate::support::run::{ended, folder, shell, succeed, workspace, write};
use crate::verify::{apart, put};

/// Where an image has the programs that something may start: root's tools of old, shells, the dynamic linkers, Go, and
/// the verifier.
const PROGRAMS: [&str; 10] = [
    "bin/sh",
    "lib/ld-linux-aarch64.so.1",
    "lib64/ld-linux-x86-64.so.2",
    "sbin/init",
    "usr/bin/env",
    "usr/bin/git",
    "usr/bin/setpriv",
    "usr/bin/unshare",
    "usr/local/bin/verifier",
    "usr/local/go/bin/go",
];

/// The hostile program, linked statically.
fn program() -> Utf8PathBuf {
    let sh = shell();
    let version = succeed(cmd!(sh, "rustc -vV"));
    let target = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let folder = workspace().join("target/end-to-end/hostile");
    let build = cmd!(
        sh,
        "cargo build --quiet --locked --package hostile --target {target}"
    );
    let flags = "-Ctarget-feature=+crt-static";
    succeed(
        build
            .env("CARGO_TARGET_DIR", &folder)
            .env("CARGO_ENCODED_RUSTFLAGS", flags),
    );
    folder.join(target).join("debug/hostile")
}

/// Writes an image of `tree` with the environment `env` as the layout `layout`.
fn image(tree: &Utf8Path, layout: &Utf8Path, env: &[String]) {
    fs_err::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let (sh, tar) = (shell(), layout.join("tar"));
    succeed(cmd!(sh, "tar -C {tree} -cf {tar} ."));
    let layer = put(
        layout,
        "application/vnd.oci.image.layer.v1.tar",
        &fs_err::read(tar).unwrap(),
    );
    let architecture = if std::env::consts::ARCH == "aarch64" {
        "arm64"
    } else {
        "amd64"
    };
    let config = json!({
        "os": "linux", "architecture": architecture, "config": {"Env": env},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = put(
        layout,
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = put(layout, media_type, manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    write(layout, "index.json", &index.to_string());
    write(layout, "oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);
}

/// Everything below `root`, with its mode and length.
fn listed(root: &Utf8Path) -> Vec<String> {
    let entries = WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap);
    let shown = entries.map(|entry| {
        let metadata = entry.metadata().unwrap();
        format!(
            "{} {:o} {}",
            entry.path().display(),
            metadata.permissions().mode(),
            metadata.len()
        )
    });
    shown.collect()
}

/// The machine around a hostile image, and what it must not reach.
struct Machine {
    _guard: tempfile::TempDir,
    source: Utf8PathBuf,
    outside: Utf8PathBuf,
    tree: Utf8PathBuf,
    layout: Utf8PathBuf,
    listener: TcpListener,
}

impl Machine {
    fn new() -> Self {
        let (guard, root) = folder();
        let [source, outside, tree, layout] =
            ["source", "outside", "tree", "layout"].map(|name| root.join(name));
        small(&source);
        write(&outside, "secret", "");
        // Whom the files belong to is not what keeps them.
        for (place, mode) in [(&root, 0o755), (&source, 0o777), (&outside, 0o777)] {
            fs_err::set_permissions(place, Permissions::from_mode(mode)).unwrap();
        }
        let program = program();
        for place in PROGRAMS {
            let place = tree.join(place);
            fs_err::create_dir_all(place.parent().unwrap()).unwrap();
            fs_err::copy(&program, &place).unwrap();
            fs_err::set_permissions(&place, Permissions::from_mode(0o6755)).unwrap();
        }
        write(
            &tree,
            "etc/passwd",
            "root:x:0:0::/:/bin/sh\nrunner:x:65532:0::/tmp:/bin/sh\n",
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            _guard: guard,
            source,
            outside,
            tree,
            layout,
            listener,
        }
    }

    /// Verifies the image as each kind of user, and looks at what its programs got.
    fn attack(&self) {
        let (_kept, cache, sh) = apart();
        let port = self.listener.local_addr().unwrap().port();
        let env = [
            "PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin".to_owned(),
            "GOROOT=/usr/local/go".to_owned(),
            format!("HOSTILE_FILE={}/secret", self.outside),
            format!("HOSTILE_PORT={port}"),
        ];
        image(&self.tree, &self.layout, &env);
        let before = [&self.source, &self.outside].map(|folder| listed(folder));
        let by_root = fs_err::metadata("/proc/self").unwrap().uid() == 0;
        let (source, layout) = (&self.source, &self.layout);
        for (user, id) in [("65532", "65532"), ("root", "0"), ("12345", "12345")] {
            for flags in [&[][..], &["--writable"]] {
                let verify = cmd!(
                    sh,
                    "cargo xtask verify --image {layout} --source {source} --user {user} {flags...}"
                );
                let done = ended(verify).failure();
                let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
                let lines: Vec<&str> = said
                    .lines()
                    .filter(|line| line.contains("hostile "))
                    .collect();
                assert!(!lines.is_empty(), "{said}");
                // Root may use files of others that are mounted, and nothing else.
                let rights = if by_root && id == "0" {
                    "0000000000000002"
                } else {
                    "0000000000000000"
                };
                for line in lines {
                    for field in ["CapPrm", "CapEff", "CapBnd"]
                        .iter()
                        .take(if by_root && id != "0" { 3 } else { 2 })
                    {
                        assert!(line.contains(&format!("{field}={rights}")), "{line}");
                    }
                    assert!(line.contains(&format!("Uid={id} Gid={id} ")), "{line}");
                    assert!(line.contains("NoNewPrivs=1"), "{line}");
                    assert!(line.contains("; got nothing."), "{line}");
                    // It neither judges nor begins: the verifier asks for nothing but Go.
                    assert!(line.contains("go: Uid"), "{line}");
                }
            }
        }
        let after = [&self.source, &self.outside].map(|folder| listed(folder));
        assert_eq!(after, before);
        let connected = self.listener.accept().map(|_| ()).unwrap_err();
        assert_eq!(connected.kind(), ErrorKind::WouldBlock);
        let kept = fs_err::metadata(cache.join("iac-runner")).unwrap();
        assert_eq!(kept.permissions().mode() & 0o7777, 0o700);
    }
}

#[test]
fn a_hostile_image_gets_nothing_as_any_user() {
    Machine::new().attack();
}

/// In containers that `--engine docker` makes, of which Docker's daemon, which is root, has the image.
#[test]
fn a_hostile_image_gets_nothing_in_docker_as_any_user() {
    let sh = shell();
    if !is_there_or_skipped(cmd!(sh, "docker info")) {
        return;
    }
    let machine = Machine::new();
    let (source, tree) = (&machine.source, &machine.tree);
    // Nothing judges in such a container; where its root may be written to, that file may be.
    fs_err::remove_file(tree.join("usr/local/bin/verifier")).unwrap();
    let (_guard, root) = folder();
    let tar = root.join("tree.tar");
    // Whoever made it may be anybody: the bits are root's.
    succeed(cmd!(sh, "tar -C {tree} --owner 0 --group 0 -cf {tar} ."));
    let image = format!("iac-runner-hostile:{}", std::process::id());
    succeed(cmd!(sh, "docker import {tar} {image}"));
    let before = [source, &machine.outside].map(|folder| listed(folder));
    let port = machine.listener.local_addr().unwrap().port();
    let mut all = Vec::new();
    for user in [User::Root, User::Id(65532), User::Id(12345)] {
        let sandbox = Sandbox::of(RootFs::DockerImage(image.clone()))
            .read_only(source, "/elsewhere/checkout")
            .env([
                ("HOSTILE_FILE", format!("{}/secret", machine.outside)),
                ("HOSTILE_PORT", port.to_string()),
            ])
            .user(user);
        let writable = sandbox.clone().writable_root();
        for sandbox in [sandbox, writable] {
            for program in ["/usr/bin/env", "/usr/local/go/bin/go"] {
                all.push((user, sandbox.run(&[program]).map(|done| done.stderr)));
            }
        }
    }
    succeed(cmd!(sh, "docker rmi --force {image}"));
    assert_eq!(all.len(), 12);
    for (user, said) in all {
        let said = said.unwrap();
        let id = match user {
            User::Root => fs_err::metadata("/proc/self").unwrap().uid(),
            User::Id(id) => id,
        };
        // Root may use files of others that are mounted, and nothing else.
        let rights = if id == 0 {
            "0000000000000002"
        } else {
            "0000000000000000"
        };
        for field in ["CapPrm", "CapEff", "CapBnd"] {
            assert!(said.contains(&format!("{field}={rights}")), "{said}");
        }
        assert!(said.contains(&format!("Uid={id} ")), "{said}");
        assert!(said.contains("NoNewPrivs=1"), "{said}");
        assert!(said.contains("; got nothing."), "{said}");
    }
    let after = [source, &machine.outside].map(|folder| listed(folder));
    assert_eq!(after, before);
    let connected = machine.listener.accept().map(|_| ()).unwrap_err();
    assert_eq!(connected.kind(), ErrorKind::WouldBlock);
}

#[test]
fn links_of_an_image_lead_neither_mounts_nor_the_verifier_elsewhere() {
    let machine = Machine::new();
    // Where bubblewrap has the machine's files until it enters the image.
    let out = format!("/oldroot{}", machine.outside);
    symlink(&out, machine.tree.join("elsewhere")).unwrap();
    let verifier = machine.tree.join("usr/local/bin/verifier");
    fs_err::remove_file(&verifier).unwrap();
    symlink("/usr/bin/unshare", &verifier).unwrap();
    machine.attack();
}
