//! What is read of go.mod and go.work, against the go command of this machine.

#![expect(clippy::unwrap_used, reason = "a test that panics names the line")]

use std::path::{Path, PathBuf};

use modules::ModFile;
use modules::modfile::ModuleVersion;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What the go command prints of this text; none if it refuses it.
fn by_go(command: &str, text: &str) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("go.{command}"));
    fs_err::write(&file, text).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the go command itself"
    )]
    let output = std::process::Command::new("go")
        .args([command, "edit", "-json"])
        .arg(&file)
        .env("GOTOOLCHAIN", "local")
        .output()
        .expect("the go command is on PATH");
    output
        .status
        .success()
        .then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// The same shape, of what is read here; what is not read here is left out.
fn by_us(file: &ModFile) -> Value {
    let version = |module: &ModuleVersion| {
        let mut value = json!({"Path": module.path});
        if !module.version.is_empty() {
            value["Version"] = json!(module.version);
        }
        value
    };
    let require = file.require.iter().map(|required| {
        let mut value = version(&required.module);
        if required.indirect {
            value["Indirect"] = json!(true);
        }
        value
    });
    let replace = file.replace.iter();
    json!({
        "Module": file.module.as_deref().unwrap_or_default(),
        "Go": file.go,
        "Toolchain": file.toolchain,
        "Require": require.collect::<Value>(),
        "Exclude": file.exclude.iter().map(version).collect::<Value>(),
        "Replace": replace.map(|it| json!({"Old": version(&it.old), "New": version(&it.new)})).collect::<Value>(),
        "Tool": file.tool,
        "Use": file.use_folders,
    })
}

/// The fields of [`by_us`], of what the go command prints.
fn comparable(go: &Value) -> Value {
    let list = |name: &str| match &go[name] {
        Value::Null => json!([]),
        list => list.clone(),
    };
    let plain = |name: &str, field: &str| -> Value {
        let list = list(name);
        list.as_array()
            .unwrap()
            .iter()
            .map(|it| it[field].clone())
            .collect()
    };
    json!({
        "Module": go["Module"]["Path"].as_str().unwrap_or_default(),
        "Go": go["Go"],
        "Toolchain": go["Toolchain"],
        "Require": list("Require"),
        "Exclude": list("Exclude"),
        "Replace": list("Replace"),
        "Tool": plain("Tool", "Path"),
        "Use": plain("Use", "DiskPath"),
    })
}

/// Fails unless the go command accepts the text and reads it alike.
fn assert_alike(command: &str, text: &str) {
    let go = by_go(command, text).unwrap_or_else(|| panic!("the go command refuses {text:?}"));
    let us = ModFile::parse(text);
    assert_eq!(us.errors, [], "{text}");
    assert_eq!(by_us(&us), comparable(&go), "{text}");
}

fn files_ending(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files_ending(&entry.path(), end, found);
        } else if entry.file_name().to_string_lossy().ends_with(end) {
            found.push(entry.path());
        }
    }
}

#[test]
fn every_go_mod_of_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["catalog", "base-images"] {
        files_ending(&root.join(folder), "go.mod", &mut found);
    }
    assert!(found.len() > 10, "{found:?}");
    for path in found {
        assert_alike("mod", &fs_err::read_to_string(path).unwrap());
    }
}

/// Those that others wrote, of every age: what is in the module cache of this machine.
#[test]
fn every_go_mod_of_the_module_cache() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the go command itself"
    )]
    let output = std::process::Command::new("go")
        .args(["env", "GOMODCACHE"])
        .output()
        .expect("the go command is on PATH");
    let cache = String::from_utf8(output.stdout).unwrap();
    let mut found = Vec::new();
    let downloaded = Path::new(cache.trim()).join("cache/download");
    if downloaded.is_dir() {
        files_ending(&downloaded, ".mod", &mut found);
    }
    // A newer Go may have written what this one refuses.
    let compare = |path: &PathBuf| {
        let text = String::from_utf8_lossy(&fs_err::read(path).unwrap()).into_owned();
        if let Some(go) = by_go("mod", &text) {
            let us = ModFile::parse(&text);
            assert_eq!(us.errors, [], "{}", path.display());
            assert_eq!(by_us(&us), comparable(&go), "{}", path.display());
        }
    };
    std::thread::scope(|scope| {
        for some in found.chunks(found.len().div_ceil(4).max(1)) {
            scope.spawn(move || some.iter().for_each(compare));
        }
    });
}

#[test]
fn odd_ones_that_the_go_command_accepts() {
    for text in [
        "",
        "// nothing\n",
        "module m",
        "\r\nmodule\tm\r\n\r\ngo 1.24\r\n",
        "module \"m\" // name\ngo 1.24rc1\ntoolchain default\n",
        "module (\n\n\t// name\n\tm // x\n\n)\n",
        "module(\nm\n)",
        r#"module "\x6d\u006d/\155""#,
        "module m// m",
        "require()\nmodule m\nrequire (\n)\n",
        "require (\n\ta.b/c v1.0.0 // indirect\n\ta.b/d v1.0.0 //indirect; see x\n\ta.b/e v1.0.0 // not indirect\n)\n",
        "require a.b/c v1.0.0 // indirect x\nrequire a.b/d v1.0.0 // indirect;\nrequire a.b/e v1.0.0//indirect\n",
        "require ( // of a.b\n\t\"a.b/c\" \"v1.0.0-0.20200101000000-abcdefabcdef\" //\tindirect \n) // end\n",
        "require a.b/c/v2 v2.0.0\nrequire gopkg.in/c.v2 v2.0.0\nrequire a.b/d v2.0.0+incompatible\n",
        "exclude a.b/c v1.0.0\nexclude (\n\ta.b/c v1.1.0\n)\n",
        "replace a.b/c => ../c\nreplace a.b/d v1.0.0 => ./d // here\nreplace (\n\ta.b/e => a.b/f v1.0.0\n\
         \ta.b/g v1.0.0 => \"/a b\"\n)\n",
        "module m\ntool a.b/c/cmd\ntool (\n\ta.b/d\n\tm/x // y\n)\n",
        "module m\nretract v1.0.0 // broken\nretract [v1.1.0, v1.2.0]\nretract (\n\t[v1.3.0,v1.4.0]\n)\n",
        "godebug panicnil=1\ngodebug (\n\tdefault=go1.21\n)\nignore ./x\nignore (\n\tnode_modules\n)\n",
        "module m/é\n",
        "replace a.b/c => ./c\nreplace a.b/c v1.0.0 => ./d\nreplace a.b/c => ./e\ntool x\ntool x\n\
         exclude a.b/c v1.0.0\nexclude a.b/c v1.0.0\nrequire a.b/c v1.0.0\nrequire a.b/c v1.0.0\n",
    ] {
        assert_alike("mod", text);
    }
    for text in [
        "go 1.24\nuse .\nuse (\n\t./a // ./b\n\t\"../c d\"\n\t/e\n)\nreplace a.b/c => ./c\n",
        "use(\n)\nuse ( )\n",
        "go 1.25\r\nuse pkg/lib\r\nuse \"a b\"\nuse c// x\nuse ../d\n",
        "// of us\ngo 1.25.1\ngodebug default=go1.21\ngodebug (\n\tpanicnil=1\n)\n\
         use (\n\n\t// first\n\tpkg/lib // here\n\t\"pkg/\\x6cib2\"\n\tpkg/lib3\n)\n\
         replace (\n\ta.b/c => ./pkg/../c\n\ta.b/d v1.0.0 => ./d\n\ta.b/e => a.b/f v1.0.0\n)\n",
        "use pkg/lib\nuse pkg/lib\nreplace a.b/c => ./d\nreplace a.b/c => ./e\n",
    ] {
        assert_alike("work", text);
    }
}

#[test]
fn what_the_go_command_refuses_has_errors() {
    for text in [
        "module",
        "module m n",
        "module m\nmodule m",
        "module 'm'",
        "module \"m",
        "module m /* x */",
        "module m\nrequire (\n",
        "module m\nrequire (\n)x\n",
        "module m\n)\n",
        "(\n",
        "require a.b/c",
        "require a.b/c v1.0.0 v1.0.0",
        "require (a.b/c v1.0.0)",
        "require a.b/c=>v1.0.0",
        "exclude a.b/c",
        "replace a.b/c => a.b/d",
        "replace a.b/c => ./d v1.0.0",
        "replace a.b/c ./d",
        "replace a.b/c v1.0.0=>./d",
        "tool",
        "go 1.24 1.25",
        "toolchain",
        "module m\u{b}",
    ] {
        assert_eq!(by_go("mod", text), None, "{text:?}");
        assert_ne!(ModFile::parse(text).errors, [], "{text:?}");
    }
}

/// White space between two words.
fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![" ", "\t", "  ", " \t "])
}

fn comment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        " // x",
        "//",
        " // indirect",
        " // indirect; y",
        " //indirect",
        " // ( \" )",
    ])
}

fn quoted(word: &str, is_quoted: bool) -> String {
    if is_quoted {
        format!("{word:?}")
    } else {
        word.to_owned()
    }
}

/// A directive with its arguments, among which are paths that may be quoted.
fn directive() -> impl Strategy<Value = (&'static str, String)> {
    let path = ("[a-d]", "[a-z]{1,6}", any::<bool>())
        .prop_map(|(host, name, is_quoted)| quoted(&format!("{host}.example/{name}"), is_quoted));
    let folder = ("(\\./|\\.\\./|/)[a-z]{1,4}", any::<bool>())
        .prop_map(|(folder, is_quoted)| quoted(&folder, is_quoted));
    let version = "v[01]\\.[0-9]\\.[0-9](-[a-z]{1,3})?";
    let required = prop::sample::select(vec!["require", "exclude"]);
    prop_oneof![
        (required, path.clone(), space(), version)
            .prop_map(|(verb, path, space, version)| (verb, path + space + &version)),
        (path.clone(), space(), folder)
            .prop_map(|(old, space, new)| ("replace", format!("{old}{space}=> {new}"))),
        (path.clone(), version, space(), path.clone(), version).prop_map(
            |(old, old_version, space, new, new_version)| {
                (
                    "replace",
                    format!("{old} {old_version} =>{space}{new}{space}{new_version}"),
                )
            }
        ),
        path.prop_map(|path| ("tool", path)),
    ]
}

/// Directives, each in a line or a block of its own, spelled in one of the many ways.
fn text() -> impl Strategy<Value = String> {
    let line = (
        directive(),
        any::<bool>(),
        space(),
        comment(),
        prop::sample::select(vec!["\n", "\n\n", "\r\n", "\n// c\n"]),
    );
    let line = line.prop_map(|((verb, arguments), is_block, space, comment, end)| {
        if is_block {
            format!("{verb}{space}({end}{space}{arguments}{comment}{end}){comment}{end}")
        } else {
            format!("{space}{verb}{space}{arguments}{comment}{end}")
        }
    });
    prop::collection::vec(line, 0..12)
        .prop_map(|lines| format!("module example.com/m\n{}", lines.concat()))
}

/// A go.work, whose folders need no `./` in front.
fn workspace() -> impl Strategy<Value = String> {
    let folder = ("(\\./|\\.\\./|/|)[a-z]{1,4}(/[a-z]{1,3})?", any::<bool>())
        .prop_map(|(folder, is_quoted)| ("use", quoted(&folder, is_quoted)));
    let replaced = directive().prop_filter("no other is in both", |(verb, _)| *verb == "replace");
    let line = (
        prop_oneof![folder, replaced],
        any::<bool>(),
        space(),
        comment(),
    );
    let line = line.prop_map(|((verb, arguments), is_block, space, comment)| {
        if is_block {
            format!("{verb}{space}({comment}\n{space}{arguments}{comment}\n){comment}\n")
        } else {
            format!("{space}{verb}{space}{arguments}{comment}\n")
        }
    });
    prop::collection::vec(line, 0..12).prop_map(|lines| format!("go 1.25\n{}", lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_ones(text in text()) {
        assert_alike("mod", &text);
    }

    #[test]
    fn generated_workspaces(text in workspace()) {
        assert_alike("work", &text);
    }
}
