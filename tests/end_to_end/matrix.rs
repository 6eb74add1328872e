//! Packs that are made apart, travel as archives or through a registry, and become the image that `base-image` makes.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::image::Layout;
use crate::registry::Registry;
use crate::run::{base_image, fail, folder, succeed, write, xtask};
use crate::sources::{place, program, small};

/// A source, and what jobs work in.
struct Jobs {
    source: Utf8PathBuf,
    root: Utf8PathBuf,
    _guard: tempfile::TempDir,
}

impl Jobs {
    fn new() -> Self {
        let (guard, root) = folder();
        let source = root.join("source");
        small(&source);
        Self {
            source,
            root,
            _guard: guard,
        }
    }

    fn warm(&self, providers: &[&str], flags: &[&str]) -> Command {
        let mut command = xtask(&["warm", "--source", self.source.as_str()]);
        for provider in providers {
            command.args(["--provider", provider]);
        }
        command.args(flags);
        command
    }

    /// Digests of the images that `base-image` makes, by name.
    fn expected(&self) -> Vec<(String, String)> {
        let out = self.root.join("expected");
        succeed(&mut base_image(&self.source, &out, &[]));
        let layout = Layout::below(&out);
        let names = layout.names();
        names
            .into_iter()
            .map(|name| (name.clone(), layout.image(&name).digest))
            .collect()
    }
}

/// What was assembled, by name, where the whole image is called `whole`.
fn digests(assembled: &str, whole: &str) -> Vec<(String, String)> {
    let assembled: Value = serde_json::from_str(assembled).unwrap();
    let variants = assembled["variants"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut digests: Vec<_> = variants
        .map(|it| {
            (
                text(&it["name"]).replacen(whole, "latest", 1),
                text(&it["digest"]),
            )
        })
        .collect();
    digests.sort();
    digests
}

#[test]
fn packs_travel_as_archives_to_the_same_image() {
    let jobs = Jobs::new();
    let mut expected = jobs.expected();
    expected.sort();
    let packs = jobs.root.join("packs");
    fs_err::create_dir(&packs).unwrap();
    succeed(&mut jobs.warm(&["base", "tools", "common"], &["--push", packs.as_str()]));
    for provider in ["aws", "civo"] {
        let flags = [
            "--part",
            "1/1",
            "--from",
            packs.as_str(),
            "--push",
            packs.as_str(),
        ];
        succeed(&mut jobs.warm(&[provider], &flags));
    }
    let out = jobs.root.join("oci");
    let assembled = succeed(&mut xtask(&[
        "assemble",
        "--from",
        packs.as_str(),
        "--out",
        out.as_str(),
        "--json",
    ]));
    assert_eq!(digests(&assembled, "latest"), expected);

    let merged = jobs.root.join("merged");
    let archives: Vec<String> = ["common", "civo", "aws"]
        .map(|name| packs.join(format!("{name}.tar")).into_string())
        .into();
    let merge = || {
        let mut command = xtask(&["merge", "--out", merged.as_str()]);
        command.args(&archives);
        command
    };
    assert!(succeed(&mut merge()).contains("are complete"));
    assert!(succeed(&mut merge()).contains("nothing to do"));
    for cache in ["go-mod", "go-build"] {
        assert!(merged.join(cache).is_dir());
    }

    // What is missing, given twice, or no pack, is refused by name.
    let assemble = |packs: &[&Utf8Path]| {
        let mut command = xtask(&["assemble", "--out"]);
        command.arg(jobs.root.join("refused")).args(packs);
        command
    };
    let pack = |name: &str| packs.join(format!("{name}.tar"));
    let [base, tools, common, aws] = ["base", "tools", "common", "aws"].map(pack);
    let refused = fail(&mut assemble(&[&base, &tools, &aws]), 2);
    assert!(refused.contains("the pack common is missing"), "{refused}");
    let refused = fail(&mut assemble(&[&base, &tools, &common, &aws, &aws]), 2);
    assert!(
        refused.contains("the pack aws was given twice"),
        "{refused}"
    );
    let half = packs.join("half.tar");
    fs_err::write(&half, &fs_err::read(&aws).unwrap()[..4096]).unwrap();
    let refused = fail(&mut assemble(&[&base, &tools, &common, &half]), 4);
    assert!(refused.contains("half.tar"), "{refused}");
    assert!(!jobs.root.join("refused").exists());
}

#[test]
fn through_a_registry_only_manifests_move() {
    let jobs = Jobs::new();
    let mut expected = jobs.expected();
    expected.sort();
    let registry = Registry::start(false);
    let packs = format!("{}/iac/packs", registry.host);
    let through = ["--from", &packs, "--push", &packs, "--run", "7", "--json"];
    succeed(&mut jobs.warm(&["base", "tools", "common"], &through));

    // On another machine nothing is made that is there.
    let elsewhere = jobs.root.join("elsewhere");
    let provider = |name: &str| {
        let mut command = jobs.warm(&[name], &through);
        command.env("XDG_CACHE_HOME", &elsewhere);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        said
    };
    let said = provider("civo");
    assert!(
        said.contains("base: taken from") && said.contains("common: taken from"),
        "{said}"
    );
    assert!(!said.contains("civo: taken from"), "{said}");
    succeed(&mut jobs.warm(&["aws"], &through));
    fs_err::remove_dir_all(elsewhere.join("iac-runner/pack")).unwrap();
    assert!(provider("civo").contains("civo: taken from"));
    // A change of its source makes it anew.
    let file = format!("{}/main.go", place("aws", "one"));
    let text = fs_err::read_to_string(jobs.source.join(&file)).unwrap();
    write(&jobs.source, &file, &format!("{text}\nconst changed = 1\n"));
    assert!(!provider("aws").contains("aws: taken from"));
    write(&jobs.source, &file, &text);
    assert!(provider("aws").contains("aws: taken from"));

    let image = format!("{}/iac/image", registry.host);
    let candidate = format!("{image}:candidate-7");
    let assembled = succeed(&mut xtask(&[
        "assemble", "--from", &packs, "--run", "7", "--push", &candidate, "--json",
    ]));
    assert_eq!(digests(&assembled, "candidate-7"), expected);
    let assembled: Value = serde_json::from_str(&assembled).unwrap();
    assert!(
        assembled["moved_bytes"].as_u64().unwrap() < 1_000_000,
        "{assembled}"
    );

    let release = |version: &str| {
        let to = format!("{image}:{version}");
        succeed(&mut xtask(&["push", &candidate, &to, "--latest"]))
    };
    let latest = format!("{image}:latest ");
    assert!(release("v1.1.0").contains(&latest));
    // Twice is as good as once; a lower version and a pre-release leave `latest` where it is.
    assert!(release("v1.1.0").contains(&latest));
    for version in ["v1.0.9", "v2.0.0-rc.1"] {
        assert!(!release(version).contains(&latest), "{version}");
    }
    let report = succeed(&mut xtask(&[
        "verify",
        "--source",
        jobs.source.as_str(),
        "--image",
        &format!("{image}:v1.1.0-civo"),
        "--json",
        "-",
    ]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let first = &report["modules"][0]["phases"]["first"];
    assert_eq!(first["packages"]["hits"], first["packages"]["total"]);
    assert_eq!(first["links"]["hits"], 1);

    let refused = fail(
        &mut xtask(&["assemble", "--from", &packs, "--push", &candidate]),
        2,
    );
    assert!(refused.contains("--run"), "{refused}");
    let absent = format!("{image}:absent");
    let refused = fail(
        &mut xtask(&["push", &absent, &format!("{image}:v3.0.0")]),
        2,
    );
    assert!(refused.contains("no tag absent"), "{refused}");
}

#[test]
fn the_parts_of_a_provider_come_together() {
    let jobs = Jobs::new();
    let second = format!("{}/main.go", place("aws", "two"));
    write(
        &jobs.source,
        &second,
        &program("example.com/small/pkg/shared"),
    );
    let packs = jobs.root.join("packs");
    fs_err::create_dir(&packs).unwrap();
    let push = ["--push", packs.as_str()];
    succeed(&mut jobs.warm(&["base", "tools", "common"], &push));
    let from = ["--from", packs.as_str(), "--push", packs.as_str()];
    for part in ["1/2", "2/2"] {
        succeed(jobs.warm(&["aws"], &from).args(["--part", part]));
    }
    let refused = fail(jobs.warm(&["aws"], &from).args(["--part", "1/3"]), 2);
    assert!(
        refused.contains("cannot be divided into 3 parts"),
        "{refused}"
    );

    let layout = jobs.root.join("oci");
    let assemble = |names: &[&str], code: i32| {
        let mut command = xtask(&["assemble", "--out", layout.as_str()]);
        command.args(names.iter().map(|name| packs.join(format!("{name}.tar"))));
        if code == 0 {
            succeed(&mut command)
        } else {
            fail(&mut command, code)
        }
    };
    let shared = ["base", "tools", "common"];
    let refused = assemble(&[&shared[..], &["aws.2of2"]].concat(), 2);
    assert!(refused.contains("there are the parts 2/2"), "{refused}");
    assert!(!layout.exists());
    assemble(&[&shared[..], &["aws.1of2", "aws.2of2"]].concat(), 0);
    let image = format!("{layout}:latest-aws-nonroot");
    let mut verify = xtask(&[
        "verify",
        "--source",
        jobs.source.as_str(),
        "--image",
        &image,
    ]);
    let report = succeed(verify.args(["--json", "-"]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let modules = report["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 2);
    for module in modules {
        let first = &module["phases"]["first"];
        assert_eq!(first["packages"]["hits"], first["packages"]["total"]);
        assert_eq!(first["links"]["hits"], 1);
    }
}
