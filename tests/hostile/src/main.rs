//! Every program of a hostile image: tries to get out of the sandbox and says on standard error who it is and what it
//! got. Linked statically, so that it is each program of the image, the dynamic linker as well.
//!
//! Nothing is changed where it gets something: a file is opened, not written, and what it makes is empty.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Pid, Uid, setuid};

const SOURCE: &str = "/elsewhere/checkout";

/// The program that sandboxes of root begin with, and the one that judges.
const CLOSED: [&str; 2] = ["/run/iac-runner/init", "/usr/local/bin/verifier"];

fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let who: Vec<String> = [
        "Uid",
        "Gid",
        "Groups",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
    ]
    .iter()
    .map(|field| format!("{field}={}", status("self", field)))
    .collect();
    let mut got = attacks();
    // Somebody who is root of a new user namespace has every right there.
    if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).is_ok() {
        got.extend(
            attacks()
                .iter()
                .map(|what| format!("{what} from a user namespace")),
        );
    }
    if setuid(Uid::from_raw(0)).is_ok() && !who[0].ends_with("=0") {
        got.push("root".to_owned());
    }
    let got = if got.is_empty() {
        "nothing".to_owned()
    } else {
        got.join(", ")
    };
    eprintln!("hostile {name}: {}; got {got}.", who.join(" "));
    ExitCode::FAILURE
}

/// The first value of a field in the status of a process.
fn status(process: &str, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|values| values.split_whitespace().next())
        .unwrap_or("none")
        .to_owned()
}

/// Files below a folder of /proc that can be opened for writing, but for those of processes.
fn writable_below(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type();
        if folder == Path::new("/proc") && name.parse::<u32>().is_ok() {
            continue;
        }
        match kind {
            Ok(kind) if kind.is_dir() => writable_below(&entry.path(), found),
            // Root may empty the page cache, where the test's user is root. What Docker hides is /dev/null when it is
            // opened.
            Ok(kind)
                if kind.is_file()
                    && name != "drop_caches"
                    && OpenOptions::new()
                        .write(true)
                        .open(entry.path())
                        .and_then(|file| file.metadata())
                        .is_ok_and(|opened| opened.is_file()) =>
            {
                found.push(entry.path().display().to_string());
            }
            _ => {}
        }
    }
}

/// What could be got, each by a name.
fn attacks() -> Vec<String> {
    let mut got = Vec::new();
    let mut attack = |what: &str, is_got: bool| {
        if is_got {
            got.push(what.to_owned());
        }
    };
    let creates = |folder: &str| {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(Path::new(folder).join("planted"))
            .is_ok()
    };
    attack("the source", creates(SOURCE));
    let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    for place in [SOURCE, "/", "/proc/sys"] {
        let flags = remount;
        attack(
            &format!("a remount of {place}"),
            mount(None::<&str>, place, None::<&str>, flags, None::<&str>).is_ok(),
        );
    }
    attack("the remounted source", creates(SOURCE));
    attack(
        "a new /proc",
        mount(
            Some("proc"),
            "/tmp",
            Some("proc"),
            MsFlags::empty(),
            None::<&str>,
        )
        .is_ok(),
    );
    let device = mknod("/tmp/device", SFlag::S_IFBLK, Mode::S_IRUSR, makedev(8, 0));
    attack("a disk", device.is_ok());
    // One with the same rights is no gain.
    let is_another = status("1", "Uid") != status("self", "Uid");
    attack(
        "the first process",
        is_another && ptrace::attach(Pid::from_raw(1)).is_ok(),
    );
    for place in CLOSED {
        attack(place, OpenOptions::new().write(true).open(place).is_ok());
    }
    let mut settings = Vec::new();
    writable_below(Path::new("/proc"), &mut settings);
    for place in settings {
        attack(&place, true);
    }
    let file = std::env::var("HOSTILE_FILE").unwrap_or_default();
    for root in ["", "/oldroot", "/proc/1/root", "/proc/1/cwd/../../../.."] {
        attack(
            "a file of the machine",
            std::fs::read(format!("{root}{file}")).is_ok(),
        );
    }
    let port = std::env::var("HOSTILE_PORT")
        .ok()
        .and_then(|port| port.parse().ok());
    let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(1)));
    attack(
        "the network",
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok(),
    );
    got
}
