//! Go modules that nothing loads: one go.mod, or one go.work, for two providers of which each needs what the other one
//! does not, and what neither does.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use super::{apart_from_others, pack, place, program};
use crate::bad_input::image;
use crate::support::image::Layout;
use crate::support::run::{fail, folder, succeed, succeed_with_both, write};

const ERRWRAP: &str = "github.com/hashicorp/errwrap";
const UUID: &str = "github.com/google/uuid";
const SPEW: &str = "github.com/davecgh/go-spew";
const DIFFLIB: &str = "github.com/pmezard/go-difflib";
/// The go command looks into the first for packages of the second.
const SEMVER: [&str; 2] = ["github.com/blang/semver", "github.com/blang/semver/v4"];

const REQUIRED: &str = "require (
\tgithub.com/blang/semver v3.5.1+incompatible
\tgithub.com/blang/semver/v4 v4.0.0
\tgithub.com/davecgh/go-spew v1.1.1
\tgithub.com/google/uuid v1.6.0
\tgithub.com/hashicorp/errwrap v1.1.0
\tgithub.com/pmezard/go-difflib v1.0.0
)
";

/// A program that imports `imports`.
fn program_of(imports: &[&str]) -> String {
    let imports = imports
        .iter()
        .map(|import| format!("import _ \"{import}\"\n"));
    format!(
        "package main\n\n{}\nfunc main() {{}}\n",
        imports.collect::<String>()
    )
}

/// `aws` and `civo` share one Go module, each loads one or two more, `civo` one of them in a test alone, and nobody
/// loads the rest.
fn programs(source: &Utf8Path) {
    let at = |provider: &str, file: &str| format!("{}/{file}", place(provider, "one"));
    write(source, &at("aws", "main.go"), &program_of(&[ERRWRAP, UUID]));
    write(
        source,
        &at("civo", "main.go"),
        &program_of(&[ERRWRAP, SEMVER[1]]),
    );
    let test = format!("package main\n\nimport _ \"{SPEW}/spew\"\n");
    write(source, &at("civo", "main_test.go"), &test);
}

/// One go.mod for both.
fn one_go_mod(source: &Utf8Path, sh: &Shell) {
    programs(source);
    let go_mod = format!("module example.com/shared\n\ngo 1.25\n\n{REQUIRED}");
    write(source, "go.mod", &go_mod);
    sums(sh, source);
}

/// Has the go command write go.sum.
fn sums(sh: &Shell, folder: &Utf8Path) {
    let download = cmd!(sh, "go -C {folder} mod download all");
    let (_cache, cache) = crate::support::run::folder();
    let download = download.env("GOFLAGS", "-modcacherw");
    succeed(download.env("GOMODCACHE", cache));
}

/// The image of a source, in a layout.
struct Built<'a> {
    sh: &'a Shell,
    source: &'a Utf8Path,
    layout: Utf8PathBuf,
    summary: Value,
}

impl<'a> Built<'a> {
    fn of(sh: &'a Shell, source: &'a Utf8Path, out: &Utf8Path, flags: &[&str]) -> Self {
        let command = cmd!(
            sh,
            "cargo xtask base-image --source {source} --out {out} --json {flags...}"
        );
        let summary: Value = serde_json::from_str(&succeed(command)).unwrap();
        let layout = out.join("oci");
        let built = Self {
            sh,
            source,
            layout,
            summary,
        };
        Layout::at(&built.layout).check_blobs();
        built
    }

    fn packs(&self) -> Vec<&str> {
        let packs = self.summary["packs"].as_array().unwrap().iter();
        packs.map(|pack| pack["name"].as_str().unwrap()).collect()
    }

    /// The verifier in the variant `tag`.
    fn verifier(&self, tag: &str, arguments: &[&str]) -> xshell::Cmd<'a> {
        let (source, layout) = (self.source, &self.layout);
        cmd!(
            self.sh,
            "cargo xtask verify --source {source} --image {layout}:{tag} -- {arguments...}"
        )
    }

    /// Paths of Go modules that `tag` has no packages of.
    fn without_packages(&self, tag: &str) -> Vec<String> {
        let printed = succeed(self.verifier(tag, &["info", "--json"]));
        let info: Value = serde_json::from_str(&printed).unwrap();
        let modules = info["without_packages"].as_array().unwrap().iter();
        let path = |module: &Value| module["path"].as_str().unwrap().to_owned();
        modules.map(path).collect()
    }

    /// First builds and the check in the variant `tag`: everything hits, and nothing is damaged.
    fn is_sound(&self, tag: &str, modules: usize) {
        let printed = succeed(self.verifier(tag, &["run", "--min-hit-rate", "1", "--json", "-"]));
        let report: Value = serde_json::from_str(&printed).unwrap();
        let measured = report["modules"].as_array().unwrap();
        assert_eq!(measured.len(), modules, "{tag}");
        for module in measured {
            let first = &module["phases"]["first"];
            assert_eq!(first["links"], json!({"hits": 1, "total": 1}), "{module}");
            assert_eq!(first["compiled"], json!([]), "{module}");
            assert_eq!(first["network_attempts"], 0, "{module}");
        }
        let checked = succeed(self.verifier(tag, &["check", "--source", "."]));
        assert!(checked.contains("0 corrupt, 0 not as shipped"), "{checked}");
    }

    /// Files of the module cache in the variant `tag`, relative to it.
    fn go_mod_files(&self, tag: &str) -> Vec<String> {
        let image = Layout::at(&self.layout).image(tag);
        let mut files = Vec::new();
        for layer in image.manifest["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap().replace(':', "/");
            let blob = self.layout.join("blobs").join(digest);
            let list = format!("zstd -dcq {blob} | tar --list --warning=no-timestamp");
            let listed = succeed(cmd!(self.sh, "sh -c {list}"));
            let of_cache = listed
                .lines()
                .filter_map(|it| it.strip_prefix("var/cache/go-mod/"));
            files.extend(of_cache.map(str::to_owned));
        }
        files
    }
}

#[test]
fn a_provider_has_the_packages_of_what_it_loads_and_the_whole_image_has_all() {
    let (_kept, sh) = apart_from_others();
    let ((_folder, source), (_other, out)) = (folder(), folder());
    one_go_mod(&source, &sh);
    let built = Built::of(&sh, &source, &out.join("out"), &[]);
    assert_eq!(built.packs(), ["common", "aws", "civo", "rest"]);
    for (tag, modules, without) in [
        ("latest", 2, vec![]),
        ("latest-aws", 1, vec![SEMVER[0], SEMVER[1], SPEW, DIFFLIB]),
        ("latest-civo", 1, vec![SEMVER[0], UUID, DIFFLIB]),
    ] {
        built.is_sound(tag, modules);
        assert_eq!(built.without_packages(tag), without, "{tag}");
    }

    let files = built.go_mod_files("latest-civo");
    let has = |path: &str| files.iter().any(|file| file == path);
    for there in [
        "github.com/google/uuid@v1.6.0/go.mod",
        "github.com/google/uuid@v1.6.0/LICENSE",
        "github.com/pmezard/go-difflib@v1.0.0/LICENSE",
        "cache/download/github.com/google/uuid/@v/v1.6.0.info",
        "cache/download/github.com/google/uuid/@v/v1.6.0.mod",
        "cache/download/github.com/google/uuid/@v/v1.6.0.ziphash",
        "github.com/davecgh/go-spew@v1.1.1/spew/dump.go",
    ] {
        assert!(has(there), "{there} is not in {files:#?}");
    }
    let uuid = files
        .iter()
        .filter(|file| file.starts_with("github.com/google/uuid@"));
    let files_of_uuid = uuid.filter(|file| !file.ends_with('/')).count();
    assert_eq!(files_of_uuid, 2, "{files:#?}");

    // One is not in the index of packages, which the go command keeps, and one is.
    let edited = place("civo", "one") + "/main.go";
    for absent in [UUID, SEMVER[0]] {
        write(&source, &edited, &program_of(&[ERRWRAP, SEMVER[1], absent]));
        let explain = ["explain", "civo/one", "--json"];
        let refused = built.verifier("latest-civo", &explain).ignore_status();
        let explained: Value = serde_json::from_str(&refused.read().unwrap()).unwrap();
        assert_eq!(explained["absent"][0]["package"], absent, "{explained:#}");
        let headline = explained["headline"].as_str().unwrap();
        assert!(
            headline.starts_with(&format!("{absent} is a package of")),
            "{headline}"
        );
        let said = built.verifier("latest-civo", &explain[..2]).ignore_status();
        assert!(said.read().unwrap().contains("the whole image has them"));
        fail_in_variant(&built);

        let whole = succeed(built.verifier("latest", &explain));
        let whole: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(whole["absent"], json!([]), "{whole:#}");
        assert_eq!(whole["messages"], json!([]), "{whole:#}");
    }
}

/// What misses by its own fault exits with 3.
fn fail_in_variant(built: &Built<'_>) {
    fail(built.verifier("latest-civo", &["explain", "civo/one"]), 3);
}

#[test]
fn one_provider_alone_is_the_same_and_needs_no_other() {
    let (kept, sh) = apart_from_others();
    let ((_folder, source), (_other, out)) = (folder(), folder());
    one_go_mod(&source, &sh);
    let alone = Built::of(&sh, &source, &out.join("alone"), &["--provider", "civo"]);
    assert_eq!(alone.packs(), ["common", "civo", "rest"]);
    assert_eq!(alone.without_packages("latest"), [UUID]);
    let before = kept.made();
    let both = Built::of(&sh, &source, &out.join("both"), &[]);
    // Of packs, that of the other provider alone was made.
    assert_eq!(kept.made_since(&before, "pack"), 1);
    assert_eq!(kept.made_since(&before, "common"), 0);
    let variant = |built: &Built<'_>| Layout::at(&built.layout).image("latest-civo").digest;
    assert_eq!(variant(&alone), variant(&both));
    // As jobs on other machines, whose packs fit.
    let packs = out.join("packs");
    fs_err::create_dir_all(&packs).unwrap();
    let warm = |names: &[&str]| {
        let providers = names.iter().flat_map(|name| ["--provider", *name]);
        let archive = packs.join(format!("{}.tar", names[0]));
        let warm = cmd!(sh, "cargo xtask warm --source {source} --out {archive}");
        succeed(warm.args(providers));
    };
    for names in [&["base", "tools", "common"][..], &["civo"], &["aws"]] {
        warm(names);
    }
    let assembled = out.join("assembled");
    let assemble = || cmd!(sh, "cargo xtask assemble --from {packs} --out {assembled}");
    let said = fail(assemble(), 2);
    assert!(said.contains("the pack rest is missing"), "{said}");
    warm(&["rest"]);
    succeed(assemble());
    for tag in ["latest", "latest-civo"] {
        let digest = |layout: &Utf8Path| Layout::at(layout).image(tag).digest;
        assert_eq!(digest(&assembled), digest(&both.layout), "{tag}");
    }
    let merged = out.join("merged");
    let merge = |names: &[&str]| {
        let archives = names.iter().map(|name| packs.join(format!("{name}.tar")));
        succeed_with_both(cmd!(sh, "cargo xtask merge --out {merged}").args(archives)).1
    };
    let warning = "warning: rest is not among the packs";
    assert!(merge(&["base"]).contains(warning));
    let said = merge(&["base", "civo", "aws", "rest"]);
    assert!(!said.contains("warning: "), "{said}");
    for file in [
        "google/uuid@v1.6.0/uuid.go",
        "blang/semver@v3.5.1+incompatible/semver.go",
    ] {
        assert!(
            merged.join("go-mod/github.com").join(file).is_file(),
            "{file}"
        );
    }
}

#[test]
fn what_is_not_loaded_can_be_kept() {
    let (_kept, sh) = apart_from_others();
    let ((_folder, source), (_root, root)) = (folder(), folder());
    one_go_mod(&source, &sh);
    let described = image(&root, "unloaded = \"rest\"", "unloaded = \"keep\"");
    let warm = cmd!(sh, "cargo xtask warm --source {source} --image {described}");
    let warm = warm.args(["--provider=common", "--provider=rest", "--json"]);
    let (printed, said) = succeed_with_both(warm.arg(format!("--out={root}/pack")));
    let warmed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(warmed["packs"].as_array().unwrap().len(), 1, "{warmed}");
    assert!(said.contains("there is no pack rest"), "{said}");
    let packs = Layout::at(&root.join("pack")).packs();
    let held = packs[0].config["pack"]["go_modules"].as_array().unwrap();
    assert_eq!(held.len(), 6, "{held:?}");
}

#[test]
fn one_go_work_of_two_providers_is_like_one_go_mod() {
    let (_kept, sh) = apart_from_others();
    let ((_folder, source), (_other, out)) = (folder(), folder());
    programs(&source);
    let folders = ["aws", "civo"].map(|provider| place(provider, "one"));
    for folder in &folders {
        let go_mod = format!("module example.com/{folder}\n\ngo 1.25\n\n{REQUIRED}");
        write(&source, &format!("{folder}/go.mod"), &go_mod);
        sums(&sh, &source.join(folder));
    }
    let uses = folders.map(|folder| format!("use ./{folder}\n"));
    write(&source, "go.work", &format!("go 1.25\n\n{}", uses.concat()));
    let built = Built::of(&sh, &source, &out.join("out"), &[]);
    assert_eq!(built.packs(), ["common", "aws", "civo", "rest"]);
    for (tag, without) in [
        ("latest-aws", vec![SEMVER[0], SEMVER[1], SPEW, DIFFLIB]),
        ("latest-civo", vec![SEMVER[0], UUID, DIFFLIB]),
    ] {
        built.is_sound(tag, 1);
        assert_eq!(built.without_packages(tag), without, "{tag}");
    }
}

#[test]
fn what_is_vendored_is_loaded_by_whoever_imports_it() {
    let (_kept, sh) = apart_from_others();
    let ((_folder, source), (_other, out)) = (folder(), folder());
    let at = |provider: &str| format!("{}/main.go", place(provider, "one"));
    write(&source, &at("aws"), &program(UUID));
    write(&source, &at("civo"), &program(ERRWRAP));
    let go_mod = "module example.com/vendored\n\ngo 1.25\n\nrequire (\n\tgithub.com/google/uuid v1.6.0\n\t\
                  github.com/hashicorp/errwrap v1.1.0\n)\n";
    write(&source, "go.mod", go_mod);
    sums(&sh, &source);
    let (_cache, cache) = folder();
    let vendor = cmd!(sh, "go -C {source} mod vendor").env("GOFLAGS", "-modcacherw");
    succeed(vendor.env("GOMODCACHE", cache));
    let built = Built::of(&sh, &source, &out.join("out"), &[]);
    assert_eq!(built.packs(), ["common", "aws", "civo"]);
    built.is_sound("latest-civo", 1);
    assert_eq!(built.without_packages("latest-civo"), [UUID]);
    assert_eq!(pack(&built.summary, "aws")["modules"], 1);
}
