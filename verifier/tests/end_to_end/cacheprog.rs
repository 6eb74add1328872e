//! `verifier cacheprog` under the real go command.

use std::collections::BTreeMap;
use std::fs::FileTimes;
use std::time::SystemTime;

use assert_cmd::Command;
use gocache::{FileKind, Ratio, Store};
use sha256::{Sha256Hash, hash_file};

use crate::go::{Folder, assert_as_before, snapshot};

/// The value of GOCACHEPROG.
fn cacheprog(folder: &Folder, shipped: &str) -> (&'static str, String) {
    let verifier = assert_cmd::cargo::cargo_bin!("verifier").display();
    (
        "GOCACHEPROG",
        format!(
            "{verifier} cacheprog --shipped {} --log {}",
            folder.path(shipped),
            folder.path("log")
        ),
    )
}

/// How many requests of each kind were logged since the last call.
fn take_log(folder: &Folder) -> BTreeMap<String, usize> {
    let path = folder.path("log");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::remove_file(path).unwrap();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let [what, action, output] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        action.parse::<Sha256Hash>().unwrap();
        assert!(
            output == "-" && what == "miss" || output.parse::<Sha256Hash>().is_ok(),
            "{line}"
        );
        *counts.entry(what.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn a_cold_cache_is_filled_and_then_hits() {
    let folder = Folder::with_module();
    let environment = [cacheprog(&folder, "gocache")];
    let cold = folder.build("gocache", &environment);
    assert_eq!(cold.packages.hits, 0);
    assert!(cold.packages.total > 10);
    let log = take_log(&folder);
    assert!(log["put"] > 10 && log["miss"] > 10, "{log:?}");

    let warm = folder.build("gocache", &environment);
    assert_eq!(
        warm.packages,
        Ratio {
            hits: cold.packages.total,
            total: cold.packages.total
        }
    );
    assert!(take_log(&folder)["hit"] > 10);

    let without = folder.build::<&str, &str>("gocache", &[]);
    assert_eq!(
        without.packages, warm.packages,
        "the go command finds what was kept in GOCACHE by itself"
    );
}

#[test]
fn a_shipped_cache_gives_everything_and_stays_as_it_is() {
    let folder = Folder::with_module();
    let shipped = folder.warm("shipped");
    let before = snapshot(&shipped);
    let hits = folder.build("fresh", &[cacheprog(&folder, "shipped")]);
    assert!(hits.packages.is_full() && hits.links.is_full(), "{hits:?}");
    assert!(take_log(&folder)["hit"] > 10);
    assert_as_before(&shipped, &before);
}

#[test]
fn a_changed_package_is_compiled_once() {
    let folder = Folder::with_module();
    let shipped = folder.warm("shipped");
    let before = snapshot(&shipped);
    folder.write(
        "src/greet/greet.go",
        "package greet\n\nfunc Hello() string { return \"changed\" }\n",
    );
    let environment = [cacheprog(&folder, "shipped")];
    let first = folder.build("fresh", &environment);
    assert_eq!(
        first.compiled,
        ["example.com/tiny", "example.com/tiny/greet"]
    );
    assert_eq!(first.linked, ["example.com/tiny"]);
    let second = folder.build("fresh", &environment);
    assert_eq!(second.compiled, [""; 0]);
    assert_as_before(&shipped, &before);
}

/// The go command must be able to open its GOCACHE, so the folder is there, but no file can be made in it: its 256
/// folders are links to a place where nobody can write.
#[test]
fn what_cannot_be_kept_in_gocache_is_kept_elsewhere() {
    let folder = Folder::with_module();
    let shipped = folder.warm("shipped");
    fs_err::create_dir(folder.path("gocache")).unwrap();
    for name in 0..=u8::MAX {
        fs_err::os::unix::fs::symlink("/proc/sys", folder.path(&format!("gocache/{name:02x}")))
            .unwrap();
    }
    folder.write(
        "src/greet/greet.go",
        "package greet\n\nfunc Hello() string { return \"changed\" }\n",
    );
    let before = snapshot(&shipped);
    let environment = [cacheprog(&folder, "shipped")];
    assert_eq!(folder.build("gocache", &environment).compiled.len(), 2);
    let kept = Store::at(&folder.path("cache-home/iac-runner/go-build"));
    assert!(kept.files().unwrap().len() >= 4);
    assert_eq!(folder.build("gocache", &environment).compiled, [""; 0]);
    assert_as_before(&shipped, &before);
}

#[test]
fn a_damaged_cache_is_built_around() {
    let folder = Folder::with_module();
    let shipped = folder.warm("shipped");
    for (index, file) in shipped.files().unwrap().into_iter().enumerate() {
        let path = shipped.root().join(&file.path);
        match file.kind {
            FileKind::Output(_) if file.size_bytes > 0 => {
                let bytes = fs_err::read(&path).unwrap();
                fs_err::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            }
            FileKind::Action(_) if index % 3 == 0 => fs_err::write(&path, b"v1 nonsense").unwrap(),
            _ => {}
        }
    }
    let environment = [cacheprog(&folder, "shipped")];
    let hits = folder.build("fresh", &environment);
    assert_eq!((hits.packages.hits, hits.links.hits), (0, 0));
    assert!(folder.build("fresh", &environment).packages.is_full());
}

#[test]
fn builds_at_the_same_time_share_a_cache() {
    let folder = Folder::with_module();
    let environment = [cacheprog(&folder, "shipped")];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| folder.build("gocache", &environment));
        }
    });
    assert!(folder.build("gocache", &environment).packages.is_full());
    let store = Store::at(&folder.path("gocache"));
    store.seal(SystemTime::now()).expect("every entry is whole");
    let other = store
        .files()
        .unwrap()
        .into_iter()
        .filter(|file| file.kind == FileKind::Other);
    let other: Vec<_> = other.map(|file| file.path).collect();
    assert_eq!(other, ["README"], "no temporary file is left");
}

#[test]
fn a_body_of_many_megabytes_is_streamed() {
    use base64::Engine as _;
    let folder = Folder::new();
    let body = vec![42; 20 << 20];
    let (action, output) = (Sha256Hash::of(b"action"), Sha256Hash::of(&body));
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let (action_id, output_id) = (base64(action.as_bytes()), base64(output.as_bytes()));
    let input = format!(
        "{{\"ID\":1,\"Command\":\"put\",\"ActionID\":\"{action_id}\",\"OutputID\":\"{output_id}\",\
         \"BodySize\":{}}}\n\n\"{}\"\n\
         {{\"ID\":2,\"Command\":\"get\",\"ActionID\":\"{action_id}\"}}\n\n{{\"ID\":3,\"Command\":\"close\"}}\n\n",
        body.len(),
        base64(&body)
    );
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, "gocache");
    let assert = command
        .args(["cacheprog", "--shipped", "/nonexistent"])
        .write_stdin(input)
        .assert()
        .success();
    let answers = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let path = Store::at(&folder.path("gocache")).output_path(&output);
    let lines: Vec<_> = answers.lines().collect();
    assert_eq!(lines.len(), 4, "{answers}");
    assert_eq!(lines[1], format!("{{\"ID\":1,\"DiskPath\":\"{path}\"}}"));
    assert!(lines[2].contains(&output_id) && lines[2].contains(path.as_str()));
    assert_eq!(lines[3], "{\"ID\":3}");
    assert_eq!(hash_file(&path).unwrap().0, output);
}

/// The go command is killed: standard input ends without a `close`.
#[test]
fn the_end_of_input_ends_it() {
    let folder = Folder::new();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, "gocache");
    command.timeout(std::time::Duration::from_secs(10));
    let assert = command
        .args(["cacheprog", "--shipped", "/nonexistent"])
        .write_stdin("")
        .assert();
    assert
        .success()
        .stdout("{\"ID\":0,\"KnownCommands\":[\"get\",\"put\",\"close\"]}\n");
}

#[test]
fn what_nobody_asks_for_any_more_goes() {
    let folder = Folder::new();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, "gocache");
    let uid = rustix::process::geteuid().as_raw();
    let killed = folder.path(&format!("tmp/iac-runner-{uid}-1-1a"));
    let kept = folder.path("cache-home/iac-runner/go-build/00");
    let entry = kept.join(format!("{}-a", "0".repeat(64)));
    for made in [&killed, &kept] {
        fs_err::create_dir_all(made).unwrap();
    }
    fs_err::write(&entry, "").unwrap();
    for old in [&killed, &entry] {
        let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        fs_err::File::open(old)
            .unwrap()
            .file()
            .set_times(times)
            .unwrap();
    }
    command.args(["cacheprog", "--shipped", "/nonexistent"]);
    command.write_stdin("").assert().success();
    assert!(!killed.exists() && entry.exists());
    let close = "{\"ID\":1,\"Command\":\"close\"}\n\n";
    command.write_stdin(close).assert().success();
    assert!(!entry.exists());
}
