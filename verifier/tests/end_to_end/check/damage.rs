//! Damage in the caches and in the lists of their files: each is found, and named alone.

use super::*;

#[test]
fn damage_in_the_build_cache_is_named() {
    let image = Image::new();
    let entries = image.entries();
    let [one, other] = [
        &entries[0],
        entries
            .iter()
            .find(|entry| entry.output != entries[0].output)
            .unwrap(),
    ];
    let action = image.store.action_path(&one.action);
    let name = action
        .strip_prefix(image.folder.path(""))
        .unwrap()
        .as_str()
        .to_owned();
    let whole = fs_err::read(&action).unwrap();

    // Consistent in itself: only the list tells.
    let pointing_elsewhere = ActionEntry {
        action: one.action,
        ..*other
    };
    rewrite(&action, &pointing_elsewhere.to_bytes());
    let found = image.finding(4, &name);
    assert!(found.starts_with("corrupt: its digest is "), "{found}");
    assert!(found.contains("it was shipped with"), "{found}");

    for (content, expected) in [
        (
            ActionEntry {
                size_bytes: one.size_bytes + 1,
                ..*one
            }
            .to_bytes(),
            "bytes instead of",
        ),
        (
            ActionEntry {
                action: other.action,
                ..*one
            }
            .to_bytes(),
            "is the entry of action",
        ),
        (
            ActionEntry {
                output: Sha256Hash::of(b"none"),
                ..*one
            }
            .to_bytes(),
            "is missing",
        ),
        (
            ActionEntry {
                time_unix_ns: 5,
                ..*one
            }
            .to_bytes(),
            "its digest is",
        ),
        (b"v1".to_vec(), "2 bytes instead of 175"),
        ([&whole[..], b"\n"].concat(), "is longer than 175 bytes"),
    ] {
        rewrite(&action, &content);
        let found = image.finding(4, &name);
        assert!(
            found.starts_with("corrupt: ") && found.contains(expected),
            "{found}"
        );
    }
    fs_err::remove_file(&action).unwrap();
    assert_eq!(image.finding(4, &name), "corrupt: is missing");
    fs_err::os::unix::fs::symlink("/dev/null", &action).unwrap();
    assert_eq!(image.finding(4, &name), "corrupt: is no regular file");
    fs_err::remove_file(&action).unwrap();
    rewrite(&action, &whole);
    assert_eq!(image.findings(0), [""; 0]);

    fs_err::write(image.store.root().join("00/not-an-entry-a"), "").unwrap();
    let found = image.finding(4, &format!("{GOCACHE}/00/not-an-entry-a"));
    assert!(found.contains("is named like an entry"), "{found}");

    let shipped = image.store.files().unwrap().len() - 1;
    fs_err::remove_dir_all(image.store.root()).unwrap();
    let found = image.findings(4);
    assert_eq!(found[0], "corrupt var/cache/go-build");
    assert_eq!(found.len(), shipped + 1, "and each of its files");
}

#[test]
fn damage_in_the_module_cache_is_named() {
    let image = Image::new();
    let source = format!("{DEPENDENCY}/dep.go");
    let path = image.folder.path(&source);
    let whole = fs_err::read(&path).unwrap();
    replace(&path, b"package dep\n");
    assert!(image.finding(4, &source).contains("it was shipped with"));
    open_folder(&image);
    fs_err::remove_file(&path).unwrap();
    close_folder(&image);
    assert_eq!(image.finding(4, &source), "corrupt: is missing");
    open_folder(&image);
    fs_err::write(&path, &whole).unwrap();
    fs_err::write(path.with_file_name("extra.go"), "package dep\n").unwrap();
    close_folder(&image);
    let found = image.finding(4, &format!("{DEPENDENCY}/extra.go"));
    assert_eq!(
        found,
        "corrupt: is not among the files that its Go module was shipped with"
    );
    open_folder(&image);
    fs_err::remove_file(path.with_file_name("extra.go")).unwrap();
    close_folder(&image);
    assert_eq!(image.findings(0), [""; 0]);

    let download = "root/var/cache/go-mod/cache/download/example.com/!dep/@v/v1.0.0";
    for extension in ["info", "mod", "ziphash"] {
        let name = format!("{download}.{extension}");
        let path = image.folder.path(&name);
        let whole = fs_err::read(&path).unwrap();
        replace(&path, &[&whole[..], b" "].concat());
        assert!(
            image.finding(4, &name).contains("it was shipped with"),
            "{name}"
        );
        replace(&path, &whole);
    }
    assert_eq!(image.findings(0), [""; 0]);
}

#[test]
fn damaged_lists_are_named_and_not_believed() {
    let image = Image::new();
    let list = format!("{PACKS}/tiny.sha256");
    let description = format!("{PACKS}/tiny.json");
    let whole = fs_err::read_to_string(image.folder.path(&list)).unwrap();
    let described = fs_err::read_to_string(image.folder.path(&description)).unwrap();
    let first_line = whole.lines().next().unwrap();
    for (content, expected) in [
        (
            whole.replacen(
                first_line,
                &first_line.replacen(&first_line[..2], "00", 1),
                1,
            ),
            "the description of the pack",
        ),
        (
            whole.replacen(first_line, "", 1),
            "malformed list of digests: line 1",
        ),
        (String::new(), "the description of the pack"),
    ] {
        image.folder.write(&list, &content);
        let report = report(&mut image.command(), 4);
        assert_eq!(report["corrupt"], 1, "{report:#}");
        let finding = &report["findings"][0];
        assert_eq!(finding["path"], image.folder.path(&list).as_str());
        assert!(
            finding["problem"].as_str().unwrap().contains(expected),
            "{finding}"
        );
        assert!(
            report["not_checked"][0]
                .as_str()
                .unwrap()
                .contains("their list is damaged")
        );
    }
    fs_err::remove_file(image.folder.path(&list)).unwrap();
    assert_eq!(image.finding(4, &list), "corrupt: is missing");

    image.folder.write(&list, &whole);
    fs_err::remove_file(image.folder.path(&description)).unwrap();
    assert_eq!(
        image.finding(4, &list),
        "corrupt: is a list that no description of a pack names"
    );
    image.folder.write(&description, "{");
    let assert = image.command().assert().code(4).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("tiny.json is corrupt"), "{stderr}");
    image.folder.write(&description, &described);

    let elsewhere = [("/etc/passwd".into(), Sha256Hash::of(b""))];
    image.write_pack("other", &elsewhere.into_iter().collect());
    let found = image.finding(4, &format!("{PACKS}/other.sha256"));
    assert_eq!(
        found,
        "corrupt: lists /etc/passwd, which is in neither cache"
    );
    let path = first_line.split_once("  ").unwrap().1;
    image.write_pack(
        "other",
        &[(path.into(), Sha256Hash::of(b""))].into_iter().collect(),
    );
    let report = report(&mut image.command(), 4);
    let finding = &report["findings"][0];
    assert_eq!(finding["path"], image.folder.path(&list).as_str());
    let problem = finding["problem"].as_str().unwrap();
    assert!(
        problem.ends_with("with another digest than another pack does"),
        "{problem}"
    );
}

/// Flips of the randomized test; `cargo xtask bench check` does more, on a real image.
const FLIPS: u64 = 200;
const SEED: u64 = 20_250_101;

#[test]
fn every_flipped_bit_is_found_and_named() {
    let image = Image::new();
    let mut files: FilesByKind =
        files_by_kind(&image.folder.path(GOCACHE), &image.folder.path(GOMODCACHE)).unwrap();
    files.insert(
        "list",
        vec![image.folder.path(&format!("{PACKS}/tiny.sha256"))],
    );
    for kind in [
        "entry (-a)",
        "package index (-d)",
        "archive (-d)",
        "executable (-d)",
        ".info",
        ".mod",
        ".ziphash",
        "file of a Go module",
    ] {
        assert!(files.contains_key(kind), "{kind}: {:?}", files.keys());
    }
    for number in 0..FLIPS {
        let flip = Flip::choose(&files, SEED, number).unwrap().unwrap();
        flip.apply().unwrap();
        let path = flip.path.strip_prefix(image.root()).unwrap();
        assert_eq!(
            image.findings(4),
            [format!("corrupt {path}")],
            "{number} of seed {SEED}: {flip:?}"
        );
        flip.apply().unwrap();
        if number % 10 == 0 {
            assert_eq!(image.findings(0), [""; 0], "after {number} of seed {SEED}");
        }
    }
    assert_eq!(image.findings(0), [""; 0]);
}
