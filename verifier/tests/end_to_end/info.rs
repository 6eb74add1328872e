//! `verifier info` on an image that was never built.

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::go::Folder;

const IMAGE: &str = "root/usr/local/share/iac-runner/image.json";

fn info(folder: &Folder) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, "gocache");
    command
        .current_dir(folder.path(""))
        .args(["info", "--root", "root"]);
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

/// An image made with the settings in force, and two packs.
fn image(folder: &Folder) -> Value {
    folder.write("src/go.mod", "module m\n");
    let env = folder
        .go("gocache")
        .args(["env", "-json"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let identity = gocache::Identity::from_go_env(&serde_json::from_slice(&env).unwrap()).unwrap();
    let image = json!({
        "schema": 1,
        "identity": identity,
        "versions": {"go": "1.2.3", "pulumi": "3.4.5"},
        "later": true,
    });
    folder.write(IMAGE, &image.to_string());
    for (name, bytes) in [("common", 0), ("civo", 2_000_000)] {
        let pack = json!({
            "schema": 1,
            "name": name,
            "modules": [{"component": "volume", "path": "apis/x"}],
            "go_modules": 12,
            "go_mod_bytes": 1_500_000,
            "go_build_bytes": bytes,
            "executables_bytes": 33_000_000,
        });
        folder.write(
            &format!("root/usr/local/share/iac-runner/packs/{name}.json"),
            &pack.to_string(),
        );
    }
    // A record of inputs is no pack.
    folder.write(
        "root/usr/local/share/iac-runner/packs/civo.inputs.json",
        "{\"schema\":1}",
    );
    image
}

/// Fails unless it is what is shown of [`image`]; what the machine's Go is like does not matter.
fn assert_shown(folder: &Folder, text: &str) {
    let go = [
        (r"go1\.\S+ +│", "[go version] │"),
        (
            r"(GOOS|GOARCH|GOROOT|architecture level) +┆ \S* *│",
            "$1 ┆ [of this machine] │",
        ),
        (r"(─{20,}|═{20,})", "──"),
        (r" {2,}│", " │"),
    ];
    insta::with_settings!({filters => go}, {
        insta::assert_snapshot!("an_image", folder.redacted(text));
    });
}

#[test]
fn an_image_is_shown_and_fits() {
    let folder = Folder::new();
    let image = image(&folder);
    let text = stdout(&mut info(&folder));
    assert_shown(&folder, &text);

    let json: Value = serde_json::from_str(&stdout(info(&folder).arg("--json"))).unwrap();
    assert_eq!(json["identity"], image["identity"]);
    assert_eq!(json["here"], image["identity"]);
    assert_eq!(json["differences"], json!([]));
    assert_eq!(json["packs"][0]["name"], "civo");
}

#[test]
fn go_modules_without_packages_are_listed() {
    let folder = Folder::new();
    image(&folder);
    let pack = |name: &str, what: &str, modules: &[&str]| {
        let modules: Vec<_> = modules
            .iter()
            .map(|path| json!({"path": path, "version": "v1.0.0"}))
            .collect();
        let pack = json!({
            "schema": 1, "name": name, "modules": [], "go_modules": 1, "go_mod_bytes": 1,
            "go_build_bytes": 0, "executables_bytes": 0, what: modules,
        });
        let file = format!("root/usr/local/share/iac-runner/packs/{name}.json");
        folder.write(&file, &pack.to_string());
    };
    pack("common", "stubs", &["a.b/aws", "a.b/civo", "a.b/none"]);
    pack("civo", "completed", &["a.b/civo"]);
    let text = stdout(&mut info(&folder));
    let (_, listed) = text.split_once("without packages").unwrap();
    let expected = ", because nothing that this image was made for loads one: 2 Go modules\n  a.b/aws@v1.0.0\n  \
                    a.b/none@v1.0.0\nthe go";
    assert!(listed.starts_with(expected), "{text}");
    let json: Value = serde_json::from_str(&stdout(info(&folder).arg("--json"))).unwrap();
    let paths = json["without_packages"].as_array().unwrap().iter();
    let paths: Vec<_> = paths.map(|module| &module["path"]).collect();
    assert_eq!(paths, ["a.b/aws", "a.b/none"]);
    pack("rest", "completed", &["a.b/aws", "a.b/none"]);
    assert!(!stdout(&mut info(&folder)).contains("without packages"));
}

#[test]
fn programs_and_plugins_are_listed() {
    let folder = Folder::new();
    image(&folder);
    let plain = stdout(&mut info(&folder));
    for none in ["programs", "plugins"] {
        assert!(!plain.contains(none), "{plain}");
    }
    let digest = "0".repeat(64);
    let program = |component: &str| {
        json!({
            "provider": "civo", "component": component, "path": "apis/x", "folder": format!("civo/{component}"),
            "binary": component, "sha256": digest, "size_bytes": 1, "project_sha256": digest, "link_action": digest,
        })
    };
    let list = json!({"schema": 1, "programs": [program("volume"), program("network")]});
    let lists = "root/opt/iac-runner/lists/civo.json";
    folder.write(lists, &list.to_string());
    for plugin in [
        "resource-tls-v5.2.0",
        "resource-aws-native-v1.0.0-rc.1",
        "other",
    ] {
        let file = format!("root/usr/local/lib/iac-runner/plugins/{plugin}/pulumi-resource-x");
        folder.write(&file, "");
    }
    let text = stdout(&mut info(&folder));
    let expected = "built already (`verifier which` tells where): 2 programs\n  civo/network\n  civo/volume\n\
                    to make resources with, without fetching any: 2 plugins of Pulumi\n  aws-native 1.0.0-rc.1\n  \
                    tls 5.2.0\nthe go";
    assert!(text.contains(expected), "{text}");
    let json: Value = serde_json::from_str(&stdout(info(&folder).arg("--json"))).unwrap();
    assert_eq!(json["programs"][1]["sha256"], digest);
    assert_eq!(
        json["plugins"][0],
        json!({"name": "aws-native", "version": "1.0.0-rc.1"})
    );
    folder.write(lists, "{");
    info(&folder).assert().code(4);
}

#[test]
fn an_image_is_read_inside_of_its_root_and_its_files_alone() {
    let folder = Folder::new();
    let image = image(&folder);
    let (description, elsewhere) = (folder.path(IMAGE), folder.path("elsewhere.json"));
    fs_err::write(&elsewhere, image.to_string()).unwrap();
    fs_err::remove_file(&description).unwrap();
    // The link means a file of the image, and there is none.
    fs_err::os::unix::fs::symlink(&elsewhere, &description).unwrap();
    info(&folder).assert().code(2);
    fs_err::remove_file(&description).unwrap();
    let made = Command::new("mkfifo").arg(&description).assert();
    made.success();
    info(&folder).assert().code(4);
}

#[test]
fn settings_that_differ_are_named() {
    let folder = Folder::new();
    image(&folder);
    let text = stdout(info(&folder).env("GOFLAGS", "-race"));
    let differing = text.lines().last().unwrap();
    insta::assert_snapshot!(
        differing,
        @r#"the go command here does not fit the caches: GOFLAGS is "-race", not "-trimpath -buildvcs=false""#
    );
    let json: Value =
        serde_json::from_str(&stdout(info(&folder).env("CGO_ENABLED", "1").arg("--json"))).unwrap();
    assert_eq!(
        json["differences"],
        json!([{"field": "CGO_ENABLED", "ours": "0", "theirs": "1"}])
    );
}

#[test]
fn outside_an_image_it_says_so() {
    let folder = Folder::new();
    let assert = info(&folder).assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    insta::assert_snapshot!(stderr);
}

#[test]
fn a_damaged_description_is_corrupt() {
    let folder = Folder::new();
    folder.write(IMAGE, "{\"schema\":1");
    let assert = info(&folder).assert().code(4);
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    insta::assert_snapshot!(stderr);
}

/// A volume in `volume`, whose caches were made in `place`, with the settings in force but for what `change` does.
fn volume(folder: &Folder, place: &str, change: impl FnOnce(&mut Value)) {
    let mut image = image(folder);
    for cache in ["go-mod", "go-build"] {
        fs_err::create_dir_all(folder.path("volume").join(cache)).unwrap();
    }
    let place = folder.path(place);
    let [gocache, gomodcache] = ["go-build", "go-mod"].map(|cache| place.join(cache).to_string());
    let flags = "-trimpath \"-toolexec=/bin/sh it's\"";
    image["identity"]["gocache"] = json!(gocache);
    image["identity"]["gomodcache"] = json!(gomodcache);
    image["identity"]["goflags"] = json!(flags);
    let env = json!({"GOCACHE": gocache, "GOMODCACHE": gomodcache, "GOFLAGS": flags});
    image["volume"] = json!({"place": place, "env": env});
    change(&mut image);
    folder.write("volume/iac-runner/image.json", &image.to_string());
}

fn volume_info(folder: &Folder) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, "gocache");
    command
        .current_dir(folder.path(""))
        .args(["info", "--volume", "volume"]);
    command
}

#[test]
fn the_environment_of_a_volume_is_what_a_shell_and_a_pod_take() {
    let folder = Folder::new();
    volume(&folder, "volume", |_| {});
    let json: Value = serde_json::from_str(&stdout(volume_info(&folder).arg("--json"))).unwrap();
    let lines = stdout(&mut volume_info(&folder));
    for variable in json.as_array().unwrap() {
        let (name, value) = (&variable["name"], &variable["value"]);
        let name = name.as_str().unwrap();
        let script = format!("eval \"$1\"; printf %s \"${name}\"");
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-euc", &script, "sh", &lines]).env_clear();
        assert_eq!(json!(stdout(shell)), *value, "{name}");
    }
    let expected = r#"export GOCACHE='[folder]/volume/go-build'
export GOFLAGS='-trimpath "-toolexec=/bin/sh it'\''s"'
export GOMODCACHE='[folder]/volume/go-mod'
"#;
    assert_eq!(folder.redacted(&lines), expected);
}

#[test]
fn a_volume_that_does_not_hit_here_is_refused_with_what_is_wrong_and_the_cure() {
    let mut said = Vec::new();
    let mut refused = |name: &str, code: i32, prepare: &dyn Fn(&Folder)| {
        let folder = Folder::new();
        image(&folder);
        prepare(&folder);
        let assert = volume_info(&folder).assert().code(code).stdout("");
        let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        let settings = stdout(folder.go("gocache").args(["env", "GOROOT", "GOVERSION"]));
        let (goroot, version) = settings.trim().split_once('\n').unwrap();
        let stderr = stderr
            .replace(goroot, "[GOROOT]")
            .replace(version, "[GOVERSION]");
        said.push(format!("{name}:\n{}", folder.redacted(&stderr)));
    };
    refused("not there", 2, &|_| {});
    refused("empty", 2, &|folder| {
        fs_err::create_dir(folder.path("volume")).unwrap();
    });
    refused("foreign", 2, &|folder| folder.write("volume/other", ""));
    refused("an image", 2, &|folder| {
        volume(folder, "volume", |image| drop(image["volume"].take()));
    });
    refused("elsewhere", 2, &|folder| volume(folder, "place", |_| {}));
    refused("another Go", 2, &|folder| {
        volume(folder, "volume", |image| {
            image["identity"]["go_version"] = json!("go1.2.3");
        });
    });
    refused("without a cache", 2, &|folder| {
        volume(folder, "volume", |_| {});
        fs_err::remove_dir(folder.path("volume/go-mod")).unwrap();
    });
    refused("damaged", 4, &|folder| {
        folder.write("volume/iac-runner/image.json", "{\"schema\":1");
    });
    refused("endless", 4, &|folder| {
        folder.write("volume/iac-runner/other", "");
        std::os::unix::fs::symlink("/dev/zero", folder.path("volume/iac-runner/image.json"))
            .unwrap();
    });
    refused("a variable that is none", 4, &|folder| {
        volume(folder, "volume", |image| {
            image["volume"]["env"]["X; true"] = json!("");
        });
    });
    refused("a value of two lines", 4, &|folder| {
        volume(folder, "volume", |image| {
            image["volume"]["env"]["X"] = json!("\n");
        });
    });
    insta::assert_snapshot!(said.join("\n"));
}
