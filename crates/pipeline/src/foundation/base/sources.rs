//! Where the packages of the base system come from, and where the image's own apt looks for more.
//!
//! From a snapshot, everybody gets the same packages on every day. Its lists were signed for some days and are as old
//! as they should be, so it alone is believed after that. In the image, apt has the suite's own sources all the same:
//! whoever installs more there wants what is mended meanwhile, not what was current when the image was described.

use camino::Utf8Path;

use crate::image_toml::Base;

/// Debian's own snapshots.
const SNAPSHOTS: &str = "http://snapshot.debian.org/archive";

/// The keys of Debian, for build machines whose apt does not believe them anyway.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Suites that get what is new at once, and have no others for it.
const ROLLING: [&str; 2] = ["sid", "unstable"];

/// What lines need so that apt believes the keys of Debian.
pub fn trust() -> String {
    if Utf8Path::new(KEYRING).is_file() {
        format!("signed-by={KEYRING}")
    } else {
        String::new()
    }
}

/// What `mmdebstrap` is given as its mirrors; none where it takes those of the suite.
pub fn mirrors(base: &Base, trust: &str) -> Vec<String> {
    let Some(snapshot) = &base.snapshot else {
        return base.mirror.iter().cloned().collect();
    };
    let server = base.snapshots.as_deref().unwrap_or(SNAPSHOTS);
    let server = server.trim_end_matches('/');
    let options = format!("[check-valid-until=no {trust}]").replace(" ]", "]");
    let archive = |name: &str| format!("{options} {server}/{name}/{snapshot}");
    lines(&base.suite, &archive("debian"), &archive("debian-security"))
}

/// The image's `sources.list` where it is not what `mmdebstrap` was given.
pub fn in_image(base: &Base) -> Option<String> {
    let snapshot = base.snapshot.as_ref()?;
    let lines = lines(
        &base.suite,
        "http://deb.debian.org/debian",
        "http://security.debian.org/debian-security",
    );
    let lines = lines.join("\n");
    Some(format!(
        "# What is installed is from the snapshot {snapshot}; more comes from the suite as it is now.\n{lines}\n"
    ))
}

fn lines(suite: &str, debian: &str, security: &str) -> Vec<String> {
    let mut lines = vec![format!("deb {debian} {suite} main")];
    if !ROLLING.contains(&suite) {
        lines.push(format!("deb {debian} {suite}-updates main"));
        lines.push(format!("deb {security} {suite}-security main"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(suite: &str, snapshot: Option<&str>) -> Base {
        Base {
            suite: suite.to_owned(),
            snapshot: snapshot.map(str::to_owned),
            ..crate::fixtures::image().base
        }
    }

    #[test]
    fn a_snapshot_gives_packages_and_their_fixes_and_the_image_goes_on_with_the_suite() {
        let mut base = base("bookworm", Some("20260101T000000Z"));
        let debian = "http://snapshot.debian.org/archive/debian/20260101T000000Z";
        let security = "http://snapshot.debian.org/archive/debian-security/20260101T000000Z";
        let options = "[check-valid-until=no signed-by=/key]";
        assert_eq!(
            mirrors(&base, "signed-by=/key"),
            [
                format!("deb {options} {debian} bookworm main"),
                format!("deb {options} {debian} bookworm-updates main"),
                format!("deb {options} {security} bookworm-security main"),
            ]
        );
        base.snapshots = Some("https://mirror.example/snapshots/".to_owned());
        assert_eq!(
            mirrors(&base, "")[0],
            "deb [check-valid-until=no] https://mirror.example/snapshots/debian/20260101T000000Z bookworm main"
        );
        insta::assert_snapshot!(in_image(&base).unwrap());
    }

    #[test]
    fn a_suite_that_rolls_has_one_source() {
        let base = base("sid", Some("20260101T000000Z"));
        assert_eq!(mirrors(&base, "").len(), 1);
        assert_eq!(in_image(&base).unwrap().lines().count(), 2);
    }

    #[test]
    fn without_a_snapshot_all_is_as_the_suite_or_the_mirror_has_it() {
        let mut base = base("bookworm", None);
        assert_eq!(mirrors(&base, "signed-by=/key"), [""; 0]);
        base.mirror = Some("https://mirror.example/debian".to_owned());
        assert_eq!(mirrors(&base, ""), ["https://mirror.example/debian"]);
        assert_eq!(in_image(&base), None);
    }
}
