//! Object code beside a build cache whose archives have none.

use gocache::objects::{self, ExportOnly};

use super::*;

/// The image with its object code apart.
fn lean() -> Image {
    let image = Image::new();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(ENTRY_TIME);
    let plain = image.folder.path("plain");
    fs_err::rename(image.store.root(), &plain).unwrap();
    let plain = Store::at(&plain);
    let lean = Store::create(image.store.root()).unwrap();
    let sealed = plain.seal(time).unwrap();
    let cut = objects::export_only(&plain, &sealed.files, &lean, time).unwrap();
    let folder = image.folder.path(OBJECTS);
    fs_err::create_dir(&folder).unwrap();
    let whole = |archive: &ExportOnly| plain.output_path(&archive.whole);
    let index = objects::pack(&cut, whole, 3, &folder.join("tiny.zst")).unwrap();
    fs_err::write(folder.join("tiny.json"), index.to_json()).unwrap();
    image.describe();
    image
}

#[test]
fn sound_object_code_raises_no_alarm_and_damage_is_named_alone() {
    let image = lean();
    assert_eq!(image.findings(0), [""; 0]);
    for (file, place) in [("tiny.zst", 100), ("tiny.json", 20)] {
        let path = format!("{OBJECTS}/{file}");
        let sound = fs_err::read(image.folder.path(&path)).unwrap();
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        replace(&image.folder.path(&path), &damaged);
        assert!(image.finding(4, &path).contains("was shipped with"));
        replace(&image.folder.path(&path), &sound);
    }
    let list = image.folder.path(&format!("{PACKS}/tiny.sha256"));
    let mut damaged = fs_err::read(&list).unwrap();
    damaged[3] ^= 1;
    replace(&list, &damaged);
    image.finding(4, &format!("{PACKS}/tiny.sha256"));
}

#[test]
fn object_code_that_was_not_shipped_is_found_whatever_it_is_called() {
    let image = lean();
    // Described, and without object code of its own.
    image.write_pack("other", &Checksums::default());
    for name in ["other", "stranger"] {
        for suffix in ["zst", "json"] {
            let [from, to] =
                ["tiny", name].map(|it| image.folder.path(&format!("{OBJECTS}/{it}.{suffix}")));
            fs_err::copy(from, &to).unwrap();
        }
        let expected =
            ["json", "zst"].map(|it| format!("corrupt var/cache/go-objects/{name}.{it}"));
        assert_eq!(image.findings(4), expected);
        for suffix in ["zst", "json"] {
            let planted = image.folder.path(&format!("{OBJECTS}/{name}.{suffix}"));
            fs_err::remove_file(planted).unwrap();
        }
    }
}

#[test]
fn object_code_that_does_not_fit_its_archive_is_found_although_its_digest_is_listed() {
    let image = lean();
    let index = image.folder.path(&format!("{OBJECTS}/tiny.json"));
    let text = fs_err::read_to_string(&index).unwrap();
    let (start, rest) = text.split_once("\"whole\":\"").unwrap();
    let wrong = Sha256Hash::of(b"another");
    let changed = format!("{start}\"whole\":\"{wrong}{}", &rest[64..]);
    fs_err::write(&index, changed).unwrap();
    image.describe();
    let found = image.finding(4, &format!("{OBJECTS}/tiny.zst"));
    assert!(found.contains("is not whole with it"), "{found}");
}
