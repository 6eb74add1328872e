//! Each error that a user can cause: one clear message, the right exit code, nothing half-written.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::cmd;

use crate::sources::{place, program, small};
use crate::support::image::Layout;
use crate::support::kept::{FOUNDATION, Kept};
use crate::support::programs::is_there_or_skipped;
use crate::support::run::{fail, folder, shell, succeed, workspace, write};
use crate::support::shown::{error, shown};

/// `base-image` of `source` fails with `code`, leaves no output behind, and says what the snapshot `name` holds.
fn refuses(name: &str, source: &Utf8Path, flags: &[&str], code: i32) {
    let sh = shell();
    let (_folder, out) = folder();
    let build = cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {out}/out {flags...}"
    );
    let said = fail(build, code);
    shown(name, error(&said));
    is_empty(&out);
}

fn is_empty(folder: &Utf8Path) {
    let left = fs_err::read_dir(folder).unwrap().count();
    assert_eq!(left, 0, "something was left in {folder}");
}

fn small_source() -> (tempfile::TempDir, Utf8PathBuf) {
    let (guard, source) = folder();
    small(&source);
    (guard, source)
}

#[test]
fn a_source_without_modules_or_without_a_folder() {
    let (_folder, source) = folder();
    refuses("no_modules", &source, &[], 2);
    refuses("no_folder", &source.join("absent"), &[], 2);
}

#[test]
fn a_source_that_the_user_of_the_image_may_not_read() {
    let sh = shell();
    let (_folder, source) = small_source();
    let chmod = |path: &str, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs_err::set_permissions(source.join(path), permissions).unwrap();
    };
    chmod("", 0o755);
    for (name, path) in [("closed_file", "go.mod"), ("closed_folder", "")] {
        chmod(path, 0o700);
        // Before an image is looked for, too.
        let said = fail(cmd!(sh, "cargo xtask verify --source {source}"), 2);
        shown(name, error(&said));
        let flags = ["--provider", "aws"];
        let (_folder, out) = folder();
        let build = cmd!(
            sh,
            "cargo xtask base-image --source {source} --out {out}/out {flags...}"
        );
        let said = fail(build, 2);
        shown(name, error(&said));
        is_empty(&out);
    }
}

#[test]
fn all_that_would_stop_a_build_is_found_at_once() {
    let sh = shell();
    let (_folder, source) = small_source();
    let go_mod =
        "module example.com/small\n\ngo 1.25\n\nrequire example.com/never/fetched v1.2.3\n";
    write(&source, "go.mod", go_mod);
    write(&source, "file", "");
    // Nobody listens there.
    sh.set_var("GOPROXY", "http://user:secret@127.0.0.1:1");
    let build = |flags: &[&str], code| {
        let build = cmd!(sh, "cargo xtask base-image --source {source} {flags...}");
        fail(build, code)
    };
    let nowhere = format!("{source}/file/out");
    let said = build(&["--provider", "azure", "--out", &nowhere], 2);
    shown("all_at_once", error(&said));
    assert!(
        !said.contains("secret") && !said.contains("base system"),
        "{said}"
    );
    let out = format!("{source}/out");
    let said = build(&["--out", &out], 1);
    shown("no_proxy", error(&said));
    // What is not asked of a proxy fails later, if it does.
    sh.set_var("GONOPROXY", "example.com");
    let said = build(&["--provider", "azure", "--out", &out], 2);
    assert!(!said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_compile_that_takes_more_memory_than_there_is() {
    let sh = shell();
    let name = format!("iac-runner-test-{}", std::process::id());
    // Version 1 of control groups, or 2.
    let hierarchy = "cd /sys/fs/cgroup; if [ -d memory ]; then cd memory; fi";
    let make = format!(
        "{hierarchy}; mkdir $0; cd $0; echo 260000000 > memory.limit_in_bytes || echo 260000000 > memory.max; \
         if [ -e memory.swap.max ]; then echo 0 > memory.swap.max; fi"
    );
    if !is_there_or_skipped(cmd!(sh, "sh -euc {make} {name}")) {
        return;
    }
    let (_folder, source) = small_source();
    // Nothing else is to be made with so little memory.
    succeed(cmd!(
        sh,
        "cargo xtask warm --provider common --source {source} --out {source}/out"
    ));
    let functions: Vec<String> = (0..60_000)
        .map(|number| format!("\tfunc() int {{ return len(\"{number}\") + cap(all) }},\n"))
        .collect();
    let functions = functions.concat();
    let large = format!(
        "package large\n\nvar all []func() int\n\nfunc init() {{ all = some }}\n\n\
         var some = []func() int{{\n{functions}}}\n"
    );
    write(&source, "pkg/large/large.go", &large);
    let file = format!("{}/main.go", place("aws", "one"));
    write(&source, &file, &program("example.com/small/pkg/large"));
    let enter = format!("{hierarchy}; echo $$ > $0/cgroup.procs; cd $1; shift; exec \"$@\"");
    let workspace = workspace();
    let warm = cmd!(
        sh,
        "sh -euc {enter} {name} {workspace} cargo xtask warm --provider aws --source {source} --out {source}/out"
    );
    let said = fail(warm, 1);
    let remove = format!("{hierarchy}; rmdir $0");
    cmd!(sh, "sh -euc {remove} {name}").run().unwrap();
    shown("too_little_memory", error(&said));
}

#[test]
fn a_provider_that_does_not_exist() {
    let (_folder, source) = small_source();
    refuses("no_provider", &source, &["--provider", "azure"], 2);
}

#[test]
fn a_name_that_go_cannot_import() {
    let (_folder, source) = small_source();
    let file = format!("{}/main.go", place("aws", "it's $(one)"));
    write(&source, &file, &program("fmt"));
    refuses("no_import_path", &source, &[], 2);
}

#[test]
fn a_module_that_does_not_compile_is_named_and_the_rest_can_go_on() {
    let sh = shell();
    let (_folder, source) = small_source();
    let broken = place("aws", "broken");
    let text = "package main\n\nfunc main() { undefined() }\n";
    write(&source, &format!("{broken}/main.go"), text);
    refuses("does_not_compile", &source, &["--provider", "aws"], 1);

    let (_folder, out) = folder();
    let out = out.join("out");
    for _ in 0..2 {
        let build = cmd!(sh, "cargo xtask base-image --source {source} --out {out}");
        let said = fail(build.args(["--provider", "aws", "--keep-going"]), 1);
        assert!(said.contains(&broken), "{said}");
        shown("does_not_compile_keep_going", error(&said));
    }
    let summary = fs_err::read(out.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["total"]["links"]["hits"], 1);
}

#[test]
fn a_go_mod_that_needs_go_mod_tidy() {
    let (_folder, source) = small_source();
    let folder = place("aws", "untidy");
    let go_mod = "module example.com/untidy\n\ngo 1.25\n";
    write(&source, &format!("{folder}/go.mod"), go_mod);
    let main = program("github.com/google/uuid");
    write(&source, &format!("{folder}/main.go"), &main);
    refuses("untidy", &source, &["--provider", "aws"], 2);
}

#[test]
fn files_that_are_not_built_and_code_that_is_not_there() {
    let folder = place("aws", "one");
    let at = |name: &str| format!("{folder}/{name}");
    for (name, main) in [
        ("cgo", "package main\n\nimport \"C\"\n\nfunc main() {}\n"),
        (
            "no_tag_set",
            "//go:build prod\n\npackage main\n\nfunc main() {}\n",
        ),
        (
            "other_platform",
            "//go:build windows\n\npackage main\n\nfunc main() {}\n",
        ),
        ("not_generated", &program("example.com/small/pb")),
    ] {
        let (_folder, source) = small_source();
        write(&source, "pb/.gitignore", "*.pb.go\n");
        write(&source, &at("main.go"), main);
        refuses(name, &source, &["--provider", "aws"], 2);
    }
}

#[test]
fn a_replacement_that_is_not_in_the_source() {
    let (_folder, source) = small_source();
    for (name, to) in [("absolute", "/somewhere/lib"), ("outside", "../lib")] {
        let go_mod = format!(
            "module example.com/small\n\ngo 1.25\n\nrequire a.example/lib v0.0.0\n\nreplace a.example/lib => {to}\n"
        );
        write(&source, "go.mod", &go_mod);
        refuses(
            &format!("replaced_{name}"),
            &source,
            &["--provider", "aws"],
            2,
        );
    }
}

#[test]
fn a_go_mod_that_asks_for_a_newer_go() {
    let (_folder, source) = small_source();
    write(&source, "go.mod", "module example.com/small\n\ngo 1.99\n");
    refuses("newer_go", &source, &[], 2);
}

/// A copy of the image's description with `from` replaced.
pub fn image(root: &Utf8Path, from: &str, to: &str) -> Utf8PathBuf {
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
    let shipped = workspace().join("base-images/iac-runner/image.toml");
    let text = fs_err::read_to_string(shipped).unwrap();
    let mut lines = text.lines().skip_while(|line| *line != "[go]");
    let version = lines.nth(1).unwrap();
    let image = image(&root, version, "version = \"1.99.0\"");
    refuses("no_toolchain", &source, &["--image", image.as_str()], 2);
}

#[test]
fn an_unknown_setting_in_image_toml() {
    let (_folder, source) = small_source();
    let (_folder, root) = folder();
    let image = image(&root, "dwarf = false", "drawf = false");
    refuses("unknown_setting", &source, &["--image", image.as_str()], 2);
}

#[test]
fn no_network() {
    let sh = shell();
    let (_folder, source) = small_source();
    let go_mod =
        "module example.com/small\n\ngo 1.25\n\nrequire example.com/never/fetched v1.0.0\n";
    write(&source, "go.mod", go_mod);
    refuses("offline", &source, &["--offline"], 1);

    let (_folder, out) = folder();
    let build = cmd!(
        sh,
        "unshare --net cargo xtask base-image --source {source} --out {out}/out"
    );
    let said = fail(build, 1);
    // What is said of a network that is not there is the system's.
    for sign in ["cannot be reached", "check the network"] {
        assert!(said.contains(sign), "{said}");
    }
    is_empty(&out);
}

#[test]
fn an_output_folder_that_is_not_ours() {
    let sh = shell();
    let (_folder, source) = small_source();
    let (_folder, out) = folder();
    write(&out, "thesis.tex", "ten years of work");
    let said = fail(
        cmd!(sh, "cargo xtask base-image --source {source} --out {out}"),
        2,
    );
    shown("not_ours", error(&said));
    let kept = fs_err::read_to_string(out.join("thesis.tex")).unwrap();
    assert_eq!(kept, "ten years of work");
}

#[test]
fn a_full_disk() {
    let sh = shell();
    let (_folder, source) = small_source();
    let (_folder, mount) = folder();
    succeed(cmd!(sh, "mount -t tmpfs -o size=8m tmpfs {mount}"));
    let build = cmd!(
        sh,
        "cargo xtask base-image --source {source} --out {mount}/out"
    );
    let said = fail(build, 2);
    let left = fs_err::read_dir(&mount).unwrap().count();
    succeed(cmd!(sh, "umount {mount}"));
    for sign in ["8 MB are free there", mount.as_str()] {
        assert!(said.contains(sign), "{said}");
    }
    assert_eq!(left, 0);
}

#[test]
fn a_kept_base_system_or_go_with_one_flipped_bit_makes_no_pack() {
    let sh = shell();
    let (_folder, source) = small_source();
    let (_folder, out) = folder();
    let warm = || cmd!(sh, "cargo xtask warm --source {source} --provider base");
    // What is kept is whole, and has its list, before it is copied.
    succeed(warm().arg(format!("--out={out}/first")));
    let kept = Kept::linked(&FOUNDATION);
    sh.set_var("XDG_CACHE_HOME", kept.cache_home());
    for (step, file) in [("root", "usr/bin/dash"), ("go", "bin/go")] {
        for result in kept.own(step) {
            let file = result.join("tree").join(file);
            let modified = fs_err::metadata(&file).unwrap().modified().unwrap();
            let mut content = fs_err::read(&file).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            fs_err::write(&file, content).unwrap();
            let file = fs_err::File::options().write(true).open(&file).unwrap();
            file.file().set_modified(modified).unwrap();
        }
        let said = fail(warm().arg(format!("--out={out}/damaged")), 4);
        assert!(
            said.contains(&format!("tree/{file} has another content")),
            "{said}"
        );
        assert!(!out.join("damaged").exists());
        succeed(warm().arg(format!("--out={out}/{step}")));
        assert_eq!(
            Layout::at(&out.join(step)).packs(),
            Layout::at(&out.join("first")).packs()
        );
    }
}

#[test]
fn go_modules_that_nobody_vouches_for() {
    let sh = shell();
    let (_folder, source) = small_source();
    let (_folder, out) = folder();
    for (name, value) in [
        ("GOSUMDB", "off"),
        ("GONOSUMDB", "*"),
        ("GOINSECURE", "example.com"),
    ] {
        let build = cmd!(
            sh,
            "cargo xtask base-image --source {source} --out {out}/out"
        );
        let said = fail(build.env(name, value), 2);
        for sign in [&format!("{name}={value}"), "--allow-unchecked-modules"] {
            assert!(said.contains(sign), "{said}");
        }
    }
    is_empty(&out);
}

#[test]
fn a_provider_that_no_tag_can_carry() {
    let (_folder, source) = small_source();
    write(
        &source,
        &format!("{}/main.go", place("a+b", "one")),
        &program("fmt"),
    );
    refuses("no_tag", &source, &["--provider", "aws"], 2);
}

#[test]
fn a_corrupted_cache_folder_is_found_and_mends_itself() {
    let sh = shell();
    let (_folder, source) = small_source();
    // A package of its own makes a pack of its own, which no other test uses.
    let shared = "package shared\n\nconst Corrupted = true\n";
    write(&source, "pkg/shared/shared.go", shared);
    let (_folder, out) = folder();
    let out = out.join("out");
    let build = || {
        cmd!(
            sh,
            "cargo xtask base-image --source {source} --out {out} --provider civo"
        )
    };
    succeed(build());
    let json = |file: &Utf8Path| -> Value {
        serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap()
    };
    let blob = |digest: &Value| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        out.join("oci/blobs/sha256").join(hex)
    };
    let index = json(&out.join("oci/index.json"));
    let manifest = json(&blob(&index["manifests"][0]["digest"]));
    let last = blob(&manifest["layers"].as_array().unwrap().last().unwrap()["digest"]);
    // The blob in the output is the kept one, linked.
    let mut content = fs_err::read(&last).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs_err::write(&last, content).unwrap();

    let said = fail(build(), 4);
    shown("corrupted", error(&said));
    succeed(build());
}
