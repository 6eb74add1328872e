//! Each error that a user can cause: one clear message, the right exit code, nothing half-written.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::run::{base_image, command, fail, folder, succeed, workspace, write};
use crate::sources::{place, program, small};

/// `base-image` of `source` fails with `code`, leaves no output behind, and says `signs`.
fn refuses(source: &Utf8Path, flags: &[&str], code: i32, signs: &[&str]) {
    let (_folder, out) = folder();
    let place = out.join("out");
    let said = fail(&mut base_image(source, &place, flags), code);
    for sign in signs {
        assert!(said.contains(sign), "no `{sign}` in:\n{said}");
    }
    assert_eq!(
        fs_err::read_dir(&out).unwrap().count(),
        0,
        "something was left in {out}"
    );
}

fn small_source() -> (tempfile::TempDir, Utf8PathBuf) {
    let (guard, source) = folder();
    small(&source);
    (guard, source)
}

#[test]
fn a_source_without_modules_or_without_a_folder() {
    let (_folder, source) = folder();
    refuses(&source, &[], 2, &["holds no modules", "iac/pulumi"]);
    refuses(&source.join("absent"), &[], 2, &["absent", "--source"]);
}

#[test]
fn a_provider_that_does_not_exist() {
    let (_folder, source) = small_source();
    refuses(
        &source,
        &["--provider", "azure"],
        2,
        &["no provider `azure`", "aws, civo"],
    );
}

#[test]
fn a_name_that_go_cannot_import() {
    let (_folder, source) = small_source();
    write(
        &source,
        &format!("{}/main.go", place("aws", "it's $(one)")),
        &program("fmt"),
    );
    refuses(&source, &[], 2, &["it's $(one)", "rename"]);
}

#[test]
fn a_module_that_does_not_compile_is_named_and_the_rest_can_go_on() {
    let (_folder, source) = small_source();
    let broken = place("aws", "broken");
    write(
        &source,
        &format!("{broken}/main.go"),
        "package main\n\nfunc main() { undefined() }\n",
    );
    refuses(&source, &["--provider", "aws"], 1, &[&broken, "undefined"]);

    let (_folder, out) = folder();
    let out = out.join("out");
    let flags = ["--provider", "aws", "--keep-going"];
    for _ in 0..2 {
        let said = fail(&mut base_image(&source, &out, &flags), 1);
        assert!(said.contains(&broken), "{said}");
    }
    let summary: Value =
        serde_json::from_slice(&fs_err::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["total"]["links"]["hits"], 1);
}

#[test]
fn a_go_mod_that_needs_go_mod_tidy() {
    let (_folder, source) = small_source();
    let folder = place("aws", "untidy");
    write(
        &source,
        &format!("{folder}/go.mod"),
        "module example.com/untidy\n\ngo 1.25\n",
    );
    write(
        &source,
        &format!("{folder}/main.go"),
        &program("github.com/google/uuid"),
    );
    refuses(
        &source,
        &["--provider", "aws"],
        1,
        &["untidy", "go mod tidy"],
    );
}

#[test]
fn a_go_mod_that_asks_for_a_newer_go() {
    let (_folder, source) = small_source();
    write(&source, "go.mod", "module example.com/small\n\ngo 1.99\n");
    refuses(&source, &[], 2, &["go.mod", "1.99", "image.toml"]);
}

/// A copy of the image's description with `from` replaced.
fn image(root: &Utf8Path, from: &str, to: &str) -> Utf8PathBuf {
    let shipped = workspace().join("base-images/iac-runner");
    let text = fs_err::read_to_string(shipped.join("image.toml")).unwrap();
    assert!(text.contains(from));
    let tools = shipped.join("tools");
    let text = text
        .replace("folder = \"tools", &format!("folder = \"{tools}"))
        .replace(from, to);
    write(root, "image.toml", &text);
    root.join("image.toml")
}

#[test]
fn a_toolchain_that_does_not_exist() {
    let (_folder, source) = small_source();
    let (_folder, root) = folder();
    let text =
        fs_err::read_to_string(workspace().join("base-images/iac-runner/image.toml")).unwrap();
    let version = text
        .lines()
        .skip_while(|line| *line != "[go]")
        .nth(1)
        .unwrap();
    let image = image(&root, version, "version = \"1.99.0\"");
    refuses(
        &source,
        &["--image", image.as_str()],
        2,
        &["there is no Go 1.99.0", "image.toml"],
    );
}

#[test]
fn an_unknown_setting_in_image_toml() {
    let (_folder, source) = small_source();
    let (_folder, root) = folder();
    let image = image(&root, "dwarf = false", "drawf = false");
    refuses(
        &source,
        &["--image", image.as_str()],
        2,
        &["drawf", image.as_str()],
    );
}

#[test]
fn no_network() {
    let (_folder, source) = small_source();
    let go_mod =
        "module example.com/small\n\ngo 1.25\n\nrequire example.com/never/fetched v1.0.0\n";
    write(&source, "go.mod", go_mod);
    refuses(
        &source,
        &["--offline"],
        1,
        &["could not be fetched", "--offline"],
    );

    let (_folder, out) = folder();
    let place = out.join("out");
    let mut cut_off = command("unshare");
    cut_off
        .current_dir(workspace())
        .args(["--net", "cargo", "xtask", "base-image"]);
    let said = fail(
        cut_off.args(["--source", source.as_str(), "--out", place.as_str()]),
        1,
    );
    assert!(
        said.contains("could not be fetched") && said.contains("check the network"),
        "{said}"
    );
    assert_eq!(fs_err::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn an_output_folder_that_is_not_ours() {
    let (_folder, source) = small_source();
    let (_folder, out) = folder();
    write(&out, "thesis.tex", "ten years of work");
    let said = fail(&mut base_image(&source, &out, &[]), 2);
    assert!(said.contains("not an image of ours"), "{said}");
    assert_eq!(
        fs_err::read_to_string(out.join("thesis.tex")).unwrap(),
        "ten years of work"
    );
}

#[test]
fn a_full_disk() {
    let (_folder, source) = small_source();
    let (_folder, mount) = folder();
    succeed(command("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs", mount.as_str()]));
    let out = mount.join("out");
    let said = fail(&mut base_image(&source, &out, &[]), 1);
    let left = fs_err::read_dir(&mount).unwrap().count();
    succeed(command("umount").arg(mount.as_str()));
    assert!(
        said.contains("No space left on device") && said.contains(mount.as_str()),
        "{said}"
    );
    assert_eq!(left, 0);
}

#[test]
fn a_corrupted_cache_folder_is_found_and_mends_itself() {
    let (_folder, source) = small_source();
    // A package of its own makes a pack of its own, which no other test uses.
    write(
        &source,
        "pkg/shared/shared.go",
        "package shared\n\nconst Corrupted = true\n",
    );
    let (_folder, out) = folder();
    let out = out.join("out");
    let flags = ["--provider", "civo"];
    succeed(&mut base_image(&source, &out, &flags));
    let index: Value =
        serde_json::from_slice(&fs_err::read(out.join("oci/index.json")).unwrap()).unwrap();
    let blob = |digest: &Value| {
        out.join("oci/blobs/sha256")
            .join(digest.as_str().unwrap().strip_prefix("sha256:").unwrap())
    };
    let manifest: Value =
        serde_json::from_slice(&fs_err::read(blob(&index["manifests"][0]["digest"])).unwrap())
            .unwrap();
    let last = blob(&manifest["layers"].as_array().unwrap().last().unwrap()["digest"]);
    // The blob in the output is the kept one, linked.
    let mut content = fs_err::read(&last).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs_err::write(&last, content).unwrap();

    let said = fail(&mut base_image(&source, &out, &flags), 4);
    assert!(
        said.contains("damaged") && said.contains("run the same command again"),
        "{said}"
    );
    succeed(&mut base_image(&source, &out, &flags));
}
