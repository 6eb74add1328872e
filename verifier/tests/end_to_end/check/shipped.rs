//! What is sound and still not as it was shipped: modes, owners, times, and what is left over.

use super::*;

#[test]
fn what_is_not_as_shipped_is_told_from_corruption() {
    let image = Image::new();
    let entry = image.store.action_path(&image.entries()[0].action);
    let name = entry
        .strip_prefix(image.folder.path(""))
        .unwrap()
        .as_str()
        .to_owned();
    let set = |path: &Utf8Path, mode| {
        fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };

    set(&entry, 0o646);
    assert_eq!(
        image.finding(1, &name),
        "not_as_shipped: is writable for the world"
    );
    set(&entry, 0o640);
    let found = image.finding(1, &name);
    assert_eq!(
        found,
        "not_as_shipped: has mode 640, with which it no longer can be read by everyone"
    );
    set(&entry, 0o664);
    assert_eq!(
        image.finding(1, &name),
        "not_as_shipped: is writable for its group"
    );
    set(&entry, 0o644);
    fs_err::File::open(&entry)
        .unwrap()
        .file()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    let found = image.finding(1, &name);
    assert_eq!(
        found,
        format!("not_as_shipped: is of 0 instead of {ENTRY_TIME} (seconds since 1970)")
    );
    rewrite(&entry, &fs_err::read(&entry).unwrap());

    let folder = image.store.root().join("0f");
    set(&folder, 0o711);
    let found = image.finding(1, &format!("{GOCACHE}/0f"));
    assert!(
        found.ends_with("no longer is open to everyone and writable for its owner"),
        "{found}"
    );
    set(&folder, 0o755);

    for leftover in [
        "cache/lock",
        "cache/download/example.com/!dep/@v/v1.0.0.lock",
        "cache/download/example.com/!dep/@v/v1.0.0.zip",
        "cache/download/example.com/!dep/@v/v1.0.0.zip123.tmp",
    ] {
        let name = format!("{GOMODCACHE}/{leftover}");
        image.folder.write(&name, "");
        assert!(image.finding(1, &name).contains("is left over"), "{name}");
        fs_err::remove_file(image.folder.path(&name)).unwrap();
    }
    let name = format!("{GOCACHE}/00/.abc.tmp-d");
    image.folder.write(&name, "");
    assert!(image.finding(1, &name).contains("is left over"));
    fs_err::remove_file(image.folder.path(&name)).unwrap();

    let empty = (0..=u8::MAX)
        .map(|byte| format!("{byte:02x}"))
        .find(|name| {
            fs_err::read_dir(image.store.root().join(name))
                .unwrap()
                .next()
                .is_none()
        });
    if let Some(name) = empty {
        fs_err::remove_dir(image.store.root().join(&name)).unwrap();
        let found = image.finding(1, &format!("{GOCACHE}/{name}"));
        assert!(found.contains("is missing"), "{found}");
        fs_err::create_dir(image.store.root().join(&name)).unwrap();
    }

    // The graver of the two decides.
    set(&entry, 0o666);
    rewrite(&image.store.root().join("00/not-an-entry-d"), b"");
    assert!(image.findings(4).len() >= 2);
}

#[test]
fn another_owner_is_said_once_for_each_cache() {
    let image = Image::new();
    let path = image.folder.path(IMAGE);
    let mut described: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    described["owner_uid"] = json!(12345);
    fs_err::write(&path, described.to_string()).unwrap();
    let expected = [
        "not_as_shipped var/cache/go-build",
        "not_as_shipped var/cache/go-mod",
    ];
    assert_eq!(image.findings(1), expected);
    // Older images do not say whose the caches are, nor which time the entries have.
    let fields = described.as_object_mut().unwrap();
    fields.retain(|name, _| !["owner_uid", "cache_entry_time"].contains(&name.as_str()));
    fs_err::write(&path, described.to_string()).unwrap();
    assert_eq!(image.findings(0), [""; 0]);
    let pack = image.folder.path(&format!("{PACKS}/tiny.json"));
    let mut described: Value = serde_json::from_slice(&fs_err::read(&pack).unwrap()).unwrap();
    described.as_object_mut().unwrap().remove("files_sha256");
    fs_err::write(&pack, described.to_string()).unwrap();
    fs_err::remove_file(image.folder.path(&format!("{PACKS}/tiny.sha256"))).unwrap();
    let report = report(&mut image.command(), 0);
    assert!(
        report["not_checked"][0]
            .as_str()
            .unwrap()
            .contains("before packs listed their files")
    );
}
