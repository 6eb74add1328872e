//! Sources whose files are not what their names say: links to secrets, pipes, files without an end.

use super::tests::{LAMBDA, Source, link, skipped};
use super::*;
use crate::{By, source_file};

const SECRET: &str = "machine proxy.example login me password hunter2\n";

fn by_project() -> Layout {
    Layout {
        discover: Some(By::PulumiYaml),
        ..Layout::default()
    }
}

fn program() -> Source {
    Source::new().file("go.mod", "module m\n").main(LAMBDA)
}

/// What is said of a source with `path`, however its modules are found.
fn said(source: &Source, layout: Option<&Layout>) -> String {
    let error = discover(source.root(), layout).unwrap_err();
    assert_eq!(error.kind(), Some(failure::Kind::Usage), "{error}");
    error.to_string()
}

#[test]
fn no_secret_is_read_by_a_link_that_leads_out() {
    let outside = Source::new()
        .file("secret", SECRET)
        .file("text", "main: hunter2\nruntime: go\n");
    let below = |name: &str| format!("{LAMBDA}/{name}");
    for path in [
        "iac-runner.toml".to_owned(),
        "go.mod".to_owned(),
        below("Pulumi.yaml"),
        below("Pulumi.yml"),
        below("Pulumi.json"),
        below("x.go"),
    ] {
        for name in ["secret", "text"] {
            let secret = outside.root().join(name);
            let layout = path.contains("Pulumi").then(by_project);
            for layout in [None, layout] {
                let source = Source::new().file("apis/go.mod", "module m\n").main(LAMBDA);
                link(&source, secret.as_str(), &path);
                if path == "go.mod" {
                    fs_err::remove_file(source.root().join("apis/go.mod")).unwrap();
                }
                let said = said(&source, layout.as_ref());
                assert!(
                    said.contains(&format!("{path}\": a link to {secret}")),
                    "{said}"
                );
                assert!(!said.contains("hunter2"), "{said}");
            }
        }
    }
    // By another link, and by a folder that is one.
    let source = program();
    link(&source, outside.root().as_str(), "out");
    link(&source, "out/secret", "iac-runner.toml");
    let said = said(&source, None);
    assert!(
        said.contains("\"out\": a link to") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_folder_of_a_project_that_leads_out_is_listed_and_its_project_not_read() {
    let outside = Source::new()
        .file("project/Pulumi.yaml", SECRET)
        .file("other/x", "");
    let source = program();
    for name in ["project", "other"] {
        link(&source, outside.root().join(name).as_str(), name);
    }
    let found = discover(source.root(), Some(&by_project())).unwrap();
    let reason = "a link that leads out of the source";
    let expected = [("other", reason, false), ("project", reason, true)];
    assert_eq!(skipped(&found), expected);
}

#[test]
fn a_link_that_stays_is_read() {
    let source = program().file("shared/Pulumi.yaml", "runtime: go\nmain: cmd\n");
    let source = source.main(&format!("{LAMBDA}/cmd"));
    link(
        &source,
        "../../../../../../../shared/Pulumi.yaml",
        &format!("{LAMBDA}/Pulumi.yaml"),
    );
    let program = source.discover().modules[0].program().to_owned();
    assert_eq!(program, format!("{LAMBDA}/cmd"));
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    for path in [
        "iac-runner.toml",
        "go.mod",
        &format!("{LAMBDA}/Pulumi.yaml"),
    ] {
        let source = Source::new().main(LAMBDA);
        let pipe = source.root().join(path);
        nix::unistd::mkfifo(pipe.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = said(&source, None);
        assert!(
            said.contains(path) && said.contains("is no regular file"),
            "{said}"
        );
    }
    let folder = program().file("iac-runner.toml/x", "");
    assert!(
        folder
            .refusal()
            .starts_with("\"iac-runner.toml\" is no regular file")
    );
    let dangling = program();
    link(&dangling, "gone", "iac-runner.toml");
    assert!(
        dangling
            .refusal()
            .starts_with("\"iac-runner.toml\" is no regular file")
    );
}

#[test]
fn a_file_without_an_end_is_refused_by_its_name() {
    let go = format!("{LAMBDA}/main.go");
    for (path, max_bytes) in [
        ("iac-runner.toml", source_file::MAX_BYTES),
        ("go.mod", source_file::MAX_BYTES),
        (&format!("{LAMBDA}/Pulumi.yaml"), 256 << 10),
        (&go, source_file::MAX_GO_BYTES),
    ] {
        let source = program();
        let file = fs_err::File::create(source.root().join(path)).unwrap();
        file.set_len(1 << 40).unwrap();
        let said = said(&source, None);
        let expected = format!("{path}\" is no regular file of at most {max_bytes} bytes");
        assert!(said.contains(&expected), "{said}");
    }
    // Of a Go file the head is enough.
    let source = program();
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(source.root().join(&go))
        .unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(source.discover().modules.len(), 1);
    let license = "// A long licence.\n".repeat(10_000);
    let source = source.file(&go, &format!("{license}package main\n"));
    assert_eq!(source.discover().modules.len(), 1);
}

#[test]
fn a_program_whose_project_cannot_be_understood_is_listed() {
    let source = program()
        .file(&format!("{LAMBDA}/Pulumi.yaml"), "runtime: go\nmain: [\n")
        .file("templates/Pulumi.yaml", "{{ template }}\n");
    let expected = [(LAMBDA, "Pulumi.yaml cannot be understood", true)];
    for layout in [None, Some(by_project())] {
        let found = discover(source.root(), layout.as_ref()).unwrap();
        assert_eq!(skipped(&found), expected);
        assert_eq!(found.modules, []);
    }
}
