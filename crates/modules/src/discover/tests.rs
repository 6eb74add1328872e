//! Sources of every shape, made in a temporary folder, and what is found in them.

use super::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

pub(super) struct Source(tempfile::TempDir);

impl Source {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        let path = self.root().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
        self
    }

    /// A main package in this folder.
    pub fn main(self, folder: &str) -> Self {
        self.file(
            &format!("{folder}/main.go"),
            "package main\n\nfunc main() {}\n",
        )
    }

    pub fn discover(&self) -> Discovery {
        discover(self.root(), None).unwrap()
    }

    pub fn refusal(&self) -> String {
        let error = discover(self.root(), None).unwrap_err();
        assert_eq!(error.kind(), Some(failure::Kind::Usage));
        error.to_string()
    }

    fn import_paths(&self) -> Vec<(String, String)> {
        let modules = self.discover().modules.into_iter();
        modules
            .map(|module| (module.import_path, module.go_mod.into_string()))
            .collect()
    }
}

pub(super) const LAMBDA: &str = "apis/provider/aws/lambda/v1/iac/pulumi";

#[test]
fn the_json_is_as_agreed() {
    let source = Source::new()
        .file("go.mod", "module example.com/repo\n")
        .main(LAMBDA);
    let json = serde_json::to_string_pretty(&source.discover().modules).unwrap();
    insta::assert_snapshot!(json);
}

#[test]
fn modules_are_sorted_by_path_and_names_are_free() {
    let source = Source::new()
        .file("go.mod", "module m")
        .main("apis/x/y/provider/own-cloud/a/b/v1alpha1/iac/pulumi")
        .main("apis/provider/aws/z/iac/pulumi")
        .main("apis/provider/aws-x/a/iac/pulumi")
        .main("apis/provider/aws/iac/pulumi");
    let modules = source.discover().modules;
    let names: Vec<_> = modules
        .iter()
        .map(|m| (m.provider.as_str(), m.component.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("aws-x", "a"),
            ("aws", "aws"),
            ("aws", "z"),
            ("own-cloud", "a/b")
        ]
    );
    assert!(modules.is_sorted_by_key(|module| module.path.as_str()));
}

#[test]
fn go_mod_may_be_anywhere_up_to_the_source() {
    let repository = Source::new().file("go.mod", "module m\n").main(LAMBDA);
    assert_eq!(
        repository.import_paths(),
        [(format!("m/{LAMBDA}"), "go.mod".into())]
    );
    let nearest = repository
        .file("apis/provider/aws/go.mod", "module \"m/aws\" // x\n")
        .file("go.work", "go 1.24\n");
    let expected = [(
        "m/aws/lambda/v1/iac/pulumi".to_owned(),
        "apis/provider/aws/go.mod".to_owned(),
    )];
    assert_eq!(nearest.import_paths(), expected);
    let own = nearest.file(&format!("{LAMBDA}/go.mod"), "module m/lambda\n");
    assert_eq!(
        own.import_paths(),
        [("m/lambda".to_owned(), format!("{LAMBDA}/go.mod"))]
    );
}

#[test]
fn a_go_mod_above_the_source_does_not_count() {
    let source = Source::new()
        .file("go.mod", "module m\n")
        .main(&format!("repo/{LAMBDA}"));
    let error = discover(&source.root().join("repo"), None).unwrap_err();
    assert_eq!(error.kind(), Some(failure::Kind::Usage));
    let message = error.to_string();
    assert!(
        message.contains(LAMBDA) && message.contains("go mod init"),
        "{message}"
    );
}

#[test]
fn a_go_mod_without_a_name_is_named() {
    let source = Source::new().file("apis/go.mod", "go 1.24\n").main(LAMBDA);
    assert!(
        source
            .refusal()
            .starts_with("apis/go.mod has no usable `module` line")
    );
}

#[test]
fn a_go_mod_with_a_byte_order_mark_is_named() {
    let source = Source::new()
        .file("apis/go.mod", "\u{feff}module m\n")
        .main(LAMBDA);
    let expected = "apis/go.mod begins with a byte order mark";
    assert!(source.refusal().starts_with(expected));
}

#[test]
fn folders_that_are_left_out() {
    let mut source = Source::new().file("go.mod", "module m\n");
    for folder in ["vendor", "testdata", "node_modules", ".hidden", "_old"] {
        source = source.main(&format!("apis/{folder}/provider/aws/lambda/iac/pulumi"));
        source = source.main(&format!("apis/provider/aws/{folder}/iac/pulumi"));
    }
    source = source
        .main("vendor/apis/provider/aws/lambda/iac/pulumi")
        .main("lambda/iac/pulumi");
    assert_eq!(source.discover(), Discovery::default());
}

#[test]
fn the_source_itself_may_be_hidden() {
    let source = Source::new()
        .file(".x/vendor/go.mod", "module m")
        .main(&format!(".x/vendor/{LAMBDA}"));
    assert_eq!(
        discover(&source.root().join(".x/vendor"), None)
            .unwrap()
            .modules
            .len(),
        1
    );
}

#[test]
fn what_is_no_main_package_is_skipped_with_the_reason() {
    let file =
        |component: &str, name: &str| format!("apis/provider/aws/{component}/iac/pulumi/{name}");
    let ignored = "//go:build ignore\n\npackage main\n";
    let source = Source::new()
        .file("go.mod", "module m")
        .file(&file("a-none", "README.md"), "")
        .file(&file("a-none", "_x.go"), "package main")
        .file(&file("b-tests", "main_test.go"), "package main")
        .file(&file("c-other", "lib.go"), "package lib")
        .file(&file("c-other", "lib_test.go"), "package main")
        .file(&file("d-ignored", "gen.go"), ignored)
        .file(&file("e-empty", "main.go"), "")
        .file(&file("f-ignored-and-other", "gen.go"), ignored)
        .file(&file("f-ignored-and-other", "lib.go"), "package lib")
        .file(&file("g-main", "gen.go"), ignored)
        .file(&file("g-main", "main.go"), "// Package main.\npackage main")
        .file(&file("h-nested", "module/main.go"), "package main");
    let discovery = source.discover();
    assert_eq!(discovery.modules.len(), 1);
    assert_eq!(discovery.modules[0].component, "g-main");
    let reasons: Vec<_> = discovery
        .skipped
        .iter()
        .map(|skipped| skipped.reason.as_str())
        .collect();
    let expected = [
        "no Go files",
        "only test files",
        "package lib instead of main",
        "all files are excluded by `//go:build ignore`",
        "no file has a package clause",
        "package lib instead of main",
        "no Go files",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(
        discovery.skipped[0].path,
        "apis/provider/aws/a-none/iac/pulumi"
    );
}

#[test]
fn a_folder_is_no_go_file() {
    let source = Source::new()
        .file("go.mod", "module m")
        .file(&format!("{LAMBDA}/main.go/x"), "package main");
    assert_eq!(source.discover().skipped[0].reason, "no Go files");
}

#[test]
fn all_unusable_paths_are_named_at_once_and_escaped() {
    let source = Source::new()
        .file("go.mod", "module m")
        .main("apis/provider/aws/two words/iac/pulumi")
        .main("apis/provider/aws/line\nbreak/iac/pulumi")
        .main("apis/my \"team\"/provider/aws/x/iac/pulumi")
        .main("apis/provider/größe/x/iac/pulumi")
        .file("apis/provider/aws/no program/iac/pulumi/README.md", "")
        .file("apis/free text/README.md", "");
    let message = source.refusal();
    for part in [
        "two words",
        r"line\nbreak",
        r#"my \"team\""#,
        "größe",
        "rename",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(
        !message.contains("no program") && !message.contains("free text"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 5);
}

#[test]
fn a_path_that_is_no_text_is_named() {
    let source = Source::new().file("go.mod", "module m").main(LAMBDA);
    let name = OsStr::from_bytes(b"apis/provider/aws/bad\xff/iac/pulumi");
    let folder = source.root().as_std_path().join(name);
    fs_err::create_dir_all(&folder).unwrap();
    assert_eq!(source.discover().skipped.len(), 1);
    fs_err::write(folder.join("main.go"), "package main").unwrap();
    assert!(source.refusal().contains(r"bad\xFF"));
}

/// A link to `to` at `at` of the source.
pub(super) fn link(source: &Source, to: &str, at: &str) {
    let at = source.root().join(at);
    fs_err::create_dir_all(at.parent().unwrap()).unwrap();
    fs_err::os::unix::fs::symlink(to, at).unwrap();
}

pub(super) fn skipped(discovery: &Discovery) -> Vec<(&str, &str, bool)> {
    let skipped = discovery.skipped.iter();
    skipped
        .map(|it| (it.path.as_str(), it.reason.as_str(), it.looks_like_program))
        .collect()
}

#[test]
fn links_are_followed_by_the_names_they_have() {
    let source = Source::new()
        .file("go.mod", "module m")
        .main("elsewhere/prog")
        .main("shared/gcp/gke/v1/iac/pulumi")
        .main(LAMBDA);
    link(
        &source,
        "../../../../../elsewhere/prog",
        "apis/provider/aws/linked/iac/pulumi",
    );
    link(&source, "../../shared/gcp", "apis/provider/gcp");
    link(
        &source,
        "../../../../../../elsewhere/prog/main.go",
        "apis/provider/aws/main/iac/pulumi/main.go",
    );
    // What is named twice is there twice.
    link(&source, "lambda", "apis/provider/aws/twin");
    let discovery = source.discover();
    let paths: Vec<_> = discovery
        .modules
        .iter()
        .map(|it| (it.path.as_str(), it.import_path.as_str()))
        .collect();
    let expected = [
        "apis/provider/aws/lambda/v1/iac/pulumi",
        "apis/provider/aws/linked/iac/pulumi",
        "apis/provider/aws/main/iac/pulumi",
        "apis/provider/aws/twin/v1/iac/pulumi",
        "apis/provider/gcp/gke/v1/iac/pulumi",
    ];
    let expected: Vec<_> = expected.iter().map(|it| (*it, format!("m/{it}"))).collect();
    let expected: Vec<_> = expected.iter().map(|(a, b)| (*a, b.as_str())).collect();
    assert_eq!(paths, expected);
    assert_eq!(skipped(&discovery), []);
}

#[test]
fn links_that_go_round_end_and_are_listed() {
    let source = Source::new().file("go.mod", "module m").main(LAMBDA);
    link(&source, "..", "apis/loop");
    link(&source, "../apis", "apis/again");
    link(&source, "self", "apis/self");
    link(&source, "gone", "apis/provider/aws/x/iac/pulumi");
    link(&source, "main.go", &format!("{LAMBDA}/other.go"));
    link(&source, "x.go", &format!("{LAMBDA}/x.go"));
    let discovery = source.discover();
    assert_eq!(discovery.modules.len(), 1);
    assert_eq!(
        skipped(&discovery),
        [
            ("apis/again", "a link to a folder that holds it", false),
            ("apis/loop", "a link to a folder that holds it", false),
            (
                "apis/provider/aws/lambda/v1/iac/pulumi/x.go",
                "a link that leads nowhere",
                false
            ),
            (
                "apis/provider/aws/x/iac/pulumi",
                "a link that leads nowhere",
                true
            ),
            ("apis/self", "a link that leads nowhere", false),
        ]
    );
}

#[test]
fn links_between_folders_that_multiply_end() {
    let source = Source::new();
    for from in 0..9 {
        for to in (0..9).filter(|to| *to != from) {
            link(&source, &format!("../{to}"), &format!("apis/{from}/{to}"));
        }
    }
    assert!(source.refusal().starts_with("too many folders"));
}

#[test]
fn what_leads_out_of_the_source_is_refused_by_name() {
    let outside = Source::new().main("program");
    let root = outside.root();
    for (to, at) in [
        (
            root.join("program").as_str(),
            "apis/provider/aws/x/iac/pulumi",
        ),
        (root.as_str(), "apis/provider/gcp"),
        (
            root.join("program/main.go").as_str(),
            "apis/provider/aws/lambda/v1/iac/pulumi/x.go",
        ),
        ("/gone", "apis/provider/aws/lambda/v1/iac/pulumi/go.mod"),
    ] {
        let source = Source::new().file("go.mod", "module m").main(LAMBDA);
        link(&source, to, at);
        let said = source.refusal();
        assert!(said.contains(at) && said.contains(to), "{said}");
    }
}

#[test]
fn the_program_is_the_folder_that_pulumi_yaml_names() {
    let yaml = |main: &str| format!("name: x\nruntime: go\nmain: {main}\n");
    let project = format!("{LAMBDA}/Pulumi.yaml");
    for (main, program) in [
        ("cmd/app", Some(format!("{LAMBDA}/cmd/app"))),
        ("./cmd/app/", Some(format!("{LAMBDA}/cmd/app"))),
        ("cmd/app/main.go", Some(format!("{LAMBDA}/cmd/app"))),
        ("../../../../../../../cmd/lambda", Some("cmd/lambda".into())),
        (".", None),
        ("main.go", None),
    ] {
        let source = Source::new()
            .file("go.mod", "module m\n")
            .file(&project, &yaml(main))
            .main(&format!("{LAMBDA}/cmd/app"))
            .main("cmd/lambda")
            .main(LAMBDA);
        let module = &source.discover().modules[0];
        let folder = program.clone().unwrap_or(LAMBDA.into());
        assert_eq!(module.import_path, format!("m/{folder}"), "{main}");
        assert_eq!(module.path, LAMBDA);
        assert_eq!(module.component, "lambda");
        assert_eq!(module.program(), folder.as_str());
        assert_eq!(module.main, program.map(Into::into));
    }
    for (main, said) in [
        ("../../../../../../../../x", "Pulumi.yaml"),
        ("/x", "Pulumi.yaml"),
    ] {
        let source = Source::new()
            .file("go.mod", "module m\n")
            .file(&project, &yaml(main))
            .main(LAMBDA);
        assert!(source.refusal().contains(said));
    }
    for (main, reason) in [
        ("gone", "gone, which Pulumi.yaml names, is not there"),
        (
            "lib",
            "package lib instead of main in lib, which Pulumi.yaml names",
        ),
    ] {
        let source = Source::new()
            .file("go.mod", "module m\n")
            .file(&project, &yaml(main))
            .file(&format!("{LAMBDA}/lib/lib.go"), "package lib")
            .main(LAMBDA);
        assert_eq!(skipped(&source.discover()), [(LAMBDA, reason, true)]);
    }
}

#[test]
fn a_project_without_a_main_package_looks_like_a_program() {
    for (runtime, looks_like_program) in [("go", true), ("nodejs", false)] {
        let source = Source::new().file(
            &format!("{LAMBDA}/Pulumi.yaml"),
            &format!("name: x\nruntime: {runtime}\n"),
        );
        let expected = [(LAMBDA, "no Go files", looks_like_program)];
        assert_eq!(skipped(&source.discover()), expected);
    }
}

#[test]
fn a_source_without_modules_is_empty() {
    assert_eq!(Source::new().discover(), Discovery::default());
    assert_eq!(
        Source::new().file("apis", "").discover(),
        Discovery::default()
    );
}

#[test]
fn a_source_that_is_none_is_refused() {
    let source = Source::new().file("file", "");
    for (name, reason) in [("gone", "does not exist"), ("file", "is no folder")] {
        let error = discover(&source.root().join(name), None).unwrap_err();
        assert_eq!(error.kind(), Some(failure::Kind::Usage));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_source_says_where_its_modules_are() {
    let table = "[source]\nmodules = [\"stacks/*/{provider}/{component}\"]\n";
    let source = Source::new()
        .file("go.mod", "module m")
        .file("iac-runner.toml", table)
        .main("stacks/prod/aws/vpc")
        .main("stacks/prod/aws/net")
        .main("stacks/dev/.hidden/gcp/gke")
        .main(LAMBDA);
    let named = |discovery: Discovery| -> Vec<(String, String, String)> {
        let modules = discovery.modules.into_iter();
        modules
            .map(|it| (it.path.into_string(), it.provider, it.component))
            .collect()
    };
    let module = |path: &str, provider: &str, component: &str| {
        (path.to_owned(), provider.to_owned(), component.to_owned())
    };
    let expected = [
        module("stacks/prod/aws/net", "aws", "net"),
        module("stacks/prod/aws/vpc", "aws", "vpc"),
    ];
    assert_eq!(named(source.discover()), expected);
    // It counts more than what the image says.
    let usual = Layout::default();
    let found = discover(source.root(), Some(&usual)).unwrap();
    assert_eq!(named(found), expected);

    let by_yaml = Layout {
        discover: Some(crate::By::PulumiYaml),
        ..Layout::default()
    };
    let source = Source::new()
        .file("go.mod", "module m")
        .main("stacks/net")
        .file("stacks/net/Pulumi.yaml", "runtime: go\n")
        .main("one")
        .file("one/Pulumi.yaml", "runtime:\n  name: go\n")
        .file("web/Pulumi.yaml", "runtime: nodejs\n")
        .main(LAMBDA);
    let found = discover(source.root(), Some(&by_yaml)).unwrap();
    assert!(found.skipped.is_empty(), "{found:?}");
    let expected = [
        module("one", "one", "one"),
        module("stacks/net", "stacks", "net"),
    ];
    assert_eq!(named(found), expected);
}

#[test]
fn a_table_that_cannot_be_used_is_refused() {
    for table in [
        "[source]\nmodule = []\n",
        "[sources]\n",
        "[source]\nmodules = [\"stacks\"]\n",
        "[source]\ndiscover = \"all\"\n",
        "[source]\nmodules = [\"{provider}\"]\ndiscover = \"pulumi-yaml\"\n",
    ] {
        let source = Source::new().file("iac-runner.toml", table).main(LAMBDA);
        assert!(source.refusal().starts_with("iac-runner.toml"), "{table}");
    }
}

/// What `work` comes to for a user to whom nothing belongs, in a thread of its own: root may read everything.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let nobody = scope.spawn(|| {
            nix::unistd::setfsuid(65532.into());
            work()
        });
        nobody.join().unwrap()
    })
}

#[test]
fn what_may_not_be_read_is_named_and_is_not_taken_for_an_empty_source() {
    use std::os::unix::fs::PermissionsExt as _;
    let chmod = |path: &Utf8Path, mode| {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let source = Source::new()
        .file("go.mod", "module example.com/repo\n")
        .file("other/Pulumi.yaml", "runtime: go\n")
        .file(&format!("{LAMBDA}/Pulumi.yaml"), "runtime: go\n")
        .main(LAMBDA);
    let root = source.root();
    chmod(root, 0o755);
    let found = || as_nobody(|| discover(root, None));
    assert_eq!(found().unwrap().modules.len(), 1);
    for (path, named, mode) in [
        ("", "iac-runner.toml", 0o700),
        ("apis", "apis", 0o700),
        ("apis", "apis/provider", 0o744),
        ("apis/provider/aws", "apis/provider/aws", 0o700),
        (
            LAMBDA,
            "apis/provider/aws/lambda/v1/iac/pulumi/Pulumi.yaml",
            0o744,
        ),
        (
            "apis/provider/aws/lambda/v1/iac/pulumi/main.go",
            "apis/provider/aws/lambda/v1/iac/pulumi/main.go",
            0o600,
        ),
        (
            "apis/provider/aws/lambda/v1/iac/pulumi/Pulumi.yaml",
            "apis/provider/aws/lambda/v1/iac/pulumi/Pulumi.yaml",
            0o600,
        ),
        ("go.mod", "go.mod", 0o600),
    ] {
        let (place, named) = (root.join(path), root.join(named));
        let usual = fs_err::metadata(&place).unwrap().permissions();
        chmod(&place, mode);
        let error = found().unwrap_err();
        assert_eq!(error.kind(), Some(failure::Kind::Usage), "{path}: {error}");
        let expected = format!("cannot be read: {named};");
        assert!(error.to_string().starts_with(&expected), "{path}: {error}");
        fs_err::set_permissions(&place, usual).unwrap();
    }
    // What is no module's business may stay closed.
    chmod(&root.join("other"), 0o700);
    let projects = || as_nobody(|| crate::projects(root.as_std_path()));
    assert_eq!(projects().unwrap().len(), 1);
    assert_eq!(found().unwrap().modules.len(), 1);
}
