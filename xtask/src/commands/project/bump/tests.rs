//! Pins raised in a copy: by a module proxy in a folder, and by git repositories beside it.

use camino::Utf8Path;
use oci::platform::Platform;
use pipeline::foundation::base::Package;
use pipeline::foundation::base::lock::LOCK;

use super::*;

/// A copy of `image.toml`, with a module proxy and the repository of an action.
struct Place {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        fs_err::create_dir(root.join("workflows")).unwrap();
        fs_err::copy(workspace::image_toml(), root.join("image.toml")).unwrap();
        Self {
            _folder: folder,
            root,
        }
    }

    fn read(&self, check: bool) -> Pinned {
        let file = self.root.join("image.toml");
        let pinned = Pinned::read(file, self.root.join("workflows"), check).unwrap();
        pinned
            .sh
            .set_var("GOPROXY", format!("file://{}/proxy", self.root));
        pinned.sh.set_var("GOSUMDB", "off");
        pinned.sh.set_var("GOTOOLCHAIN", "local");
        pinned.sh.set_var("GOMODCACHE", self.root.join("go-mod"));
        pinned.sh.set_var("GOFLAGS", "-mod=mod -modcacherw");
        // Whose repositories are asked for.
        pinned.sh.set_var("GIT_CONFIG_COUNT", "1");
        pinned.sh.set_var(
            "GIT_CONFIG_KEY_0",
            format!("url.file://{}/.insteadOf", self.root),
        );
        pinned
            .sh
            .set_var("GIT_CONFIG_VALUE_0", "https://github.com/");
        pinned
    }

    fn file(&self, path: &str, text: &str) {
        let file = self.root.join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs_err::read_to_string(self.root.join(path)).unwrap()
    }
}

fn shown(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn go_is_raised_to_the_newest_stable_version_and_comments_stay() {
    let place = Place::new();
    let Platform { os, arch } = Platform::host();
    let versions = ["1.99.9", "1.100.1", "1.101rc1", "1.26.8"];
    let mut listed = versions
        .map(|it| format!("v0.0.1-go{it}.{os}-{arch}\n"))
        .concat();
    listed += "v0.0.1-go1.200.0.plan9-386\n";
    place.file("proxy/golang.org/toolchain/@v/list", &listed);
    for version in listed.lines() {
        let file = format!("proxy/golang.org/toolchain/@v/{version}");
        let info = format!("{{\"Version\":\"{version}\",\"Time\":\"2026-01-01T00:00:00Z\"}}");
        place.file(&format!("{file}.info"), &info);
        place.file(&format!("{file}.mod"), "module golang.org/toolchain\n");
    }
    let before = place.text("image.toml");
    let old = ImageToml::parse(&before).unwrap().go.version;
    let expected = before.replace(
        &format!("version = \"{old}\"\ngoroot"),
        "version = \"1.100.1\"\ngoroot",
    );
    assert_ne!(before, expected);

    let names = ["go".to_owned()];
    let mut pinned = place.read(false);
    let (changes, failures) = raise_all(&mut pinned, &names).unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(shown(&changes), [format!("go {old} → 1.100.1")]);
    pinned.write().unwrap();
    assert_eq!(place.text("image.toml"), expected);
    let (changes, _) = raise_all(&mut place.read(false), &names).unwrap();
    assert_eq!(shown(&changes), ["go 1.100.1: nothing newer"]);

    let (changes, _) = raise_all(&mut place.read(true), &["go=1.26.8".to_owned()]).unwrap();
    assert_eq!(shown(&changes), ["go 1.100.1 → 1.26.8"]);
    let (_, failures) = raise_all(&mut place.read(true), &["go=1.1.1".to_owned()]).unwrap();
    assert_eq!(failure::kind(&failures[0], &[]), failure::Kind::Usage);
    let unknown = raise_all(&mut place.read(true), &["rust".to_owned()]).unwrap_err();
    assert!(failure::text(&unknown).contains("opentofu"), "{unknown:#}");
}

#[test]
fn actions_are_raised_by_the_tags_of_their_repositories_and_what_fails_leaves_the_others() {
    let place = Place::new();
    let sh = Shell::new().unwrap();
    let repository = place.root.join("toy/action");
    fs_err::create_dir_all(&repository).unwrap();
    let _folder = sh.push_dir(&repository);
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@toy.test"];
        host::read(cmd!(sh, "git {identity...} {arguments...}")).unwrap()
    };
    git(&["init", "--quiet"]);
    let commit = |tag: &str, flag: &[&str]| {
        git(&["commit", "--quiet", "--allow-empty", "-m", tag]);
        git(&[&["tag", tag], flag].concat());
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    };
    let old = commit("v1.2.0", &[]);
    let new = commit("v2.0.0", &["-m", "an object of its own"]);
    let workflow =
        |commit: &str, version: &str| format!("- uses: toy/action@{commit} # v{version}\n");
    place.file("workflows/ci.yml", &workflow(&old, "1.2.0"));

    let before = place.text("image.toml");
    let mut pinned = place.read(false);
    let names = ["actions", "go"].map(str::to_owned);
    let (changes, failures) = raise_all(&mut pinned, &names).unwrap();
    assert_eq!(shown(&changes), ["toy/action 1.2.0 → 2.0.0"]);
    let [failure] = &failures[..] else {
        panic!("{failures:?}")
    };
    assert!(
        failure.to_string().contains("go stays as it is"),
        "{failure:#}"
    );
    pinned.write().unwrap();
    assert_eq!(place.text("workflows/ci.yml"), workflow(&new, "2.0.0"));
    assert_eq!(place.text("image.toml"), before);

    place.file(
        "workflows/other.yml",
        &format!("- uses: toy/absent@{old} # v1.0.0\n"),
    );
    let mut pinned = place.read(false);
    let (_, failures) = raise_all(&mut pinned, &["actions".to_owned()]).unwrap();
    assert!(
        format!("{:#}", failures[0]).contains("toy/absent"),
        "{failures:?}"
    );
    assert!(pinned.files.is_empty());
}

fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.to_owned(),
        architecture: "all".to_owned(),
        version: version.to_owned(),
        sha256: sha256::Sha256Hash::of(version.as_bytes()),
    }
}

#[test]
fn a_base_system_is_pinned_by_a_time_and_raised_to_today_with_its_packages() {
    let place = Place::new();
    let raise = |pinned: &mut Pinned, wanted: Option<&str>, packages: &[Package]| {
        super::base::raise_with(pinned, wanted, "20260301T000000Z", |_, _| {
            Ok(packages.to_vec())
        })
    };
    let mut pinned = place.read(false);
    let changes = raise(&mut pinned, None, &[]).unwrap();
    assert_eq!(shown(&changes), ["base without a snapshot: nothing newer"]);
    assert!(pinned.files.is_empty());
    let error = raise(&mut pinned, Some("today"), &[]).unwrap_err();
    assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);

    let wanted = Some("20260101T000000Z");
    let changes = raise(&mut pinned, wanted, &[package("git", "1")]).unwrap();
    assert_eq!(
        shown(&changes),
        [
            "base without a snapshot → 20260101T000000Z",
            "base: git none → 1"
        ]
    );
    pinned.write().unwrap();
    assert!(Utf8Path::new(&place.root).join(LOCK).is_file());

    let mut pinned = place.read(false);
    let changes = raise(
        &mut pinned,
        None,
        &[package("git", "2"), package("less", "1")],
    )
    .unwrap();
    assert_eq!(
        shown(&changes),
        [
            "base 20260101T000000Z → 20260301T000000Z",
            "base: git 1 → 2",
            "base: less none → 1"
        ]
    );
    pinned.write().unwrap();
    let image = ImageToml::parse(&place.text("image.toml")).unwrap();
    assert_eq!(image.base.snapshot.as_deref(), Some("20260301T000000Z"));
    let before = fs_err::read_to_string(workspace::image_toml()).unwrap();
    let added = place
        .text("image.toml")
        .replace("snapshot = \"20260301T000000Z\"\n", "");
    assert_eq!(added, before, "and nothing else changes");
}
