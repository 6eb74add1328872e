//! Settings and mounts that are others than the image's, of which each explains everything.

use super::*;

#[test]
fn each_setting_that_differs_is_named_with_its_origin() {
    let image = Image::new();
    image.folder.write("goenv", "GOAMD64=v3\n");
    let goenv = image.folder.path("goenv");
    let [other_cache, other_modules] =
        ["other-cache", "other-modules"].map(|name| image.folder.path(name));
    let tags = format!("{FLAGS} -tags=extra");
    for (name, value, part) in [
        (
            "GOFLAGS",
            "-trimpath",
            r#"GOFLAGS is "-trimpath" (set in the environment)"#,
        ),
        ("GOFLAGS", "-trimpath", ": it lacks -buildvcs=false"),
        ("GOFLAGS", tags.as_str(), "it adds -tags=extra"),
        ("CGO_ENABLED", "1", r#"CGO_ENABLED is "1""#),
        (
            "GOAMD64",
            "v3",
            r#"GOAMD64 is "v3" (set in the environment)"#,
        ),
        (
            "GOEXPERIMENT",
            "fieldtrack",
            r#"GOEXPERIMENT is "fieldtrack""#,
        ),
        ("GOCACHE", other_cache.as_str(), "GOCACHE is "),
        ("GOMODCACHE", other_modules.as_str(), "GOMODCACHE is "),
        (
            "GOENV",
            goenv.as_str(),
            "/goenv, by `go env -w`), but the caches were made with \"v1\"",
        ),
        ("GOCACHE", "off", "GOCACHE is \"off\""),
        // As the go command calls it.
        ("GOCACHE", "relative", "GOCACHE is \"off\""),
        (
            "GODEBUG",
            "gocacheverify=1",
            "gocacheverify=1 makes every look-up miss",
        ),
        (
            "GOCACHEPROG",
            "/bin/other-program",
            "it does not serve the image's cache",
        ),
    ] {
        image.expect(image.command().env(name, value), 3, part);
    }
    assert!(!other_cache.exists() && !other_modules.exists());
    let text = image.expect(
        image
            .command()
            .env("CGO_ENABLED", "1")
            .env("GOEXPERIMENT", "fieldtrack"),
        3,
        "(the first of 2 causes)",
    );
    assert!(text.contains("- GOEXPERIMENT is"), "{text}");
    image.expect(
        image
            .command()
            .env("GOFLAGS", format!("-v -mod=readonly {FLAGS}")),
        0,
        "everything hits: ",
    );
}

#[test]
fn a_gocache_of_ones_own_beside_the_shipped_one_hits() {
    let image = Image::new();
    let own = image.folder.path("own-cache");
    let verifier = assert_cmd::cargo::cargo_bin!("verifier")
        .display()
        .to_string();
    let program = format!("{verifier} cacheprog --shipped {}", image.store.root());
    let served = |command: &mut Command| {
        command.env("GOCACHE", &own).env("GOCACHEPROG", &program);
    };
    let mut command = image.command();
    served(&mut command);
    image.expect(&mut command, 0, "everything hits: ");
    let mut command = image.command();
    served(&mut command);
    let asked = command.env("GODEBUG", "gocacheverify=1");
    image.expect(asked, 0, "everything hits: ");
    let mut command = image.command();
    served(&mut command);
    let off = command.env("GOCACHE", "off");
    image.expect(off, 3, "the go command cannot build with it");
    // As the go command does.
    fs_err::remove_file(image.store.action_path(&image.link)).unwrap();
    let mut command = image.command();
    served(&mut command);
    image.expect(&mut command, 3, "the cache's entry of the executable");
}

#[test]
fn another_architecture_is_one_cause() {
    let image = Image::new();
    let goarch = if cfg!(target_arch = "x86_64") {
        "arm64"
    } else {
        "amd64"
    };
    let text = image.expect(image.command().env("GOARCH", goarch), 3, "GOARCH is ");
    assert!(!text.contains(" causes)"), "{text}");
}

#[test]
fn a_go_work_that_is_turned_off_is_the_cause_of_what_it_breaks() {
    let own_library = |folder: &Folder| {
        folder.write("src/lib/go.mod", "module example.com/lib\n\ngo 1.24\n");
        folder.write("src/lib/lib.go", "package lib\n\nconst Name = \"lib\"\n");
        folder.write("src/go.work", "go 1.24\n\nuse (\n\t.\n\t./lib\n)\n");
        let main = MAIN_GO
            .replace("greet\"", "greet\"; import \"example.com/lib\"")
            .replace("Hello()", "Hello() + lib.Name");
        folder.write(&format!("src/{MODULE}/main.go"), &main);
    };
    let image = Image::with_flags(FLAGS, own_library);
    image.expect(&mut image.command(), 0, "everything hits: ");
    let text = image.expect(
        image.command().env("GOWORK", "off"),
        3,
        "GOWORK is \"off\" (set in the environment), but the caches were made with ",
    );
    assert!(text.contains("/src/go.work\""), "{text}");
    assert!(text.contains("the module does not build: "), "{text}");
    // One that changes nothing is no cause.
    let image = Image::new();
    image.expect(image.command().env("GOWORK", "off"), 0, "everything hits: ");
    image.expect(
        image.command().env("GO111MODULE", "off"),
        3,
        "GO111MODULE is \"off\"",
    );
}

#[test]
fn a_cache_over_which_something_is_mounted_is_one_cause() {
    let image = Image::new();
    for (name, cache) in [("GOCACHE", "gocache"), ("GOMODCACHE", "modcache")] {
        let folder = image.folder.path(cache);
        let aside = image.folder.path("aside");
        fs_err::rename(&folder, &aside).unwrap();
        fs_err::create_dir_all(folder.join("00")).unwrap();
        fs_err::write(folder.join("README"), "").unwrap();
        let part = format!("{folder} is empty; ");
        let text = image.expect(&mut image.command(), 3, &part);
        assert!(
            text.starts_with(name) && !text.contains(" causes)"),
            "{text}"
        );
        fs_err::remove_dir_all(&folder).unwrap();
        fs_err::rename(&aside, &folder).unwrap();
    }
    image.expect(&mut image.command(), 0, "everything hits: ");
    // Another image's cache.
    for action in image.packages.values().map(|inputs| inputs.action) {
        fs_err::remove_file(image.store.action_path(&action)).unwrap();
    }
    let root = image.store.root();
    let text = image.expect(
        &mut image.command(),
        3,
        &format!(
            "none of the {} entries that the image shipped for this module is in {root}",
            image.packages.len()
        ),
    );
    assert!(!text.contains(" causes)"), "{text}");
}

#[test]
fn a_go_that_is_not_here_is_named_with_who_asks_for_it() {
    let image = Image::new();
    let text = go_mod("1.24", "v1.0.0") + "\ntoolchain go1.999.0\n";
    image.folder.write("src/go.mod", &text);
    let text = image.expect(
        image.command().env("GOTOOLCHAIN", "auto"),
        3,
        "GOTOOLCHAIN is \"toolchain go1.999.0\" (asked for by ",
    );
    assert!(text.contains("that Go is not here: "), "{text}");
    for value in ["go1.998.0", "go1.998.0+auto"] {
        let part = format!("GOTOOLCHAIN is \"{value}\" (set in the environment)");
        image.expect(image.command().env("GOTOOLCHAIN", value), 3, &part);
    }
}
