//! Changes of the source since the image was made, of which each is named and called drift.

use super::*;

#[test]
fn an_edited_source_is_drift_and_named() {
    let image = Image::new();
    let main_go = format!("{MODULE}/main.go");
    let text = image.expect_of_files(
        &[(&main_go, &MAIN_GO.replace("println(", "print("))],
        &format!("main.go of package {PROGRAM} was edited"),
    );
    assert!(text.contains("[drift, packages compiled: 1]"), "{text}");
    assert!(
        text.contains("1 of the source's own and 0 others"),
        "{text}"
    );

    let edited = GREET_GO.replace("dep.Name", "dep.Name + dep.Name");
    let text = image.expect_of_files(
        &[("greet/greet.go", &edited)],
        &format!("greet.go of package {LIBRARY} was edited"),
    );
    let chain = format!("imported by way of {PROGRAM} > {LIBRARY}\n");
    assert!(text.contains(&chain), "{text}");
    assert!(text.contains("named above: 1\n"), "{text}");

    image.expect_of_files(
        &[("greet/more.go", "package greet\n\nconst More = 1\n")],
        &format!("more.go of package {LIBRARY} was added"),
    );
    let imports = MAIN_GO.replace("import ", "import _ \"example.com/catalog/new\"\nimport ");
    let text = image.expect_of_files(
        &[(&main_go, &imports), ("new/new.go", "package new\n")],
        "(the first of 2 causes)",
    );
    assert!(
        text.contains("packages of example.com/catalog are new"),
        "{text}"
    );
    // Nothing of this stayed.
    image.expect(&mut image.command(), 0, "everything hits: ");
}

#[test]
fn a_removed_file_is_named() {
    let image = Image::with_flags(FLAGS, |folder| {
        folder.write("src/greet/more.go", "package greet\n\nconst More = 1\n");
    });
    fs_err::remove_file(image.folder.path("src/greet/more.go")).unwrap();
    let part = format!("more.go of package {LIBRARY} was removed");
    image.expect(&mut image.command(), 0, &part);
}

#[test]
fn changes_of_the_go_mod_are_named_with_old_and_new() {
    let image = Image::new();
    let text = image.expect_of_files(
        &[("go.mod", &go_mod("1.23", "v1.0.0"))],
        "the language version in the go.mod of example.com/catalog changed from 1.24 to 1.23",
    );
    assert!(text.contains("[drift, packages compiled: 2]"), "{text}");

    let text = image.expect_of_files(
        &[("go.mod", &go_mod("1.24", "v1.1.0"))],
        "the version of example.com/dep changed from v1.0.0 to v1.1.0",
    );
    assert!(!text.contains("the first of"), "{text}");
    assert!(text.contains("[drift, packages compiled: 3]"), "{text}");
    let chain = format!("{PROGRAM} > {LIBRARY} > example.com/dep\n");
    assert!(text.contains(&chain), "{text}");
    assert!(
        text.contains("2 of the source's own and 1 others"),
        "{text}"
    );
    assert!(text.contains("a new image pays"), "{text}");

    let replaced = go_mod("1.24", "v1.0.0") + "\nreplace example.com/dep => ./local\n";
    image.expect_of_files(
        &[
            ("go.mod", &replaced),
            ("local/go.mod", "module example.com/dep\n\ngo 1.20\n"),
            ("local/dep.go", "package dep\n\nconst Name = \"local\"\n"),
        ],
        "the replacement of example.com/dep in go.mod is new: ./local",
    );

    let debug = go_mod("1.24", "v1.0.0") + "\ngodebug panicnil=1\n";
    image.expect_of_files(&[("go.mod", &debug)], "the default of GODEBUG");

    image.expect_of_files(
        &[("go.work", "go 1.24\n\nuse .\n\ngodebug panicnil=1\n")],
        "the go.work in force is new: go.work",
    );
}

#[test]
fn a_vendor_folder_and_a_profile_are_named() {
    let image = Image::new();
    let text = image.expect_of_files(
        &[
            (
                "vendor/modules.txt",
                "# example.com/dep v1.0.0\n## explicit; go 1.20\nexample.com/dep\n",
            ),
            (
                "vendor/example.com/dep/dep.go",
                "package dep\n\nconst Name = \"v1.0.0\"\n",
            ),
        ],
        "packages come from a vendor folder",
    );
    assert!(text.contains("[drift, packages compiled: 1]"), "{text}");
    fs_err::remove_dir_all(image.folder.path("src/vendor")).unwrap();

    let text = image.expect_of_files(
        &[(&format!("{MODULE}/default.pgo"), "")],
        "(default.pgo beside the program)",
    );
    assert!(text.contains("from the cache: 0 of "), "{text}");
    assert!(text.contains("a new image pays"), "{text}");
}

#[test]
fn a_stamped_commit_is_named() {
    let git = |folder: &Folder| {
        for arguments in [
            &["init", "--quiet"][..],
            &["add", "."],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "commit",
                "--quiet",
                "--allow-empty",
                "--message=x",
            ],
        ] {
            let mut command = Command::new("git");
            folder.set_environment(&mut command, "gocache");
            command
                .current_dir(folder.path("src"))
                .args(arguments)
                .assert()
                .success();
        }
    };
    let flags = "-trimpath -buildvcs=true";
    let image = Image::with_flags(flags, git);
    image.expect(
        image.command().env("GOFLAGS", flags),
        0,
        "everything hits: ",
    );
    image
        .folder
        .write("src/README.md", "no part of any package\n");
    git(&image.folder);
    image.expect(
        image.command().env("GOFLAGS", flags),
        3,
        "the commit is stamped into the program (-buildvcs)",
    );
}
