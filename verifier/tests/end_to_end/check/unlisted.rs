//! What no list of an image knows: caches without an image, what the go command adds, and the sums of a source.

use super::*;

#[test]
fn without_an_image_the_caches_speak_for_themselves() {
    let image = Image::used();
    let check = |code| findings(&mut verifier(&image.folder), &image.root(), code);
    let sound = report(&mut verifier(&image.folder), 0);
    assert_eq!(sound["packs"], json!([]));
    assert!(
        sound["not_checked"][0]
            .as_str()
            .unwrap()
            .starts_with("there is no list")
    );

    let module = "var/cache/go-mod/example.com/!dep@v1.0.0";
    let source = image.folder.path(&format!("{DEPENDENCY}/dep.go"));
    let whole = fs_err::read(&source).unwrap();
    replace(&source, b"package dep\n");
    assert_eq!(check(4), [format!("corrupt {module}")]);
    replace(&source, &whole);
    open_folder(&image);
    fs_err::write(source.with_file_name("extra.go"), "package dep\n").unwrap();
    assert_eq!(check(4), [format!("corrupt {module}")]);
    fs_err::remove_file(source.with_file_name("extra.go")).unwrap();

    let partial = image.folder.path(&format!(
        "{GOMODCACHE}/cache/download/example.com/!dep/@v/v1.0.0.partial"
    ));
    fs_err::write(&partial, "").unwrap();
    assert_eq!(check(1), [format!("not_as_shipped {module}")]);
    fs_err::remove_file(partial).unwrap();

    let entry = image.entries()[0];
    fs_err::write(image.store.output_path(&entry.output), "").unwrap();
    let found = check(4);
    let path = |path: Utf8PathBuf| path.strip_prefix(image.root()).unwrap().to_string();
    assert!(
        found.contains(&format!(
            "corrupt {}",
            path(image.store.output_path(&entry.output))
        )),
        "{found:?}"
    );
    assert!(
        found.contains(&format!(
            "corrupt {}",
            path(image.store.action_path(&entry.action))
        )),
        "{found:?}"
    );

    // A folder that should be an image and is none is a mistake on the command line.
    let assert = image.command().assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.starts_with("error: this is no IaC Runner image"),
        "{stderr}"
    );
}

#[test]
fn executables_that_the_go_command_keeps_itself_are_checked() {
    let image = Image::used();
    let mut run = image.go();
    run.current_dir(image.folder.path(PROGRAM))
        .args(["run", "."]);
    run.assert().success();
    assert_eq!(
        findings(&mut verifier(&image.folder), &image.root(), 0),
        [""; 0]
    );
    let kept = image
        .below(GOCACHE)
        .into_iter()
        .find(|path| path.is_file() && path.parent().unwrap().as_str().ends_with("-d"));
    // Go before 1.24 keeps none.
    if let Some(kept) = kept {
        let name = kept.strip_prefix(image.root()).unwrap().to_string();
        Flip {
            kind: "",
            path: kept,
            offset: 100,
            mask: 4,
        }
        .apply()
        .unwrap();
        let found = findings(&mut verifier(&image.folder), &image.root(), 4);
        assert_eq!(found, [format!("corrupt {name}")]);
    }
}

#[test]
fn the_sources_own_sums_are_asked_and_nothing_is_written() {
    let image = Image::new();
    let source = image.folder.path("src");
    let with_source = || {
        let mut command = image.command();
        command.args(["--source", source.as_str()]);
        command
    };
    let before = snapshot(&image);
    assert_eq!(findings(&mut with_source(), &image.root(), 0), [""; 0]);
    assert_as_before(&image, &before);

    let module = image
        .folder
        .path("root/var/cache/go-mod/cache/download/example.com/!dep/@v/v1.0.0.mod");
    let whole = fs_err::read(&module).unwrap();
    replace(&module, &[&whole[..], b"// more\n"].concat());
    let found = findings(&mut with_source(), &image.root(), 4);
    let go_mod = format!("corrupt {source}/go.mod");
    assert!(found.contains(&go_mod), "{found:?}");
    replace(&module, &whole);

    let sums = source.join("go.sum");
    let text = fs_err::read_to_string(&sums).unwrap();
    fs_err::write(&sums, text.replace("/go.mod h1:", "/go.mod h1:A")).unwrap();
    let found = findings(&mut with_source(), &image.root(), 4);
    assert!(
        found.iter().all(|found| *found == go_mod) && !found.is_empty(),
        "{found:?}"
    );
    fs_err::write(&sums, &text).unwrap();

    // A go.mod whose modules the image does not hold cannot be asked for: the image need not have what it requires.
    let pack = image.folder.path(&format!("{PACKS}/tiny.json"));
    let described = fs_err::read_to_string(&pack).unwrap();
    fs_err::write(&pack, described.replace("/thing/", "/other/")).unwrap();
    let report = report(&mut with_source(), 0);
    assert!(
        report["not_checked"][0]
            .as_str()
            .unwrap()
            .starts_with("go.mod of the source"),
        "{report:#}"
    );
}
