//! Sources of every shape: one go.mod for all, one for each provider, one for each module, a go.work on top. Their
//! modules import the standard library and one small Go module, so that the shapes are what is tested.

mod layouts;
mod private;
mod unloaded;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::support::kept::{FOUNDATION, Kept, Results};
use crate::support::run::{folder, shell, succeed, succeed_with_both, write};
use crate::verify::Built;

/// A module's folder.
pub fn place(provider: &str, component: &str) -> String {
    format!("apis/provider/{provider}/{component}/v1/iac/pulumi")
}

/// A program that imports `import`.
pub fn program(import: &str) -> String {
    format!("package main\n\nimport _ \"{import}\"\n\nfunc main() {{}}\n")
}

/// A source with one go.mod for two providers.
pub fn small(root: &Utf8Path) {
    write(root, "go.mod", "module example.com/small\n\ngo 1.25\n");
    write(root, "pkg/shared/shared.go", "package shared\n");
    for provider in ["aws", "civo"] {
        write(
            root,
            &format!("{}/main.go", place(provider, "one")),
            &program("example.com/small/pkg/shared"),
        );
    }
}

/// Builds the image of `source` and makes sure that every first build takes everything from the cache.
fn hits_everything(sh: &Shell, source: &Utf8Path, modules: usize) -> Value {
    let (_folder, out) = folder();
    let build = cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {out}/out --json"
    );
    let summary: Value = serde_json::from_str(&succeed(build)).unwrap();
    let total = &summary["total"];
    assert_eq!(total["links"]["total"].as_u64(), Some(modules as u64));
    for what in ["packages", "links"] {
        assert_eq!(
            total[what]["hits"], total[what]["total"],
            "{what} of {source}"
        );
    }
    summary
}

/// A shell whose commands have kept work of their own, in which is all that no source has a part in: what is made there
/// waits for nobody.
fn apart_from_others() -> (Kept, Shell) {
    Built::get();
    let (kept, sh) = (Kept::linked(&FOUNDATION), shell());
    sh.set_var("XDG_CACHE_HOME", kept.cache_home());
    (kept, sh)
}

fn pack<'a>(summary: &'a Value, name: &str) -> &'a Value {
    summary["packs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|pack| pack["name"] == name)
        .unwrap()
}

#[test]
fn one_go_mod_for_over_a_hundred_modules() {
    let (_folder, source) = folder();
    write(&source, "go.mod", "module example.com/big\n\ngo 1.25\n");
    write(
        &source,
        "pkg/shared/shared.go",
        "package shared\n\nimport _ \"encoding/json\"\n",
    );
    for provider in ["aws", "gcp", "own-cloud"] {
        for number in 0..36 {
            let folder = place(provider, &format!("component{number}"));
            write(
                &source,
                &format!("{folder}/main.go"),
                &program("example.com/big/pkg/shared"),
            );
        }
    }
    let (_kept, sh) = apart_from_others();
    let summary = hits_everything(&sh, &source, 108);
    assert_eq!(pack(&summary, "own-cloud")["modules"], 36);
}

#[test]
fn a_go_work_on_top() {
    let (_folder, source) = folder();
    write(
        &source,
        "go.work",
        "go 1.25\n\nuse (\n\t./pkg\n\t./apis/provider/aws\n\t./apis/provider/civo\n)\n",
    );
    write(&source, "pkg/go.mod", "module example.com/pkg\n\ngo 1.25\n");
    write(&source, "pkg/shared/shared.go", "package shared\n");
    for provider in ["aws", "civo"] {
        write(
            &source,
            &format!("apis/provider/{provider}/go.mod"),
            &format!("module example.com/{provider}\n\ngo 1.25\n"),
        );
        write(
            &source,
            &format!("{}/main.go", place(provider, "one")),
            &program("example.com/pkg/shared"),
        );
    }
    hits_everything(&shell(), &source, 2);
}

#[test]
fn links_and_programs_that_pulumi_yaml_names() {
    let (_folder, source) = folder();
    write(&source, "go.mod", "module example.com/links\n\ngo 1.25\n");
    write(&source, "shared/prog/main.go", &program("fmt"));
    write(&source, "shared/gcp/v1/iac/pulumi/main.go", &program("fmt"));
    let link = |to: &str, at: &str| {
        let at = source.join(at);
        fs_err::create_dir_all(at.parent().unwrap()).unwrap();
        fs_err::os::unix::fs::symlink(to, at).unwrap();
    };
    // A file, the module's folder, a folder above.
    let up = "../../../../../../..";
    let file = format!("{}/main.go", place("aws", "file"));
    link(&format!("{up}/shared/prog/main.go"), &file);
    link("../../../../../../shared/prog", &place("aws", "folder"));
    link("../../../shared/gcp", "apis/provider/gcp/above");
    let folder = place("aws", "named");
    let project = "name: named\nruntime: go\nmain: cmd/app\n";
    write(&source, &format!("{folder}/Pulumi.yml"), project);
    write(
        &source,
        &format!("{folder}/cmd/app/main.go"),
        &program("fmt"),
    );
    hits_everything(&shell(), &source, 4);
}

#[test]
fn what_is_left_out_is_said_at_the_end() {
    let (_folder, source) = folder();
    small(&source);
    let project = "name: other\nruntime: go\n";
    write(&source, "stacks/other/Pulumi.yaml", project);
    write(&source, "stacks/other/main.go", &program("fmt"));
    let folder = place("aws", "gone");
    write(&source, &format!("{folder}/Pulumi.yaml"), project);
    let sh = shell();
    let (_folder, out) = crate::support::run::folder();
    let warm = cmd!(sh, "cargo xtask warm --source {source} --provider civo");
    let (_, said) = succeed_with_both(warm.arg(format!("--out={out}/pack")));
    let end = said.rsplit("left out, though").next().unwrap();
    for sign in ["stacks/other: it has a Pulumi.yaml", &folder] {
        assert!(end.contains(sign), "{said}");
    }
}

const SUM_1_5: &str =
    "github.com/google/uuid v1.5.0 h1:1p67kYwdtXjb0gL0BPiP1Av9wiZPo5A8z2cWkTZ+eyU=
github.com/google/uuid v1.5.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=
";
const SUM_1_6: &str =
    "github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=
github.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=
";

/// One go.mod for each module, each with the same version of the same Go module.
fn apart(source: &Utf8Path, providers: &[&str]) -> Vec<Utf8PathBuf> {
    let mut folders = Vec::new();
    for provider in providers {
        let folder = Utf8PathBuf::from(place(provider, "one"));
        let go_mod = format!(
            "module example.com/{provider}\n\ngo 1.25\n\nrequire github.com/google/uuid v1.5.0\n"
        );
        write(source, folder.join("go.mod").as_str(), &go_mod);
        write(source, folder.join("go.sum").as_str(), SUM_1_5);
        write(
            source,
            folder.join("main.go").as_str(),
            &program("github.com/google/uuid"),
        );
        folders.push(folder);
    }
    folders
}

/// Raises the version that the go.mod in `folder` requires.
fn bump(source: &Utf8Path, folder: &Utf8Path) {
    let go_mod = fs_err::read_to_string(source.join(folder).join("go.mod")).unwrap();
    write(
        source,
        folder.join("go.mod").as_str(),
        &go_mod.replace("v1.5.0", "v1.6.0"),
    );
    write(source, folder.join("go.sum").as_str(), SUM_1_6);
}

#[test]
fn one_go_mod_for_each_module_and_a_bump_builds_one_pack() {
    let (kept, sh) = apart_from_others();
    let (_folder, source) = folder();
    // Two are left that require the old version, so it stays in what all share.
    let folders = apart(&source, &["aws", "civo", "gcp"]);
    hits_everything(&sh, &source, 3);
    let before = kept.made();
    assert_eq!(kept.made_since(&Results::new(), "pack"), 3);
    hits_everything(&sh, &source, 3);
    assert_eq!(kept.made(), before);

    bump(&source, &folders[1]);
    hits_everything(&sh, &source, 3);
    assert_eq!(kept.made_since(&before, "common"), 0);
    assert_eq!(kept.made_since(&before, "pack"), 1);
}

#[test]
fn a_bump_of_one_provider_leaves_the_others_packs_alone() {
    let (kept, sh) = apart_from_others();
    let (_folder, source) = folder();
    let folders = apart(&source, &["aws", "civo"]);
    // What only one provider requires is not shared, so bumping it changes that provider alone.
    for file in ["go.mod", "go.sum", "main.go"] {
        fs_err::remove_file(source.join(&folders[0]).join(file)).unwrap();
    }
    let go_mod = "module example.com/aws\n\ngo 1.25\n";
    write(&source, folders[0].join("go.mod").as_str(), go_mod);
    let main = folders[0].join("main.go");
    write(&source, main.as_str(), &program("fmt"));
    hits_everything(&sh, &source, 2);
    let before = kept.made();
    bump(&source, &folders[1]);
    hits_everything(&sh, &source, 2);
    assert_eq!(kept.made_since(&before, "common"), 0);
    assert_eq!(kept.made_since(&before, "pack"), 1);
}

#[test]
fn the_edited_package_and_its_importer_are_all_that_misses_in_an_older_image() {
    let (kept, sh) = apart_from_others();
    let ((_folder, source), (_other, out)) = (folder(), folder());
    small(&source);
    let out = out.join("out");
    succeed(cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {out}"
    ));
    let before = kept.made();
    let edited = "package shared\n\nconst Changed = true\n";
    write(&source, "pkg/shared/shared.go", edited);
    let verify = cmd!(
        sh,
        "cargo xtask verify --source {source} --image {out}/oci --json -"
    );
    let report: Value = serde_json::from_str(&succeed(verify)).unwrap();
    let modules = report["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 2);
    for module in modules {
        let first = &module["phases"]["first"];
        let count = |what: &str, which: &str| first[what][which].as_u64().unwrap();
        let path = module["path"].as_str().unwrap();
        let importer = format!("example.com/small/{path}");
        assert_eq!(
            first["compiled"],
            json!([importer, "example.com/small/pkg/shared"])
        );
        assert_eq!(count("packages", "total") - count("packages", "hits"), 2);
        assert_eq!((count("links", "hits"), count("links", "total")), (0, 1));
    }

    hits_everything(&sh, &source, 2);
    assert_eq!(kept.made_since(&before, "pack"), 2, "a stale pack was used");
}
