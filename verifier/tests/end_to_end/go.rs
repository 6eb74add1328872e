//! A folder with a Go module and caches of its own, and the go command in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Output;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use assert_cmd::Command;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::{ActionGraph, HashLog, Hits, Store};
use sha256::{Sha256Hash, hash_file};

/// One test makes the cache that all copy.
static COMMON_MADE: Once = Once::new();

/// Removed when dropped.
pub struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.root.path()).unwrap().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        // Go indexes no package with a file that is younger than two seconds.
        let modified = SystemTime::now() - Duration::from_secs(3_600);
        let file = fs_err::File::options().append(true).open(path).unwrap();
        file.file().set_modified(modified).unwrap();
    }

    /// A Go module with a main package and a package that it imports; nothing of the standard library but the
    /// runtime, so that a cold build takes seconds.
    pub fn with_module() -> Self {
        let folder = Self::new();
        folder.write("src/go.mod", "module example.com/tiny\n\ngo 1.24\n");
        let main = "package main\n\nimport \"example.com/tiny/greet\"\n\nfunc main() { println(greet.Hello()) }\n";
        folder.write("src/main.go", main);
        folder.write(
            "src/greet/greet.go",
            "package greet\n\nfunc Hello() string { return \"hello\" }\n",
        );
        folder
    }

    /// The text with this folder's own path replaced, which is another each time.
    pub fn redacted(&self, text: &str) -> String {
        text.replace(self.path("").as_str(), "[folder]/")
    }

    /// The go command in the module's folder, with nothing of the machine's settings.
    pub fn go(&self, gocache: &str) -> Command {
        let mut command = Command::new("go");
        command.current_dir(self.path("src"));
        self.set_environment(&mut command, gocache);
        command
    }

    /// Sets what the go command heeds.
    pub fn set_environment(&self, command: &mut Command, gocache: &str) {
        for folder in ["home", "tmp", "cache-home"] {
            fs_err::create_dir_all(self.path(folder)).unwrap();
        }
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        for (name, folder) in [
            ("GOCACHE", gocache),
            ("GOMODCACHE", "modcache"),
            ("HOME", "home"),
            ("TMPDIR", "tmp"),
            ("XDG_CACHE_HOME", "cache-home"),
        ] {
            command.env(name, self.path(folder));
        }
        command.envs([
            ("CGO_ENABLED", "0"),
            ("GOENV", "off"),
            ("GOFLAGS", "-trimpath -buildvcs=false"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOTELEMETRY", "off"),
        ]);
    }

    /// Builds the module; the environment is given as name and value.
    pub fn build<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        &self,
        gocache: &str,
        environment: &[(N, V)],
    ) -> Hits {
        // Under a name of its own, so that builds may run at the same time.
        let scratch = tempfile::tempdir_in(self.root.path()).unwrap();
        let graph = scratch.path().join("graph.json");
        let mut command = self.go(gocache);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
            .arg("build")
            .arg(format!("-debug-actiongraph={}", graph.display()));
        command.arg("-o").arg(scratch.path().join("exe")).arg(".");
        command.assert().success();
        ActionGraph::parse(fs_err::File::open(graph).unwrap())
            .unwrap()
            .hits()
    }

    /// A cache with the runtime, which is compiled once for all tests, in cargo's own folder for such things.
    pub fn common(&self, gocache: &str) -> Store {
        fs_err::create_dir_all(self.path("src")).unwrap();
        let common = Store::at(Utf8Path::new(concat!(
            env!("CARGO_TARGET_TMPDIR"),
            "/go-build"
        )));
        // Nobody may copy what another test is writing.
        COMMON_MADE.call_once(|| {
            let mut command = self.go(gocache);
            command
                .env("GOCACHE", common.root())
                .args(["build", "runtime"])
                .assert()
                .success();
        });
        let store = Store::create(&self.path(gocache)).unwrap();
        for file in common.files().unwrap() {
            fs_err::copy(
                common.root().join(&file.path),
                store.root().join(&file.path),
            )
            .unwrap();
        }
        store
    }

    /// A warm cache: every package and the executable.
    pub fn warm(&self, gocache: &str) -> Store {
        let store = self.common(gocache);
        let exe = self.path("exe");
        let mut command = self.go(gocache);
        command
            .env("GODEBUG", "gocachehash=1")
            .args(["build", "-o", exe.as_str(), "."]);
        let Output { stderr, .. } = command.assert().success().get_output().clone();
        let log = HashLog::scan(&stderr[..]).unwrap();
        store
            .put_file(&log.inputs.links["example.com/tiny"].action, &exe, 1)
            .unwrap();
        store
    }
}

/// Content and time of every file, by path.
pub fn snapshot(store: &Store) -> BTreeMap<Utf8PathBuf, (Sha256Hash, SystemTime)> {
    let files = store.files().unwrap().into_iter().map(|file| {
        let path = store.root().join(&file.path);
        let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
        (file.path, (hash_file(&path).unwrap().0, modified))
    });
    files.collect()
}

/// Fails with the names of the files that were added, removed or changed.
pub fn assert_as_before(store: &Store, before: &BTreeMap<Utf8PathBuf, (Sha256Hash, SystemTime)>) {
    let now = snapshot(store);
    let paths = before.keys().chain(now.keys());
    let changed: Vec<_> = paths
        .filter(|path| before.get(*path) != now.get(*path))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}
