//! What is refused in an `image.toml`, and what follows from it.

use super::*;

pub fn shipped() -> String {
    let path = crate::workspace::image_toml();
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn dwarf_and_symbols_are_switches_of_goflags() {
    let mut image = ImageToml::parse(&shipped()).unwrap();
    assert_eq!(
        image.goflags(),
        "-trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags=-s -toolexec=/usr/local/lib/iac-runner/toolexec"
    );
    image.caches.form = Form::Plain;
    assert!(!image.goflags().contains("-toolexec"));
    image.go.dwarf = true;
    image.go.symbols = true;
    assert_eq!(image.goflags(), "-trimpath -buildvcs=false");
}

#[test]
fn the_platform_decides_the_level() {
    let image = ImageToml::parse(&shipped()).unwrap();
    let arm = Platform {
        os: "linux".into(),
        arch: "arm64".into(),
    };
    assert_eq!(image.identity(&arm).goarch_level, "GOARM64=v8.0");
    assert!(!image.go_env(&arm).contains_key("GOAMD64"));
}

#[test]
fn a_value_of_the_base_system_is_neither_an_option_nor_two_settings() {
    let base = |suite: &str, mirror: &str, package: &str, path: &str| Base {
        suite: suite.to_owned(),
        mirror: Some(mirror.to_owned()),
        snapshot: None,
        snapshots: None,
        packages: vec![package.to_owned()],
        exclude: Vec::new(),
        include: vec![path.to_owned()],
    };
    let good = [
        "trixie",
        "https://mirror.example/debian",
        "git",
        "/usr/share/a b/*",
    ];
    let of = |[suite, mirror, package, path]: [&str; 4]| base(suite, mirror, package, path);
    of(good).check().unwrap();
    for bad in ["", "-", "--setup-hook=sh", "a b", "a\nb", "a\tb"] {
        for field in 0..3 {
            let mut values = good;
            values[field] = bad;
            let error = of(values).check().unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{bad:?}");
        }
    }
    for bad in ["", "/usr/*\npre-invoke=sh"] {
        let error = of([good[0], good[1], good[2], bad]).check().unwrap_err();
        assert!(failure::text(&error).contains("include"), "{error:#}");
    }
    let text = shipped().replace("suite = \"", "suite = \"--version ");
    assert!(failure::text(&ImageToml::parse(&text).unwrap_err()).contains("suite"));
}

#[test]
fn a_snapshot_is_a_time_and_no_mirror() {
    let with = |lines: &str| {
        ImageToml::parse(&shipped().replacen("\npackages =", &format!("\n{lines}\npackages ="), 1))
    };
    let snapshot = "snapshot = \"20260101T000000Z\"";
    let server = "snapshots = \"https://mirror.example\"";
    for good in [snapshot, &format!("{snapshot}\n{server}")] {
        let base = with(good).unwrap().base;
        assert_eq!(base.snapshot.as_deref(), Some("20260101T000000Z"));
    }
    for (bad, said) in [
        ("snapshot = \"2026-01-01\"", "20260101T000000Z"),
        ("snapshot = \"20261301T000000Z\"", "20260101T000000Z"),
        ("snapshot = \"20260101T000000Z/../..\"", "20260101T000000Z"),
        (server, "no base.snapshot"),
        (
            &format!("{snapshot}\nmirror = \"http://x\""),
            "exclude each other",
        ),
    ] {
        let error = with(bad).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{bad}");
        assert!(failure::text(&error).contains(said), "{error:#}");
    }
}

#[test]
fn what_becomes_of_go_modules_that_nothing_loads_is_one_of_two_words() {
    let with = |value: &str| {
        let text = shipped().replace("unloaded = \"rest\"", &format!("unloaded = {value}"));
        ImageToml::parse(&text)
    };
    let default = ImageToml::parse(&shipped().replace("[modules]\nunloaded = \"rest\"\n", ""));
    assert_eq!(default.unwrap().modules.unloaded, Unloaded::Rest);
    assert_eq!(with("\"keep\"").unwrap().modules.unloaded, Unloaded::Keep);
    for wrong in ["\"drop\"", "false", "\"\""] {
        let error = with(wrong).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        let said = failure::text(&error);
        assert!(
            said.contains("unloaded") && said.contains("correct it"),
            "{said}"
        );
    }
    let said = failure::text(&with("\"drop\"").unwrap_err());
    assert!(said.contains("expected `rest` or `keep`"), "{said}");
}

#[test]
fn a_pattern_of_modules_is_blamed_on_the_description() {
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(folder.path()).unwrap().join("my.toml");
    let read = |table: &str| {
        fs_err::write(&file, format!("{}\n[source]\n{table}\n", shipped())).unwrap();
        ImageToml::read(&file)
    };
    let pattern = "modules = [\"stacks/*/{provider}\"]";
    assert!(read(pattern).unwrap().source.is_some());
    for (wrong, sign) in [
        (
            "modules = [\"stacks/*\"]",
            "hint: a pattern is a path from the root with {provider} once",
        ),
        (
            &format!("{pattern}\ndiscover = \"pulumi-yaml\""),
            "hint: leave out one",
        ),
    ] {
        let error = read(wrong).unwrap_err();
        let said = failure::text(&error);
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{said}");
        assert!(
            said.starts_with(file.as_str()) && said.contains(sign),
            "{said}"
        );
        assert!(!said.contains("iac-runner.toml"), "{said}");
    }
}

#[test]
fn plugins_of_none_of_all_or_of_some_are_in_the_image() {
    let with = |value: &str| {
        let text = shipped().replace("bake = false", &format!("bake = {value}"));
        ImageToml::parse(&text)
    };
    let none = ImageToml::parse(&shipped()).unwrap();
    let unsaid = ImageToml::parse(&shipped().replace("[plugins]\nbake = false\n", ""));
    assert_eq!(unsaid.unwrap().plugins, none.plugins);
    for (value, aws, civo) in [
        ("false", false, false),
        ("true", true, true),
        ("[]", false, false),
        ("[\"civo\"]", false, true),
    ] {
        let bake = with(value).unwrap().plugins.bake;
        assert_eq!((bake.has("aws"), bake.has("civo")), (aws, civo), "{value}");
    }
    let said = failure::text(&with("\"aws\"").unwrap_err());
    assert!(
        said.contains("expected true, false or a list of providers"),
        "{said}"
    );
}

#[test]
fn an_unknown_key_and_a_setting_of_go_in_the_environment_are_refused() {
    let unknown = shipped().replace("suite =", "suit =");
    assert!(
        ImageToml::parse(&unknown)
            .unwrap_err()
            .to_string()
            .contains("suit")
    );
    let go = shipped().replace("[env]", "[env]\nGOEXPERIMENT = \"x\"");
    assert!(
        ImageToml::parse(&go)
            .unwrap_err()
            .to_string()
            .contains("GOEXPERIMENT")
    );
}
