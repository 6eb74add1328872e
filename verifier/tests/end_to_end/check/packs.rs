//! Go modules that several packs have, or one without files that nobody loads: the lists say what is whole.

use super::*;

#[test]
fn a_go_module_of_two_packs_is_whole_where_both_are_and_a_stub_where_one_is() {
    let image = Image::new();
    let whole = fs_err::read(image.folder.path(&format!("{PACKS}/tiny.sha256"))).unwrap();
    let whole = Checksums::read(whole.as_slice()).unwrap();
    let folder = Utf8Path::new("/").join(DEPENDENCY.strip_prefix("root/").unwrap());
    let pick = |wanted: &dyn Fn(&Utf8Path) -> bool| -> Checksums {
        let picked = whole.iter().filter(|(path, _)| wanted(path));
        picked
            .map(|(path, digest)| (path.to_owned(), digest))
            .collect()
    };
    let is_stub = |path: &Utf8Path| path == folder.join("go.mod");
    let is_other = |path: &Utf8Path| path.starts_with(&folder) && !is_stub(path);
    let (stub, others) = (pick(&is_stub), pick(&is_other));
    assert_eq!(stub.len(), 1);
    image.write_pack("tiny", &pick(&|path| !is_other(path)));
    image.write_left_out("tiny", &others);
    image.write_pack("rest", &others);
    image.write_left_out("rest", &stub);
    assert_eq!(image.findings(0), [""; 0]);

    let (first, _) = others.iter().next().unwrap();
    let first = format!("root{first}");
    let text = fs_err::read(image.folder.path(&first)).unwrap();
    replace(&image.folder.path(&first), b"other");
    assert!(image.finding(4, &first).contains("was shipped with"));
    replace(&image.folder.path(&first), &text);

    for suffix in ["json", "sha256", "left-out"] {
        fs_err::remove_file(image.folder.path(&format!("{PACKS}/rest.{suffix}"))).unwrap();
    }
    for (path, _) in others.iter() {
        let file = image.folder.path(&format!("root{path}"));
        let above = file.parent().unwrap();
        fs_err::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
        fs_err::remove_file(&file).unwrap();
        fs_err::set_permissions(above, Permissions::from_mode(0o555)).unwrap();
    }
    assert_eq!(image.findings(0), [""; 0]);
    replace(
        &image.folder.path(&format!("{DEPENDENCY}/go.mod")),
        b"module other",
    );
    assert!(
        image
            .finding(4, &format!("{DEPENDENCY}/go.mod"))
            .contains("was shipped with")
    );
}

#[test]
fn files_that_are_left_out_are_known_by_their_digests() {
    let image = Image::new();
    let data = image.folder.path(&format!("{DEPENDENCY}/testdata/a.tmp"));
    let in_image = Utf8Path::new("/").join(data.strip_prefix(image.root()).unwrap());
    let left_out = Checksums::from_iter([(in_image, hash_file(&data).unwrap().0)]);
    let folder = data.parent().unwrap();
    fs_err::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs_err::remove_file(&data).unwrap();
    fs_err::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
    image.describe();
    let module = "root/var/cache/go-mod/example.com/!dep@v1.0.0";
    assert!(image.finding(4, module).contains("its files have the hash"));

    let (list, description) = (
        format!("{PACKS}/tiny.left-out"),
        format!("{PACKS}/tiny.json"),
    );
    let text = left_out.to_string();
    image.folder.write(&list, &text);
    let described = fs_err::read_to_string(image.folder.path(&description)).unwrap();
    let mut pack: Value = serde_json::from_str(&described).unwrap();
    pack["left_out_sha256"] = json!(Sha256Hash::of(text.as_bytes()));
    image.folder.write(&description, &pack.to_string());
    let source = image.folder.path("src");
    let findings_with_source = |code| {
        let mut command = image.command();
        command.args(["--source", source.as_str()]);
        findings(&mut command, &image.root(), code)
    };
    assert_eq!(findings_with_source(0), [""; 0]);

    // The hash of a Go module still tells a wrong list from the right one.
    let wrong = text.replacen(&text[..2], if &text[..2] == "00" { "11" } else { "00" }, 1);
    image.folder.write(&list, &wrong);
    let found = image.finding(4, &list);
    assert!(found.contains("the description of the pack"), "{found}");
    pack["left_out_sha256"] = json!(Sha256Hash::of(wrong.as_bytes()));
    image.folder.write(&description, &pack.to_string());
    assert!(image.finding(4, module).contains("its files have the hash"));
    fs_err::remove_file(image.folder.path(&list)).unwrap();
    assert_eq!(image.finding(4, &list), "corrupt: is missing");
    image.folder.write(&list, &text);
    image.folder.write(&description, &described);
    let found = findings_with_source(4);
    assert!(
        found.contains(&format!("corrupt {}", list.strip_prefix("root/").unwrap())),
        "{found:?}"
    );
}
