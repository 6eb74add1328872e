//! Entries that are missing or damaged: each is named with its file.

use super::*;

#[test]
fn entries_that_are_missing_are_counted_together() {
    let image = Image::new();
    for package in [LIBRARY, "runtime"] {
        let action = image.packages[package].action;
        fs_err::remove_file(image.store.action_path(&action)).unwrap();
    }
    let part = format!(
        "2 entries that the image shipped are missing from {}",
        image.store.root()
    );
    let text = image.expect(&mut image.command(), 3, &part);
    assert!(text.contains("[defect, packages compiled: 2]"), "{text}");
}

#[test]
fn damaged_entries_are_named_with_their_files() {
    let image = Image::new();
    let entry_of = |package: &str| {
        let action = match package {
            PROGRAM => image.link,
            package => image.packages[package].action,
        };
        image.store.get(&action).unwrap().unwrap()
    };
    let library = entry_of(LIBRARY);
    let [action, output] = [
        image.store.action_path(&library.action),
        image.store.output_path(&library.output),
    ];
    let bytes = fs_err::read(&output).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (file, content, part) in [
        (&action, None, format!("is missing: there is no {action}")),
        (
            &output,
            None,
            format!("is without its output: there is no {output}"),
        ),
        (
            &output,
            Some(&bytes[..bytes.len() - 1]),
            format!(
                "is corrupt: {output} has {} bytes instead of {}",
                bytes.len() - 1,
                bytes.len()
            ),
        ),
        (
            &output,
            Some(&flipped[..]),
            format!("is corrupt: {output} has the right size, but not the hash that is its name"),
        ),
        (
            &action,
            Some(&b"v1 nonsense"[..]),
            format!("is corrupt: {action}: malformed"),
        ),
    ] {
        let before = fs_err::read(file).unwrap();
        match content {
            Some(content) => fs_err::write(file, content).unwrap(),
            None => fs_err::remove_file(file).unwrap(),
        }
        let text = image.expect(
            &mut image.command(),
            3,
            &format!("the cache's entry of package {LIBRARY} {part}"),
        );
        assert!(!text.contains("drift"), "{text}");
        fs_err::write(file, before).unwrap();
    }
    let executable = image.store.output_path(&entry_of(PROGRAM).output);
    fs_err::remove_file(&executable).unwrap();
    image.expect(
        &mut image.command(),
        3,
        &format!("the cache's entry of the executable {PROGRAM} is without its output"),
    );
}

/// An export that cannot be read breaks the build of what imports it, and the entry is to blame.
#[test]
fn a_damage_that_breaks_the_build_is_named_all_the_same() {
    let image = Image::new();
    let entry = image.store.get(&image.packages[LIBRARY].action);
    let output = image.store.output_path(&entry.unwrap().unwrap().output);
    let mut bytes = fs_err::read(&output).unwrap();
    // All but the build ID, by which the go command finds out whether it is an archive at all.
    for byte in bytes.iter_mut().skip(400) {
        *byte ^= 0xff;
    }
    fs_err::write(&output, bytes).unwrap();
    // Another program must be compiled, since the shipped executable would be taken as it is.
    image.folder.write(
        &format!("src/{MODULE}/main.go"),
        &MAIN_GO.replace("println(", "print("),
    );
    let text = image.expect(
        &mut image.command(),
        3,
        &format!("the cache's entry of package {LIBRARY} is corrupt"),
    );
    assert!(
        text.contains("the module does not build: go build failed"),
        "{text}"
    );
}

#[test]
fn a_changed_module_cache_is_a_defect() {
    let image = Image::new();
    image.folder.write(
        "modcache/example.com/dep@v1.0.0/dep.go",
        "package dep\n\nconst Name = \"tampered\"\n",
    );
    // The index holds the file as it was, and is shipped, too.
    let indexes = image.store.files().unwrap().into_iter().filter(|file| {
        let path = image.store.root().join(&file.path);
        matches!(file.kind, FileKind::Output(_))
            && fs_err::read(path).unwrap().starts_with(b"go index")
    });
    for file in indexes {
        fs_err::remove_file(image.store.root().join(&file.path)).unwrap();
    }
    let text = image.expect(
        &mut image.command(),
        3,
        "files of example.com/dep@v1.0.0 are not those the caches were made with",
    );
    assert!(text.contains("[defect, "), "{text}");
}
