//! Keys, rights and lists of a base system, and one made of packages that nobody else has.

use std::io::Write as _;

use super::*;

const BOOKWORM: [&str; 2] = [
    "etc/apt/trusted.gpg.d/debian-archive-bookworm-stable.asc",
    "usr/share/keyrings/debian-archive-bookworm-security-automatic.gpg",
];
const OTHERS: [&str; 5] = [
    "etc/apt/trusted.gpg.d/debian-archive-trixie-stable.asc",
    "etc/apt/trusted.gpg.d/debian-archive-bullseye-automatic.asc",
    "usr/share/keyrings/debian-archive-keyring.gpg",
    "usr/share/keyrings/debian-archive-removed-keys.gpg",
    "usr/share/keyrings/debian-archive-trixie-automatic.gpg",
];

fn paths() -> Vec<Utf8PathBuf> {
    let ours = [
        "etc/apt/trusted.gpg.d/mine.asc",
        "usr/share/keyrings/mine.gpg",
    ];
    let all = BOOKWORM.iter().chain(&OTHERS).chain(&ours);
    all.map(|path| Utf8PathBuf::from(*path)).collect()
}

fn left_out(suite: &str, source_lists: &str) -> Vec<String> {
    let found = foreign_keys(&paths(), suite, source_lists);
    found.into_iter().map(Utf8PathBuf::into_string).collect()
}

#[test]
fn keys_of_other_releases_are_left_out() {
    let mut expected = OTHERS;
    expected.sort_unstable();
    assert_eq!(
        left_out("bookworm", "deb http://deb.debian.org/debian bookworm main"),
        expected
    );
}

#[test]
fn a_key_that_a_source_list_names_stays() {
    let list =
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.pgp] http://x bookworm main";
    let found = left_out("bookworm", list);
    assert!(
        !found.iter().any(|path| path.ends_with("-keyring.gpg")),
        "{found:?}"
    );
    assert_eq!(found.len(), OTHERS.len() - 1);
}

#[test]
fn a_release_without_keys_of_its_name_keeps_all() {
    for suite in ["sid", "stable", "book", "noble"] {
        assert_eq!(left_out(suite, ""), [""; 0], "{suite}");
    }
}

#[test]
fn the_layer_has_what_the_archive_has_but_rights_and_foreign_keys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let (archive, blob) = (folder.join("base.tar"), folder.join("layer"));
    let mut tar = tar::Builder::new(fs_err::File::create(&archive).unwrap());
    let list = "deb http://deb.debian.org/debian bookworm main\n";
    let mut entries: Vec<(String, u32, &str)> = paths()
        .into_iter()
        .map(|path| (format!("./{path}"), 0o644, "key"))
        .collect();
    entries.push(("./etc/apt/sources.list".into(), 0o644, list));
    entries.push(("./etc/hostname".into(), 0o644, "mine"));
    entries.push(("./usr/bin/su".into(), 0o4755, "su"));
    entries.push(("./usr/local/".into(), 0o755, ""));
    for (path, mode, content) in &entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    tar.finish().unwrap();
    let mut image = crate::fixtures::image();
    image.base.suite = "bookworm".into();
    write_layer(&image, &archive, &Lock::default(), &blob).unwrap();
    let mut layer = tar::Archive::new(oci::layer::reader(&blob, Some(Compression::Zstd)).unwrap());
    let mut found = Vec::new();
    for entry in layer.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap() & 0o6000, 0);
        found.push(entry.path().unwrap().to_string_lossy().into_owned());
    }
    let gone = |path: &String| OTHERS.contains(&path.as_str()) || path == "etc/hostname";
    let mut expected: Vec<String> = entries
        .into_iter()
        .map(|(path, ..)| path[2..].to_owned())
        .collect();
    expected.retain(|path| !gone(path));
    let list = found.pop().unwrap();
    assert_eq!(format!("/{list}"), BASE_PACKAGES_PATH);
    let above = ["usr/", "usr/local/share/", "usr/local/share/iac-runner/"];
    let expected: Vec<&str> = expected.iter().map(String::as_str).chain(above).collect();
    assert_eq!(found, expected);
}

/// What Debian's archive has below a time: a package `toy` in one suite, and two suites without any. dpkg's own list of
/// what is installed is in the package, as no dpkg runs where nothing else is installed.
fn snapshot(archive: &Utf8Path, time: &str, version: &str) {
    let sh = Shell::new().unwrap();
    let package = archive.join(format!("package-{version}"));
    let paragraph = format!(
        "Package: toy\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@toy.test>\n"
    );
    for (file, text) in [
        ("DEBIAN/control", format!("{paragraph}Description: toy\n")),
        ("usr/share/toy", version.to_owned()),
        (
            "var/lib/dpkg/status",
            format!("{paragraph}Status: install ok installed\n\n"),
        ),
    ] {
        let file = package.join(file);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }
    let debian = archive.join("debian").join(time);
    let deb = debian.join("pool/toy.deb");
    fs_err::create_dir_all(deb.parent().unwrap()).unwrap();
    let _epoch = sh.push_env("SOURCE_DATE_EPOCH", "1");
    host::run(cmd!(
        sh,
        "dpkg-deb --root-owner-group --build {package} {deb}"
    ))
    .unwrap();
    let (digest, bytes) = sha256::hash_file(&deb).unwrap();
    let listed = format!("{paragraph}Filename: pool/toy.deb\nSize: {bytes}\nSHA256: {digest}\n\n");
    suite(&debian, "bookworm", &listed);
    suite(&debian, "bookworm-updates", "");
    suite(
        &archive.join("debian-security").join(time),
        "bookworm-security",
        "",
    );
}

/// A suite whose lists were signed for a day of long ago.
fn suite(debian: &Utf8Path, suite: &str, packages: &str) {
    let Platform { arch, .. } = Platform::host();
    let path = format!("main/binary-{arch}/Packages");
    let folder = debian.join("dists").join(suite);
    fs_err::create_dir_all(folder.join(&path).parent().unwrap()).unwrap();
    fs_err::write(folder.join(&path), packages).unwrap();
    let digest = sha256::Sha256Hash::of(packages.as_bytes());
    let release = format!(
        "Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: {arch}\n\
         Date: Thu, 01 Jan 2026 00:00:00 UTC\nValid-Until: Fri, 02 Jan 2026 00:00:00 UTC\n\
         SHA256:\n {digest} {} {path}\n",
        packages.len()
    );
    fs_err::write(folder.join("Release"), release).unwrap();
}

#[test]
fn a_snapshot_stays_the_same_while_its_server_changes_and_a_lock_refuses_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    match host::require_programs(&host::PROGRAMS) {
        // `cargo xtask test` installs them; the tests of a crate alone may run without.
        Err(error) if std::env::var_os("CI").is_none() => {
            writeln!(std::io::stderr(), "SKIPPED: {error:#}").unwrap();
            return;
        }
        there => there.unwrap(),
    }
    let archive = folder.join("archive");
    let (first, later) = ("20260101T000000Z", "20260202T000000Z");
    snapshot(&archive, first, "1.0");
    let mut image = crate::fixtures::image();
    image.base.suite = "bookworm".into();
    image.base.packages = vec!["toy".into()];
    image.base.snapshots = Some(format!("copy://{archive}"));
    let make = |time: &str, lock: Option<&Lock>, name: &str| {
        let mut image = image.clone();
        image.base.snapshot = Some(time.to_owned());
        let bootstrap = Bootstrap {
            image: &image,
            suite: "bookworm",
            variant: "extract",
            architecture: None,
            mirrors: sources::mirrors(&image.base, "trusted=yes"),
        };
        let folder = folder.join(name);
        fs_err::create_dir(&folder).unwrap();
        let locked = lock.map(|lock| lock.of(&Platform::host()).unwrap());
        bootstrap.write(locked, &Platform::host(), &folder)?;
        kept_layer::read(&folder).map(|it| (it.layer.digest, it.blob))
    };
    let (digest, blob) = make(first, None, "unlocked").unwrap();

    let mut lock = Lock::default();
    let mut names = BTreeSet::new();
    let (mut list, mut digests) = (String::new(), String::new());
    let reader = oci::layer::reader(&blob, Some(Compression::Zstd)).unwrap();
    for entry in tar::Archive::new(reader).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if path == "etc/apt/sources.list" {
            entry.read_to_string(&mut list).unwrap();
        }
        if BASE_PACKAGES_PATH.ends_with(&path) {
            entry.read_to_string(&mut digests).unwrap();
        }
        names.insert(path);
    }
    assert!(names.contains("usr/share/toy"), "{names:?}");
    let lists: Vec<_> = names
        .iter()
        .filter(|name| name.contains("Packages"))
        .collect();
    assert_eq!(lists, [""; 0]);
    assert!(
        list.contains(first) && list.contains("http://deb.debian.org"),
        "{list}"
    );

    let (archive_digest, _) =
        sha256::hash_file(&archive.join("debian").join(first).join("pool/toy.deb")).unwrap();
    let toy = Package {
        name: "toy".into(),
        architecture: "all".into(),
        version: "1.0".into(),
        sha256: archive_digest,
    };
    lock.renew(&Platform::host(), &[toy]);
    assert_eq!(digests, lock.to_string());
    snapshot(&archive, later, "2.0");
    assert_eq!(make(first, Some(&lock), "locked").unwrap().0, digest);
    assert_ne!(make(later, None, "later").unwrap().0, digest);
    let error = make(later, Some(&lock), "refused").unwrap_err();
    assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    let said = failure::text(&error);
    assert!(
        said.contains("toy 1.0 → 2.0") && said.contains("cargo xtask bump base"),
        "{said}"
    );
    let error = make("20260303T000000Z", None, "absent").unwrap_err();
    let said = failure::text(&error);
    assert!(
        said.contains("20260303T000000Z") && said.contains("hint: "),
        "{said}"
    );
}
