//! Go modules that not everybody may have: fetched with what the user has set up, which stays where it is; or vendored.

use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use super::{place, program};
use crate::support::kept::{FOUNDATION, Kept};
use crate::support::run::{fail, folder, shell, succeed, succeed_with_both, write};

/// What must be nowhere but in the user's files.
const MARKER: &str = "marker-of-a-secret";

/// A repository of the Go module `corp.test/lib.git`, which only the user's git configuration leads to.
fn private_module(root: &Utf8Path) {
    let sh = shell();
    let work = root.join("work");
    write(&work, "go.mod", "module corp.test/lib.git\n\ngo 1.25\n");
    write(&work, "lib.go", "package lib\n");
    sh.change_dir(&work);
    succeed(cmd!(sh, "git init --quiet"));
    succeed(cmd!(sh, "git add ."));
    let user = ["-c", "user.email=a@b.example", "-c", "user.name=a"];
    succeed(cmd!(sh, "git {user...} commit --quiet --message=x"));
    succeed(cmd!(sh, "git tag v1.0.0"));
    let bare = root.join(MARKER).join("lib.git");
    succeed(cmd!(sh, "git clone --quiet --bare {work} {bare}"));
    let home = root.join("home");
    write(
        &home,
        ".gitconfig",
        &format!("[include]\n\tpath = more\n[http]\n\textraHeader = \"X-Secret: {MARKER}\"\n"),
    );
    let url = format!("file://{root}/{MARKER}/");
    let more = format!("[url \"{url}\"]\n\tinsteadOf = https://corp.test/\n");
    write(&home, "more", &more);
    let netrc = format!("machine corp.test login {MARKER} password {MARKER}\n");
    write(&home, ".netrc", &netrc);
    write(&home, ".config/go/env", "GOPRIVATE=corp.test\n");
}

fn source_that_needs_it(source: &Utf8Path) {
    let folder = place("aws", "one");
    let go_mod = "module example.com/one\n\ngo 1.25\n\nrequire corp.test/lib.git v1.0.0\n";
    write(source, &format!("{folder}/go.mod"), go_mod);
    write(
        source,
        &format!("{folder}/main.go"),
        &program("corp.test/lib.git"),
    );
}

/// A shell of a user with this home, whose kept work is of its own.
fn user(home: &Utf8Path, kept: &Kept) -> Shell {
    let sh = shell();
    let old = Utf8PathBuf::from(std::env::var("HOME").unwrap());
    for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        let set = std::env::var(name).unwrap_or(old.join(folder).into_string());
        sh.set_var(name, set);
    }
    sh.set_var("HOME", home);
    sh.set_var("XDG_CACHE_HOME", kept.cache_home());
    sh
}

/// Kept work whose module cache is its own, too, for what git leaves there is looked at; and that cache.
fn kept() -> (Kept, Utf8PathBuf) {
    let kept = Kept::linked(&FOUNDATION);
    let home = Utf8Path::from_path(kept.cache_home()).unwrap();
    let cache = home.join("iac-runner/go-mod");
    fs_err::remove_file(&cache).unwrap();
    (kept, cache)
}

fn is_nowhere_below(folder: &str) {
    let sh = shell();
    // Layers are read as what they hold.
    let script = format!(
        "grep -rlaF {MARKER} {folder}; find {folder} -path '*/blobs/sha256/*' -type f | while read file; do \
         zstd -dcq \"$file\" 2>/dev/null | grep -qaF {MARKER} && echo \"$file\"; done; true"
    );
    assert_eq!(succeed(cmd!(sh, "sh -c {script}")), "");
}

#[test]
fn a_private_module_is_fetched_and_what_that_took_is_nowhere() {
    let (_folder, root) = folder();
    private_module(&root);
    let source = root.join("source");
    source_that_needs_it(&source);
    let (kept, cache) = kept();
    let sh = user(&root.join("home"), &kept);
    let folder = source.join(place("aws", "one"));
    let tidy = cmd!(sh, "go -C {folder} mod tidy").env("GOFLAGS", "-modcacherw");
    succeed(tidy.env("GOMODCACHE", root.join("mod")));
    let out = root.join("out");
    let warm = cmd!(sh, "cargo xtask warm --source {source} --provider aws");
    let (stdout, stderr) = succeed_with_both(warm.arg(format!("--out={out}")));
    for said in [stdout, stderr] {
        assert!(!said.contains(MARKER), "{said}");
    }
    is_nowhere_below(out.as_str());
    is_nowhere_below(kept.cache_home().to_str().unwrap());
    assert!(cache.join("corp.test/lib.git@v1.0.0").is_dir());
}

#[test]
fn where_a_private_module_cannot_be_had_the_settings_are_named() {
    let (_folder, root) = folder();
    private_module(&root);
    let source = root.join("source");
    source_that_needs_it(&source);
    let (kept, _) = kept();
    let sh = user(&root.join("home"), &kept);
    fs_err::remove_file(root.join("home/.gitconfig")).unwrap();
    let warm = cmd!(sh, "cargo xtask warm --source {source} --provider aws");
    let out = root.join("out");
    let said = fail(warm.arg(format!("--out={out}")), 2);
    for sign in [
        "corp.test/lib.git",
        "GOPRIVATE",
        "insteadOf",
        "NETRC",
        "SSH_AUTH_SOCK",
    ] {
        assert!(said.contains(sign), "{said}");
    }
    assert!(!said.contains(MARKER), "{said}");
}

#[test]
fn a_vendored_module_that_cannot_be_fetched_is_said_and_built() {
    let (_folder, source) = folder();
    let folder = place("aws", "one");
    let at = |path: &str| format!("{folder}/{path}");
    let go_mod = "module example.com/one\n\ngo 1.25\n\nrequire corp.invalid/lib v1.2.3\n";
    write(&source, &at("go.mod"), go_mod);
    write(&source, &at("main.go"), &program("corp.invalid/lib"));
    write(
        &source,
        &at("vendor/corp.invalid/lib/lib.go"),
        "package lib\n",
    );
    let list = "# corp.invalid/lib v1.2.3\n## explicit; go 1.20\ncorp.invalid/lib\n";
    write(&source, &at("vendor/modules.txt"), list);
    super::hits_everything(&shell(), &source, 1);
    // A vendor folder that does not fit is not for `go mod tidy` to mend.
    write(
        &source,
        &at("vendor/modules.txt"),
        &list.replace("1.2.3", "1.2.4"),
    );
    let (_folder, out) = crate::support::run::folder();
    let sh = shell();
    let warm = cmd!(sh, "cargo xtask warm --source {source} --provider aws");
    let said = fail(warm.arg(format!("--out={out}/pack")), 2);
    assert!(said.contains("go mod vendor"), "{said}");
}
