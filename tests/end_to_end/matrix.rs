//! Packs that are made apart, travel as archives or through a registry, and become the image that `base-image` makes.

use camino::Utf8PathBuf;
use daemon::registry::Access;
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::sources::{place, program, small};
use crate::support::description;
use crate::support::image::Layout;
use crate::support::registry::Registry;
use crate::support::run::{fail, folder, shell, succeed, succeed_with_both, write};
use crate::support::shown::{shown, shown_json};

/// A source, and what jobs work in.
struct Jobs {
    sh: Shell,
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
            sh: shell(),
            source,
            root,
            _guard: guard,
        }
    }

    fn warm(&self, providers: &[&str], flags: &[&str]) -> Cmd<'_> {
        let source = &self.source;
        let providers = providers.iter().flat_map(|name| ["--provider", name]);
        cmd!(
            self.sh,
            "cargo xtask warm --source {source} {providers...} {flags...}"
        )
    }

    /// The description of the image, with volumes.
    fn image(&self) -> Utf8PathBuf {
        description::with_volumes(&self.root)
    }

    /// Digests of the images that `base-image` makes, volumes among them, by name.
    fn expected(&self) -> Vec<(String, String)> {
        let (source, out, image) = (&self.source, self.root.join("expected"), self.image());
        succeed(cmd!(
            self.sh,
            "cargo xtask base-image --source {source} --out {out} --image {image}"
        ));
        let layout = Layout::below(&out);
        let named = |name: &String| (name.clone(), layout.image(name).digest);
        let mut digests: Vec<_> = layout.names().iter().map(named).collect();
        digests.sort();
        digests
    }

    /// Verifies `image`, where every first build has to hit everything; how many modules it has.
    fn first_builds(&self, image: &str) -> usize {
        let source = &self.source;
        let verify = cmd!(
            self.sh,
            "cargo xtask verify --source {source} --image {image} --json -"
        );
        let report: Value = serde_json::from_str(&succeed(verify)).unwrap();
        let modules = report["modules"].as_array().unwrap();
        for module in modules {
            let first = &module["phases"]["first"];
            assert_eq!(first["packages"]["hits"], first["packages"]["total"]);
            assert_eq!(first["links"]["hits"], 1);
        }
        modules.len()
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
    let sh = &jobs.sh;
    let expected = jobs.expected();
    let (packs, out) = (jobs.root.join("packs"), jobs.root.join("oci"));
    fs_err::create_dir(&packs).unwrap();
    succeed(jobs.warm(&["base", "tools", "common"], &["--push", packs.as_str()]));
    for provider in ["aws", "civo"] {
        let flags = [
            "--part",
            "1/1",
            "--from",
            packs.as_str(),
            "--push",
            packs.as_str(),
        ];
        succeed(jobs.warm(&[provider], &flags));
    }
    let image = jobs.image();
    let assembled = succeed(cmd!(
        sh,
        "cargo xtask assemble --from {packs} --out {out} --image {image} --json"
    ));
    assert_eq!(digests(&assembled, "latest"), expected);

    let pack = |name: &str| packs.join(format!("{name}.tar"));
    let merged = jobs.root.join("merged");
    let merge = || {
        let archives = ["common", "civo", "aws"].map(pack);
        cmd!(sh, "cargo xtask merge --out {merged} {archives...}")
    };
    assert!(succeed(merge()).contains("are complete"));
    assert!(succeed(merge()).contains("nothing to do"));
    let merged_files = cmd!(sh, "find {merged} -mindepth 1 -maxdepth 1 -printf %f\n");
    let mut merged_files: Vec<String> = succeed(merged_files).lines().map(str::to_owned).collect();
    merged_files.sort();
    let expected = [".iac-runner-merge.json", "go-build", "go-mod", "toolexec"];
    assert_eq!(merged_files, expected);
    // Archives are whole: there is object code in each.
    let archives = format!(
        "grep -rl '^!<arch>' {merged}/go-build | tee {merged}.all | xargs grep -L '_go_.o' | wc -l"
    );
    assert_eq!(succeed(cmd!(sh, "sh -euc {archives}")).trim(), "0");
    let count = succeed(cmd!(sh, "wc -l {merged}.all"));
    assert!(
        count.split(' ').next().unwrap().parse::<u32>().unwrap() > 100,
        "{count}"
    );

    // What is missing, given twice, or no pack, is refused by name.
    let out = jobs.root.join("refused");
    let refuses = |names: &[&str], code: i32, sign: &str| {
        let archives = names.iter().map(|name| pack(name));
        let said = fail(
            cmd!(sh, "cargo xtask assemble --out {out} {archives...}"),
            code,
        );
        assert!(said.contains(sign), "{said}");
        assert!(!out.exists());
    };
    refuses(&["base", "tools", "aws"], 2, "the pack common is missing");
    let twice = ["base", "tools", "common", "aws", "aws"];
    refuses(&twice, 2, "the pack aws was given twice");
    let half = &fs_err::read(pack("aws")).unwrap()[..4096];
    fs_err::write(pack("half"), half).unwrap();
    refuses(&["base", "tools", "common", "half"], 4, "half.tar");
}

#[test]
fn through_a_registry_only_manifests_move() {
    let jobs = Jobs::new();
    let sh = &jobs.sh;
    let expected = jobs.expected();
    let registry = Registry::start(Access::Open);
    let packs = format!("{}/iac/packs", registry.host);
    let through = ["--from", &packs, "--push", &packs, "--run", "7", "--json"];
    succeed(jobs.warm(&["base", "tools", "common"], &through));

    // On another machine nothing is made that is there.
    let elsewhere = jobs.root.join("elsewhere");
    let provider = |name: &str| {
        let warm = jobs.warm(&[name], &through);
        succeed_with_both(warm.env("XDG_CACHE_HOME", &elsewhere)).1
    };
    let said = provider("civo");
    assert!(
        said.contains("base: taken from") && said.contains("common: taken from"),
        "{said}"
    );
    assert!(!said.contains("civo: taken from"), "{said}");
    succeed(jobs.warm(&["aws"], &through));
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
    let assemble = || cmd!(sh, "cargo xtask assemble --from {packs} --push {candidate}");
    let assembled = succeed(assemble().args(["--run", "7", "--json"]));
    let is_volume = |(name, _): &&(String, String)| name.ends_with("-volume");
    let others: Vec<_> = expected
        .iter()
        .filter(|it| !is_volume(it))
        .cloned()
        .collect();
    assert_eq!(digests(&assembled, "candidate-7"), others);
    let assembled: Value = serde_json::from_str(&assembled).unwrap();
    // Manifests, and what is said of images; the layers of one have more than a hundred megabytes.
    assert!(
        assembled["moved_bytes"].as_u64().unwrap() < 20_000_000,
        "{assembled}"
    );
    // On a machine that has nothing, what volumes are made of comes from the registry, and goes back anew.
    let (description, candidate) = (jobs.image(), format!("{image}:candidate-8"));
    let volumes = cmd!(
        sh,
        "cargo xtask assemble --from {packs} --run 7 --push {candidate} --image {description} --json"
    );
    let assembled = succeed(volumes.env("XDG_CACHE_HOME", jobs.root.join("third")));
    assert_eq!(digests(&assembled, "candidate-8"), expected);

    let candidate = format!("{image}:candidate-7");
    let release = |version: &str| {
        succeed(cmd!(
            sh,
            "cargo xtask push {candidate} {image}:{version} --latest"
        ))
    };
    let latest = format!("{image}:latest ");
    assert!(release("v1.1.0").contains(&latest));
    // Twice is as good as once; a lower version and a pre-release leave `latest` where it is.
    assert!(release("v1.1.0").contains(&latest));
    for version in ["v1.0.9", "v2.0.0-rc.1"] {
        assert!(!release(version).contains(&latest), "{version}");
    }
    assert_eq!(jobs.first_builds(&format!("{image}:v1.1.0-civo")), 1);
    let program = format!("{image}:v1.1.0-program-civo-one-linux-amd64");
    let place = jobs.root.join("program");
    let fetch = |reference: &str| cmd!(sh, "cargo xtask fetch-program {reference} {place}");
    succeed(fetch(&program));
    assert!(place.join("one").is_file() && place.join("Pulumi.yaml").is_file());
    let refused = fail(
        fetch(&format!("{image}:v1.1.0-program-civo-two-linux-amd64")),
        2,
    );
    assert!(
        refused.contains("v1.1.0-program-civo-one-linux-amd64"),
        "{refused}"
    );

    let refused = fail(assemble(), 2);
    assert!(refused.contains("--run"), "{refused}");
    let refused = fail(
        cmd!(sh, "cargo xtask push {image}:absent {image}:v3.0.0"),
        2,
    );
    assert!(refused.contains("no tag absent"), "{refused}");
}

#[test]
fn the_parts_of_a_provider_come_together() {
    let jobs = Jobs::new();
    let sh = &jobs.sh;
    // One that is called as the other is, so that only all of them tell what their programs are called in the image.
    let second = "apis/second/provider/aws/one/v1/iac/pulumi/main.go";
    let main = program("example.com/small/pkg/shared");
    write(&jobs.source, second, &main);
    let (packs, layout) = (jobs.root.join("packs"), jobs.root.join("oci"));
    fs_err::create_dir(&packs).unwrap();
    let push = ["--push", packs.as_str()];
    succeed(jobs.warm(&["base", "tools", "common"], &push));
    let from = ["--from", packs.as_str(), "--push", packs.as_str()];
    let part = |part: &str| jobs.warm(&["aws"], &from).args(["--part", part]);
    succeed(part("1/2"));
    succeed(part("2/2"));
    let refused = fail(part("1/3"), 2);
    assert!(
        refused.contains("cannot be divided into 3 parts"),
        "{refused}"
    );

    let assemble = |parts: &[&str]| {
        let names = [&["base", "tools", "common"], parts].concat();
        let archives = names.iter().map(|name| packs.join(format!("{name}.tar")));
        cmd!(sh, "cargo xtask assemble --out {layout} {archives...}")
    };
    let refused = fail(assemble(&["aws.2of2"]), 2);
    assert!(refused.contains("there are the parts 2/2"), "{refused}");
    assert!(!layout.exists());
    succeed(assemble(&["aws.1of2", "aws.2of2"]));
    assert_eq!(
        jobs.first_builds(&format!("{layout}:latest-aws-nonroot")),
        2
    );
}

/// What a workflow reads of a source, and what a person does.
#[test]
fn the_matrix_and_the_list_of_modules_are_as_they_were() {
    let jobs = Jobs::new();
    let (sh, source) = (&jobs.sh, &jobs.source);
    write(
        source,
        &format!("{}/main.go", place("aws", "two")),
        &program("fmt"),
    );
    let matrix = succeed(cmd!(sh, "cargo xtask matrix --source {source}"));
    shown_json("matrix", &serde_json::from_str(&matrix).unwrap());
    let modules = succeed(cmd!(sh, "cargo xtask discover --source {source} --json"));
    shown("discover_json", &modules);
    shown(
        "discover",
        &succeed(cmd!(sh, "cargo xtask discover --source {source}")),
    );
}
