use gocache::objects;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn turns(folder: &Utf8Path) -> Turns {
    Turns::in_folder(folder.join("turns"), rustix::process::geteuid().as_raw())
}

/// An archive of a package as the compiler writes it, cut where `object_code` is none.
fn archive(export_data: &str, object_code: Option<&str>) -> String {
    let header = |name: &str, size: usize| {
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644)
    };
    let code = object_code.map(|it| header("_go_.o", it.len()) + it);
    let export_data = header("__.PKGDEF", export_data.len()) + export_data;
    format!("!<arch>\n{export_data}{}", code.unwrap_or_default())
}

#[test]
fn lists_and_arguments_name_whole_archives_however_they_are_given() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        fs_err::write(&path, content).unwrap();
        path
    };
    let cut = file("cut-d", &archive("go object\n", None));
    let main = file("main.a", &archive("go object mai\n", None));
    let whole = file("whole.a", &archive("go object\n", Some("code")));
    let other = file("other", "no archive");
    let text = format!(
        "# import config\npackagefile a/b={cut}\npackagefile c={whole}\nmodinfo \"x=y\"\n\
         packagefile d={cut}\npackageshlib e={other}\npackagefile gone={folder}/gone\n"
    );
    let list = file("importcfg.link", &text);
    for flag in [
        format!("-importcfg {list}"),
        format!("--importcfg={list}"),
        format!("-importcfg={list}"),
    ] {
        let given = format!("-o {folder}/a.out {flag} -buildid=x -X a.b=c {main}");
        let arguments = words(&given);
        let link = Link::of(&arguments).unwrap();
        assert_eq!(link.folder, folder);
        let incomplete = link.incomplete().unwrap();
        let found: Vec<_> = incomplete.keys().collect();
        assert_eq!(found, [&cut, &main], "{flag}");
        let target = folder.join("whole");
        fs_err::create_dir_all(&target).unwrap();
        let changed = link.with(&incomplete, &target).unwrap();
        let changed: Vec<_> = changed.iter().map(|it| it.to_str().unwrap()).collect();
        let new_list = target.join("importcfg-0");
        let place = |file: &Utf8PathBuf| target.join(incomplete[file].to_string());
        let expected = given
            .replace(list.as_str(), new_list.as_str())
            .replace(main.as_str(), place(&main).as_str());
        assert_eq!(changed.join(" "), expected);
        let written = fs_err::read_to_string(new_list).unwrap();
        assert_eq!(written, text.replace(cut.as_str(), place(&cut).as_str()));
    }
}

/// Packs the object code of `whole`, an archive that is `cut` without, into `objects`.
fn pack(objects: &Utf8Path, cut: &str, whole: &str) {
    let archive = objects::ExportOnly {
        whole: Sha256Hash::of(whole.as_bytes()),
        whole_bytes: whole.len() as u64,
        export_only: Sha256Hash::of(cut.as_bytes()),
        export_bytes: cut.len() as u64,
        actions: Vec::new(),
    };
    fs_err::create_dir_all(objects).unwrap();
    let file = objects.join("whole");
    fs_err::write(&file, whole).unwrap();
    let index = objects::pack(&[archive], |_| file.clone(), 3, &objects.join("p.zst"));
    fs_err::write(objects.join("p.json"), index.unwrap().to_json()).unwrap();
}

#[test]
fn the_linker_gets_whole_archives_has_turns_left_to_others_and_decides_how_it_ends() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let [cut, whole] = [None, Some("code")].map(|code| archive("go object\n", code));
    let (objects, file) = (folder.join("objects"), folder.join("cut-d"));
    pack(&objects, &cut, &whole);
    fs_err::write(&file, &cut).unwrap();
    let list = folder.join("importcfg.link");
    fs_err::write(&list, format!("packagefile a={file}\n")).unwrap();
    // Its folder is gone when it ends, as if somebody else was faster.
    let script = format!(
        "list=${{0#*=}}; cmp {objects}/whole $(sed s/.*=// $list) || exit 3
         flock -n {folder}/turns/unpacking/0 true || exit 4
         rm -r ${{list%/*}}; exit 5"
    );
    let arguments = [
        "-c".into(),
        script.into(),
        format!("-importcfg={list}").into(),
    ];
    let linked = link(OsStr::new("/bin/sh"), &arguments, &objects, &turns(folder));
    let Done::Ended(status) = linked.unwrap() else {
        panic!("an archive is to be put together");
    };
    assert_eq!(status.code(), Some(5));
}

#[test]
fn an_output_has_the_digest_of_its_name_and_is_refused_where_that_is_another_ones() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let objects = folder.join("objects");
    let [cut, whole] = [None, Some("code")].map(|code| archive("go object\n", code));
    pack(&objects, &cut, &whole);
    let named = Sha256Hash::of(cut.as_bytes());
    let output = gocache::Store::create(&folder.join("cache")).unwrap();
    let output = output.output_path(&named);
    // As long, and as whole by its shape.
    let other = archive("go tcejbo\n", None);
    fs_err::write(&output, &other).unwrap();
    assert_eq!(digest(&output).unwrap(), named);
    let list = folder.join("importcfg.link");
    fs_err::write(&list, format!("packagefile a={output}\n")).unwrap();
    let arguments = words(&format!("-importcfg {list}"));
    let linked = link(
        OsStr::new("/bin/true"),
        &arguments,
        &objects,
        &turns(folder),
    );
    let error = linked.err().expect("it is refused");
    assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
    let said = failure::text(&error);
    assert!(said.contains("is not whole with it"), "{said}");

    let elsewhere = folder.join(format!("{named}-d"));
    fs_err::write(&elsewhere, &other).unwrap();
    assert_eq!(
        digest(&elsewhere).unwrap(),
        Sha256Hash::of(other.as_bytes())
    );
}

#[test]
fn object_code_is_unpacked_by_one_link_at_a_time() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let cut = folder.join("cut-d");
    fs_err::write(&cut, archive("go object\n", None)).unwrap();
    let list = folder.join("importcfg.link");
    fs_err::write(&list, "").unwrap();
    let arguments = words(&format!("-importcfg {list} {cut}"));
    let other = turns(folder).unpack();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let nowhere = folder.join("nowhere");
            link(
                OsStr::new("/bin/true"),
                &arguments,
                &nowhere,
                &turns(folder),
            )
            .is_err()
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!waiting.is_finished());
        drop(other);
        assert!(waiting.join().unwrap(), "there is no object code");
    });
}

#[test]
fn without_its_object_code_nothing_is_linked_and_nothing_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let cut = folder.join("cut-d");
    fs_err::write(&cut, archive("go object\n", None)).unwrap();
    let list = folder.join("importcfg.link");
    fs_err::write(&list, format!("packagefile a={cut}\n")).unwrap();
    let arguments = words(&format!("-importcfg {list}"));
    let (nowhere, elsewhere) = (folder.join("nowhere"), tempfile::tempdir().unwrap());
    let turns = turns(Utf8Path::from_path(elsewhere.path()).unwrap());
    let linked = link(OsStr::new("/bin/true"), &arguments, &nowhere, &turns);
    let error = linked.err().expect("there is no object code");
    assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
    let said = failure::text(&error);
    assert!(said.contains("cut-d has no object code to link"), "{said}");
    assert!(said.contains("pull it again"), "{said}");
    assert_eq!(fs_err::read_dir(folder).unwrap().count(), 2);
}

#[test]
fn a_path_is_no_reason_to_refuse_a_link_with_nothing_to_put_together() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join(OsStr::from_bytes(b"\xff"));
    fs_err::create_dir(&folder).unwrap();
    let (archive_file, list) = (folder.join("a.a"), folder.join("importcfg.link"));
    let text = [
        b"packagefile a=",
        archive_file.as_os_str().as_bytes(),
        b"\n",
    ]
    .concat();
    fs_err::write(&list, text).unwrap();
    let arguments = ["-importcfg".into(), list.into()];
    let linked = |code| {
        fs_err::write(&archive_file, archive("go object\n", code)).unwrap();
        let turns = turns("/nowhere".into());
        link(
            OsStr::new("/bin/true"),
            &arguments,
            "/nowhere".into(),
            &turns,
        )
    };
    let Done::Become(unchanged) = linked(Some("code")).unwrap() else {
        panic!("there is nothing to put together");
    };
    assert_eq!(unchanged, arguments);
    let said = failure::text(&linked(None).err().expect("it is refused"));
    assert!(said.contains("its path is no UTF-8"), "{said}");
}

#[test]
fn a_folder_that_no_list_can_name_is_refused_before_anything_is_put_there() {
    let temporary = tempfile::tempdir().unwrap();
    for name in [&b"a\nb"[..], b"\xff"] {
        let folder = temporary.path().join(OsStr::from_bytes(name));
        fs_err::create_dir(&folder).unwrap();
        let (cut, list) = (
            temporary.path().join("cut-d"),
            folder.join("importcfg.link"),
        );
        fs_err::write(&cut, archive("go object\n", None)).unwrap();
        fs_err::write(&list, "").unwrap();
        let arguments = ["-importcfg".into(), list.into(), cut.into()];
        let turns = turns("/nowhere".into());
        let linked = link(
            OsStr::new("/bin/true"),
            &arguments,
            "/nowhere".into(),
            &turns,
        );
        let said = failure::text(&linked.err().expect("it is refused"));
        assert!(said.contains("GOTMPDIR names another place"), "{said}");
        assert_eq!(fs_err::read_dir(folder).unwrap().count(), 1);
    }
}
