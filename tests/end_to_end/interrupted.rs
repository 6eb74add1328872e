//! Commands that are killed at random moments: what they leave is whole or absent, and the next run finishes.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use daemon::registry::Access;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::sources::small;
use crate::support::image::Layout;
use crate::support::registry::Registry;
use crate::support::run::{as_user, ended, folder, shell, succeed};

/// How many commands are killed, all together, if the variable of this name does not say otherwise.
const KILLS: (&str, usize) = ("IAC_RUNNER_KILLS", 6);
/// How many commands there are, each of which is killed as often as the others.
const COMMANDS: usize = 6;
/// In which order of moments; the same each time.
const SEED: u64 = 20_260_101;

/// What all rounds start from, and what each of them must come to.
struct Rounds {
    sh: Shell,
    source: Utf8PathBuf,
    /// Archives of all packs but the one that is made first.
    packs: Utf8PathBuf,
    /// Kept work of its own: it is killed, too.
    cache: Utf8PathBuf,
    /// Where results go; nothing else is in there.
    results: Utf8PathBuf,
    expected: Utf8PathBuf,
    /// What `base-image` makes of the source.
    layout: Utf8PathBuf,
    random: StdRng,
    kills: usize,
    _guard: tempfile::TempDir,
}

impl Rounds {
    fn new() -> Self {
        let sh = shell();
        let (guard, root) = folder();
        let source = root.join("source");
        small(&source);
        let packs = root.join("packs");
        fs_err::create_dir(&packs).unwrap();
        for names in [&["base", "tools", "common"][..], &["aws"]] {
            let names = names.iter().flat_map(|name| ["--provider", name]);
            succeed(cmd!(
                sh,
                "cargo xtask warm --source {source} --push {packs} {names...}"
            ));
        }
        succeed(cmd!(
            sh,
            "cargo xtask base-image --source {source} --out {root}/image"
        ));
        let kills = std::env::var(KILLS.0).map_or(KILLS.1, |kills| kills.parse().unwrap());
        let cache = root.join("cache");
        sh.set_var("XDG_CACHE_HOME", &cache);
        let rounds = Self {
            sh,
            source,
            packs,
            cache,
            results: root.join("results"),
            expected: root.join("expected"),
            layout: root.join("image/oci"),
            random: StdRng::seed_from_u64(SEED),
            kills,
            _guard: guard,
        };
        fs_err::create_dir(&rounds.expected).unwrap();
        rounds
    }

    fn archives(&self, names: &[&str]) -> Vec<String> {
        let archive = |name: &&str| self.packs.join(format!("{name}.tar")).into_string();
        names.iter().map(archive).collect()
    }

    /// An empty folder for results.
    fn empty(&self) {
        if self.results.exists() {
            fs_err::remove_dir_all(&self.results).unwrap();
        }
        fs_err::create_dir(&self.results).unwrap();
    }

    /// Kills its share of all the commands: those that `make` makes, each after `reset`. `check` looks at what a killed
    /// one left, or a finished one: it is told which.
    fn kill<R>(
        &mut self,
        reset: impl Fn(&Self) -> R,
        make: impl for<'s> Fn(&'s Self, &R) -> Cmd<'s>,
        check: impl Fn(&Self, &R, Left),
    ) {
        let round = reset(self);
        let started = Instant::now();
        succeed(make(self, &round));
        let whole = started.elapsed();
        check(self, &round, Left::Finished);
        for _ in 0..self.kills.div_ceil(COMMANDS) {
            let round = reset(self);
            let moment = whole.mul_f64(self.random.random_range(0.0..1.0));
            kill_after(make(self, &round), moment);
            self.assert_nothing_runs();
            check(self, &round, Left::Killed);
            succeed(make(self, &round));
            check(self, &round, Left::Finished);
        }
    }

    /// Kills its share of commands that push to a registry, each to an empty one, where `tags` are what is there at the
    /// end.
    fn kill_in_registry(
        &mut self,
        tags: &[String],
        make: impl for<'s> Fn(&'s Self, &str) -> Cmd<'s>,
    ) {
        self.kill(
            |_| Registry::start(Access::Open),
            |rounds, registry| make(rounds, &format!("{}/iac/runner:v1.0.0", registry.host)),
            |rounds, registry, left| {
                let there: Vec<String> = complete_tags(&rounds.sh, registry)
                    .into_iter()
                    .map(|(tag, _)| tag)
                    .collect();
                if left == Left::Finished {
                    assert_eq!(there, tags);
                }
                // The tag that people wait for comes after its variants.
                for name in ["v1.0.0", "latest"] {
                    if there.iter().any(|tag| tag == name) {
                        let variants = |all: &[String]| -> Vec<String> {
                            let of_name = all.iter().filter(|tag| tag.starts_with(name));
                            of_name.cloned().collect()
                        };
                        assert_eq!(variants(&there), variants(tags));
                    }
                }
            },
        );
    }

    /// What a killed command ran in the image's tree must end, too: it still has the kept work mounted.
    fn assert_nothing_runs(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        // A mount is known by its path in its file system, which may be one for temporary files alone.
        let name = self.cache.parent().and_then(Utf8Path::file_name).unwrap();
        let mut running = processes_with_mounts_of(name);
        while !running.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            running = processes_with_mounts_of(name);
        }
        assert!(running.is_empty(), "still running: {running:?}");
    }

    /// Two results are the same; where they are packs, but for how long it took to make them.
    fn assert_same(&self, one: &Utf8Path, other: &Utf8Path) {
        let packs = |archive: &Utf8Path| {
            let (_guard, layout) = folder();
            succeed(cmd!(self.sh, "tar -xf {archive} -C {layout}"));
            Layout::at(&layout).packs()
        };
        if one.extension() == Some("tar") {
            assert_eq!(packs(one), packs(other));
        } else {
            succeed(cmd!(self.sh, "diff -r {one} {other}"));
        }
    }

    /// Compares a result with the one that an undisturbed run made, which is the first that comes here. That of a
    /// killed command may be absent, and may have unfinished work beside it.
    fn compare(&self, name: &str, left: Left) {
        let (result, expected) = (self.results.join(name), self.expected.join(name));
        if left == Left::Killed && !result.exists() {
            return;
        }
        if expected.exists() {
            self.assert_same(&expected, &result);
        } else {
            succeed(cmd!(self.sh, "cp -a {result} {expected}"));
        }
        if left == Left::Finished {
            let names = fs_err::read_dir(&self.results).unwrap();
            let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, [name], "something was left in {}", self.results);
        }
    }
}

/// What a command's result is looked at after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Killed,
    Finished,
}

/// Starts a command and kills it, with all that it started, unless it has ended by then.
fn kill_after(command_line: Cmd<'_>, moment: Duration) {
    let sh = shell();
    let mut child = as_user(command_line)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment);
    let group = child.id().to_string();
    // Not yet waited for, so its number is still its own.
    succeed(cmd!(sh, "kill -KILL -- -{group}"));
    child.wait().unwrap();
}

/// Command lines of the processes that have something mounted whose path contains `name`.
fn processes_with_mounts_of(name: &str) -> Vec<String> {
    let processes = fs_err::read_dir("/proc").unwrap();
    let places =
        processes.filter_map(|entry| Utf8PathBuf::from_path_buf(entry.unwrap().path()).ok());
    // A process may end while it is looked at.
    let has_mount = |place: &Utf8PathBuf| {
        let mounts = fs_err::read_to_string(place.join("mountinfo"));
        mounts.is_ok_and(|mounts| mounts.contains(name))
    };
    let command_line = |place: Utf8PathBuf| {
        let words = fs_err::read_to_string(place.join("cmdline")).unwrap_or_default();
        words.replace('\0', " ")
    };
    places.filter(has_mount).map(command_line).collect()
}

/// The digests of a registry's tags, each of which must name an image that is all there.
fn complete_tags(sh: &Shell, registry: &Registry) -> Vec<(String, String)> {
    let repository = format!("docker://{}/iac/runner", registry.host);
    let listed = ended(cmd!(sh, "skopeo list-tags --tls-verify=false {repository}"));
    let listed = listed.get_output();
    if !listed.status.success() {
        // Before anything is pushed there is no repository.
        assert!(String::from_utf8_lossy(&listed.stderr).contains("404"));
        return Vec::new();
    }
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let tags = listed["Tags"].as_array().unwrap().iter();
    let mut tags: Vec<_> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    let (said, tags): (Vec<_>, Vec<_>) =
        tags.into_iter().partition(|tag| tag.starts_with("sha256-"));
    tags.into_iter()
        .map(|tag| {
            let raw = succeed(cmd!(
                sh,
                "skopeo inspect --raw --tls-verify=false {repository}:{tag}"
            ));
            let manifest: Value = serde_json::from_str(&raw).unwrap();
            let layers = manifest["layers"].as_array().unwrap().iter();
            for blob in layers.chain([&manifest["config"]]) {
                let file = registry.blob(blob["digest"].as_str().unwrap());
                let (digest, size) = gocache::hash_file(&file).unwrap();
                assert_eq!(format!("sha256:{digest}"), blob["digest"], "{tag}");
                assert_eq!(Some(size), blob["size"].as_u64(), "{tag}");
            }
            let digest = gocache::Sha256Hash::of(raw.as_bytes()).to_string();
            // Who finds an image by its tag finds what is said of it.
            if manifest.get("artifactType").is_none() {
                assert!(said.contains(&format!("sha256-{digest}")), "{tag}");
            }
            (tag, digest)
        })
        .collect()
}

#[test]
fn a_killed_command_leaves_nothing_half_done() {
    let mut rounds = Rounds::new();

    rounds.kill(
        |rounds| {
            rounds.empty();
            let kept = rounds.cache.join("iac-runner/pack");
            if kept.exists() {
                fs_err::remove_dir_all(kept).unwrap();
            }
        },
        |rounds, ()| {
            let (sh, source, packs, results) =
                (&rounds.sh, &rounds.source, &rounds.packs, &rounds.results);
            let warm = cmd!(sh, "cargo xtask warm --provider civo --source {source}");
            warm.args(["--from", packs.as_str(), "--push", results.as_str()])
        },
        |rounds, (), left| rounds.compare("civo.tar", left),
    );
    let [made, packs] = [&rounds.expected, &rounds.packs].map(|folder| folder.join("civo.tar"));
    fs_err::rename(made, packs).unwrap();

    rounds.kill(
        Rounds::empty,
        |rounds, ()| {
            let (sh, results) = (&rounds.sh, &rounds.results);
            let merge = cmd!(sh, "cargo xtask merge --out {results}/merged");
            merge.args(rounds.archives(&["common", "aws", "civo"]))
        },
        |rounds, (), left| rounds.compare("merged", left),
    );

    let all = ["base", "tools", "common", "aws", "civo"];
    rounds.kill(
        Rounds::empty,
        |rounds, ()| {
            let (sh, results) = (&rounds.sh, &rounds.results);
            let assemble = cmd!(sh, "cargo xtask assemble --out {results}/oci");
            assemble.args(rounds.archives(&all))
        },
        |rounds, (), left| rounds.compare("oci", left),
    );
    // Nothing was measured in what is assembled.
    let [made, assembled] = [&rounds.layout, &rounds.expected.join("oci")].map(|at| Layout::at(at));
    assert_eq!(made.named(), assembled.named());
    let (made, assembled) = (made.referrers(), assembled.referrers());
    assert_eq!(made.difference(&assembled).count(), 1);
    assert!(assembled.is_subset(&made));

    let variants = [
        "",
        "-tools",
        "-aws",
        "-civo",
        "-run",
        "-run-aws",
        "-run-civo",
    ];
    let twins = variants.map(|variant| format!("{variant}-nonroot"));
    let programs = Layout::at(&rounds.layout).programs().into_iter();
    let programs = programs.map(|tag| tag.replacen("latest", "", 1));
    let names = variants.map(str::to_owned).into_iter().chain(twins);
    let mut tags: Vec<String> = names
        .chain(programs)
        .map(|it| format!("v1.0.0{it}"))
        .collect();
    tags.sort();
    rounds.kill_in_registry(&tags, |rounds, to| {
        let sh = &rounds.sh;
        cmd!(sh, "cargo xtask assemble --push {to}").args(rounds.archives(&all))
    });
    let mut with_latest = tags.clone();
    with_latest.extend(tags.iter().map(|tag| tag.replacen("v1.0.0", "latest", 1)));
    with_latest.sort();
    rounds.kill_in_registry(&with_latest, |rounds, to| {
        let (sh, layout) = (&rounds.sh, &rounds.layout);
        cmd!(sh, "cargo xtask push {layout} {to} --latest")
    });

    rounds.kill(
        |_| (),
        |rounds, ()| {
            let (sh, layout, source) = (&rounds.sh, &rounds.layout, &rounds.source);
            let verify = cmd!(sh, "cargo xtask verify --source {source}");
            verify.args(["--image", &format!("{layout}:latest-civo-nonroot")])
        },
        |_, (), _| (),
    );
}
