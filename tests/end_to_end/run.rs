//! Running the project's own command and the tools that look at what it made.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

/// How long a daemon may take to answer.
const START: Duration = Duration::from_secs(60);

/// The folder of the workspace.
pub fn workspace() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A command that is not run yet, and that knows nothing of what cargo says to a test, like one of a user's shell: some
/// crates would be compiled anew for it.
#[expect(
    clippy::disallowed_methods,
    reason = "tests look from outside, like a user's shell"
)]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo xtask` with these arguments, as a user types it.
pub fn xtask(arguments: &[&str]) -> Command {
    let mut command = command("cargo");
    command
        .current_dir(workspace())
        .args(["xtask"])
        .args(arguments);
    command
}

/// `cargo xtask base-image` of a source.
pub fn base_image(source: &Utf8Path, out: &Utf8Path, flags: &[&str]) -> Command {
    let mut command = xtask(&[
        "base-image",
        "--source",
        source.as_str(),
        "--out",
        out.as_str(),
    ]);
    command.args(flags);
    command
}

/// Runs `command`, which must succeed, and returns what it printed.
pub fn succeed(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{command:?} failed:\n{}",
        text(&done)
    );
    String::from_utf8(done.stdout).unwrap()
}

/// Runs `command`, which must end with `code`, and returns what it said.
pub fn fail(command: &mut Command, code: i32) -> String {
    let done = command.output().unwrap();
    assert_eq!(
        done.status.code(),
        Some(code),
        "{command:?}:\n{}",
        text(&done)
    );
    text(&done)
}

/// Standard output and standard error.
fn text(done: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}

/// Whether `program argument` succeeds, which `test` needs and no test sees to; if not, says that it is skipped.
pub fn succeeds_or_skipped(program: &str, argument: &str, test: &str) -> bool {
    let succeeds = command(program)
        .arg(argument)
        .output()
        .is_ok_and(|done| done.status.success());
    if !succeeds {
        // Past the test harness, which would swallow it.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED {test}: `{program} {argument}` fails").unwrap();
    }
    succeeds
}

/// A program that serves until this goes.
pub struct Daemon(Child);

impl Daemon {
    /// Starts it, and waits until it answers.
    pub fn start(daemon: &mut Command, answers: impl Fn() -> bool) -> Self {
        let this = Self(daemon.stdin(Stdio::null()).spawn().unwrap());
        assert!(comes_true(answers), "{daemon:?} does not answer");
        this
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Waits until `it` is true, but not for ever; whether it became so.
fn comes_true(it: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !it() {
        if started.elapsed() > START {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// A temporary folder, and its path.
pub fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

/// Writes `content` to `path` below `root`.
pub fn write(root: &Utf8Path, path: &str, content: &str) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

/// A folder for kept work in which everything is that no provider's pack is, as earlier runs left it: what is made there
/// waits for nobody. It is beside theirs, so that links reach.
pub fn work_without_packs() -> tempfile::TempDir {
    let kept = std::env::var("XDG_CACHE_HOME").map_or_else(
        |_| Utf8PathBuf::from(std::env::var("HOME").unwrap()).join(".cache"),
        Utf8PathBuf::from,
    );
    let place = tempfile::tempdir_in(&kept).unwrap();
    let work = place.path().join("iac-runner");
    for step in ["base", "go", "std", "tool", "tools-layer", "common"] {
        let from = kept.join("iac-runner").join(step);
        if !from.exists() {
            continue;
        }
        // Each result by itself: what is added later is this folder's own.
        fs_err::create_dir_all(work.join(step)).unwrap();
        for result in from.read_dir_utf8().unwrap() {
            let result = result.unwrap();
            let link = work.join(step).join(result.file_name());
            fs_err::os::unix::fs::symlink(result.path(), link).unwrap();
        }
    }
    place
}
