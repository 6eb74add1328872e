//! Images as people build them with Docker: the image from its parts, and their own on top of it.
//!
//! Needs a Docker daemon, which no test starts; where none runs each test says that it was skipped.

use std::process::Command;

use camino::Utf8Path;
use serde_json::Value;

use crate::image::Layout;
use crate::run::{
    base_image, command, fail, folder, succeed, succeeds_or_skipped, work_without_packs, workspace,
    write, xtask,
};
use crate::sources::{place, small};

fn docker(arguments: &[&str]) -> Command {
    let mut command = command("docker");
    command.args(arguments);
    command
}

/// An image that goes when the test ends.
struct Tagged(String);

impl Tagged {
    /// Builds `context` without network, up to `target`.
    fn build(name: &str, context: &Utf8Path, target: &[&str]) -> Self {
        let name = format!("iac-runner-end-to-end:{name}");
        let fixed = ["build", "--quiet", "--network", "none", "--tag", &name];
        succeed(docker(&fixed).args(target).arg(context));
        Self(name)
    }

    /// Runs `arguments` in a container without network in which `source` is at another path.
    fn run(&self, source: &Utf8Path, flags: &[&str], arguments: &[&str]) -> String {
        let volume = format!("{source}:/elsewhere:ro");
        let fixed = ["run", "--rm", "--network", "none", "--volume", &volume];
        succeed(docker(&fixed).args(flags).arg(&self.0).args(arguments))
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        // What was built on it may be in use still, where a test failed.
        drop(docker(&["rmi", "--force", &self.0]).output());
    }
}

/// Runs the verifier in `image`, where the first build of `civo/one` has to hit everything.
fn hits_everything(image: &Tagged, source: &Utf8Path, flags: &[&str]) {
    let arguments = [
        "verifier",
        "run",
        "--source",
        "/elsewhere",
        "--json",
        "-",
        "--provider",
        "civo",
    ];
    let report = image.run(source, flags, &arguments);
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
    if !succeeds_or_skipped(
        "docker",
        "info",
        "the_image_from_its_parts_is_warm_and_so_is_what_is_built_on_it",
    ) {
        return;
    }
    let (_folder, root) = folder();
    let (source, out, context) = (root.join("source"), root.join("out"), root.join("context"));
    small(&source);
    // Docker 20.10 reads no zstd.
    succeed(&mut base_image(
        &source,
        &out,
        &["--compression", "gzip", "--provider", "civo"],
    ));
    let layout = out.join("oci");
    let take_apart = |tag: &str| {
        let fixed = [
            "docker-context",
            "--image",
            layout.as_str(),
            "--out",
            context.as_str(),
        ];
        xtask(&[&fixed[..], &["--tag", tag]].concat())
    };
    let said = fail(&mut take_apart("latest-civo-nonroot"), 2);
    assert!(said.contains("twin"), "{said}");
    succeed(&mut take_apart("latest-civo"));
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
    if !succeeds_or_skipped(
        "docker",
        "info",
        "the_engine_makes_no_difference_to_the_image",
    ) {
        return;
    }
    let (_folder, root) = folder();
    let source = root.join("source");
    small(&source);
    let (native, in_docker) = (root.join("native"), root.join("docker"));
    succeed(&mut base_image(&source, &native, &[]));
    let work = work_without_packs();
    let mut build = base_image(&source, &in_docker, &["--engine", "docker"]);
    succeed(build.env("XDG_CACHE_HOME", work.path()));
    for name in ["latest", "latest-civo-nonroot"] {
        let digest = |out: &Utf8Path| Layout::below(out).image(name).digest;
        assert_eq!(digest(&native), digest(&in_docker), "{name}");
    }
    let images = ["latest", "latest-nonroot"].map(|tag| Tagged(format!("iac-runner-base:{tag}")));
    for image in &images {
        hits_everything(image, &source, &[]);
    }
    let containers = succeed(&mut docker(&["ps", "--all", "--format", "{{.Image}}"]));
    assert!(!containers.contains("iac-runner-tree"), "{containers}");
}

#[test]
fn without_a_daemon_the_engine_says_how_to_reach_one() {
    let (_folder, root) = folder();
    let source = root.join("source");
    small(&source);
    let mut build = base_image(&source, &root.join("out"), &["--engine", "docker"]);
    build.env("DOCKER_HOST", format!("unix://{root}/no.sock"));
    build.env("XDG_CACHE_HOME", root.join("work"));
    let said = fail(&mut build, 1);
    assert!(
        said.contains("`docker info`") && said.contains("DOCKER_HOST"),
        "{said}"
    );
    assert!(!root.join("out").exists());
}

#[test]
fn a_folder_of_somebody_else_is_no_place_for_a_context() {
    let (_folder, place) = folder();
    write(&place, "Dockerfile", "FROM scratch\n");
    let said = fail(&mut xtask(&["docker-context", "--out", place.as_str()]), 2);
    assert!(said.contains("not a build context of ours"), "{said}");
    let absent = workspace().join("target/end-to-end/no-such-layout");
    let flags = ["docker-context", "--image", absent.as_str(), "--out"];
    let out = place.join("context");
    let said = fail(xtask(&flags).arg(&out), 2);
    assert!(
        said.contains("cargo xtask base-image") && !out.exists(),
        "{said}"
    );
}
