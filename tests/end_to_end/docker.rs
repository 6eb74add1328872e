//! Images as people build them with Docker: the image from its parts, and their own on top of it.
//!
//! Needs a Docker daemon, which no test starts; see `support/programs.rs` for where none runs.

use camino::Utf8Path;
use serde_json::Value;
use xshell::cmd;

use crate::sources::{place, small};
use crate::support::image::Layout;
use crate::support::kept::{FOUNDATION, Kept};
use crate::support::programs::is_there_or_skipped;
use crate::support::run::{ended, fail, folder, shell, succeed, workspace, write};

/// An image that goes when the test ends.
struct Tagged(String);

impl Tagged {
    /// Builds `context` without network, up to `target`.
    fn build(name: &str, context: &Utf8Path, target: &[&str]) -> Self {
        let sh = shell();
        let name = format!("iac-runner-end-to-end:{name}");
        succeed(cmd!(
            sh,
            "docker build --quiet --network none --tag {name} {target...} {context}"
        ));
        Self(name)
    }

    /// Runs `arguments` in a container without network in which `source` is at another path.
    fn run(&self, source: &Utf8Path, flags: &[&str], arguments: &[&str]) -> String {
        let sh = shell();
        let name = &self.0;
        let run = cmd!(
            sh,
            "docker run --rm --network none --volume {source}:/elsewhere:ro"
        );
        succeed(run.args(flags).arg(name).args(arguments))
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        // What was built on it may be in use still, where a test failed.
        let (sh, name) = (shell(), &self.0);
        drop(ended(cmd!(sh, "docker rmi --force {name}")));
    }
}

/// Runs the verifier in `image`, where the first build of `civo/one` has to hit everything.
fn hits_everything(image: &Tagged, source: &Utf8Path, flags: &[&str]) {
    let verifier = "verifier run --source /elsewhere --json - --provider civo";
    let verifier: Vec<&str> = verifier.split(' ').collect();
    let report = image.run(source, flags, &verifier);
    let report: Value = serde_json::from_str(&report).unwrap();
    let modules = report["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 1);
    let first = &modules[0]["phases"]["first"];
    for what in ["packages", "links"] {
        assert_eq!(first[what]["hits"], first[what]["total"], "{report}");
        assert_ne!(first[what]["total"], 0, "{report}");
    }
}

/// Builds an image of `source` on `base` as its users do, where nothing may be compiled or linked.
fn downstream(name: &str, base: &Tagged, source: &Utf8Path, executable: &str) {
    let module = place("civo", "one");
    let from = &base.0;
    let dockerfile = format!(
        "FROM {from}\nCOPY . /app\nWORKDIR /app/{module}\n\
         RUN go build -x -o {executable} . 2> /tmp/commands\n"
    );
    write(source, "Dockerfile", &dockerfile);
    let image = Tagged::build(name, source, &[]);
    let commands = image.run(source, &[], &["cat", "/tmp/commands"]);
    assert!(commands.contains("WORK="), "{commands}");
    for tool in ["/compile ", "/link "] {
        assert!(!commands.contains(tool), "{commands}");
    }
    image.run(source, &[], &[executable]);
}

#[test]
fn the_image_from_its_parts_is_warm_and_so_is_what_is_built_on_it() {
    let sh = shell();
    if !is_there_or_skipped(cmd!(sh, "docker info")) {
        return;
    }
    let (_folder, root) = folder();
    let (source, out, context) = (root.join("source"), root.join("out"), root.join("context"));
    small(&source);
    // Docker 20.10 reads no zstd.
    let build = cmd!(sh, "cargo xtask base-image --source {source} --out {out}");
    succeed(build.args(["--compression", "gzip", "--provider", "civo"]));
    let take_apart = |tag: &str| {
        let command = cmd!(
            sh,
            "cargo xtask docker-context --image {out}/oci --out {context}"
        );
        command.args(["--tag", tag])
    };
    let said = fail(take_apart("latest-civo-nonroot"), 2);
    assert!(said.contains("twin"), "{said}");
    succeed(take_apart("latest-civo"));
    let dockerfile = fs_err::read_to_string(context.join("Dockerfile")).unwrap();
    let adds: Vec<&str> = dockerfile
        .lines()
        .filter(|line| line.starts_with("ADD packs/"))
        .collect();
    let packs = ["common/caches", "civo/caches", "civo/executables"];
    assert_eq!(adds, packs.map(|pack| format!("ADD packs/{pack}.tar /")));

    let image = Tagged::build("merged", &context, &[]);
    let nonroot = Tagged::build("merged-nonroot", &context, &["--target", "nonroot"]);
    hits_everything(&image, &source, &[]);
    let as_a_pod = ["--read-only", "--tmpfs", "/tmp", "--user", "123456:0"];
    hits_everything(&nonroot, &source, &as_a_pod);
    // Owners, modes and times, too.
    let check = image.run(&source, &[], &["verifier", "check"]);
    assert!(check.contains("0 corrupt, 0 not as shipped"), "{check}");
    let user = nonroot.run(&source, &[], &["id", "--user", "--name"]);
    assert_eq!(user.trim(), "runner");

    downstream("app", &image, &source, "/usr/local/bin/myapp");
    downstream("app-nonroot", &nonroot, &source, "/home/runner/myapp");
}

#[test]
fn the_engine_makes_no_difference_to_the_image() {
    let sh = shell();
    if !is_there_or_skipped(cmd!(sh, "docker info")) {
        return;
    }
    let (_folder, root) = folder();
    let source = root.join("source");
    small(&source);
    let (native, in_docker) = (root.join("native"), root.join("docker"));
    succeed(cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {native}"
    ));
    let work = Kept::linked(&FOUNDATION);
    let build = cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {in_docker} --engine docker"
    );
    succeed(build.env("XDG_CACHE_HOME", work.cache_home()));
    for name in ["latest", "latest-civo-nonroot"] {
        let digest = |out: &Utf8Path| Layout::below(out).image(name).digest;
        assert_eq!(digest(&native), digest(&in_docker), "{name}");
    }
    let images = ["latest", "latest-nonroot"].map(|tag| Tagged(format!("iac-runner-base:{tag}")));
    for image in &images {
        hits_everything(image, &source, &[]);
    }
    let images = "{{.Image}}";
    let containers = succeed(cmd!(sh, "docker ps --all --format {images}"));
    assert!(!containers.contains("iac-runner-tree"), "{containers}");
}

#[test]
fn without_a_daemon_the_engine_says_how_to_reach_one() {
    let sh = shell();
    let (_folder, root) = folder();
    let source = root.join("source");
    small(&source);
    let _host = sh.push_env("DOCKER_HOST", format!("unix://{root}/no.sock"));
    let _kept = sh.push_env("XDG_CACHE_HOME", root.join("work"));
    let build = cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {root}/out --engine docker"
    );
    let said = fail(build, 1);
    for sign in ["`docker info`", "DOCKER_HOST"] {
        assert!(said.contains(sign), "{said}");
    }
    assert!(!root.join("out").exists());
}

#[test]
fn a_folder_of_somebody_else_is_no_place_for_a_context() {
    let sh = shell();
    let (_folder, place) = folder();
    write(&place, "Dockerfile", "FROM scratch\n");
    let said = fail(cmd!(sh, "cargo xtask docker-context --out {place}"), 2);
    assert!(said.contains("not a build context of ours"), "{said}");
    let absent = workspace().join("target/end-to-end/no-such-layout");
    let out = place.join("context");
    let said = fail(
        cmd!(
            sh,
            "cargo xtask docker-context --image {absent} --out {out}"
        ),
        2,
    );
    assert!(
        said.contains("cargo xtask base-image") && !out.exists(),
        "{said}"
    );
}
