//! Sources of every shape: one go.mod for all, one for each provider, one for each module, a go.work on top. Their
//! modules import the standard library and one small Go module, so that the shapes are what is tested.

use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::run::{base_image, folder, succeed, work_without_packs, write};
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
fn hits_everything(source: &Utf8Path, modules: usize) -> Value {
    hits_everything_with(&[], source, modules)
}

fn hits_everything_with(env: &[(&str, &Path)], source: &Utf8Path, modules: usize) -> Value {
    let (_folder, out) = folder();
    let mut build = base_image(source, &out.join("out"), &["--json"]);
    let summary = succeed(build.envs(env.iter().copied()));
    let summary: Value = serde_json::from_str(&summary).unwrap();
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
    // It takes long. Others need not wait for it, once there is all that it starts from.
    Built::get();
    let work = work_without_packs();
    let summary = hits_everything_with(&[("XDG_CACHE_HOME", work.path())], &source, 108);
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
    hits_everything(&source, 2);
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
fn apart(source: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut folders = Vec::new();
    for provider in ["aws", "civo"] {
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
    let (_folder, source) = folder();
    let folders = apart(&source);
    let before = hits_everything(&source, 2);
    let again = hits_everything(&source, 2);
    for name in ["aws", "civo"] {
        assert_eq!(
            pack(&before, name)["timings"],
            pack(&again, name)["timings"],
            "{name} was made again"
        );
    }

    bump(&source, &folders[1]);
    let bumped = hits_everything(&source, 2);
    assert_ne!(
        pack(&before, "civo")["timings"],
        pack(&bumped, "civo")["timings"]
    );
}

#[test]
fn a_bump_of_one_provider_leaves_the_others_packs_alone() {
    let (_folder, source) = folder();
    let folders = apart(&source);
    // What only one provider requires is not shared, so bumping it changes that provider alone.
    for file in ["go.mod", "go.sum", "main.go"] {
        fs_err::remove_file(source.join(&folders[0]).join(file)).unwrap();
    }
    write(
        &source,
        folders[0].join("go.mod").as_str(),
        "module example.com/aws\n\ngo 1.25\n",
    );
    write(
        &source,
        folders[0].join("main.go").as_str(),
        &program("fmt"),
    );
    let before = hits_everything(&source, 2);
    bump(&source, &folders[1]);
    let bumped = hits_everything(&source, 2);
    for name in ["common", "aws"] {
        assert_eq!(
            pack(&before, name)["timings"],
            pack(&bumped, name)["timings"],
            "{name} was made again"
        );
    }
    assert_ne!(
        pack(&before, "civo")["timings"],
        pack(&bumped, "civo")["timings"]
    );
}

#[test]
fn the_edited_package_is_all_that_misses_in_an_older_image() {
    let (_folder, source) = folder();
    small(&source);
    let before = hits_everything(&source, 2);
    write(
        &source,
        "pkg/shared/shared.go",
        "package shared\n\nconst Changed = true\n",
    );
    let after = hits_everything(&source, 2);
    assert_ne!(
        pack(&before, "aws")["timings"],
        pack(&after, "aws")["timings"],
        "a stale pack was used"
    );
}
