//! Runs commands in the image's own tree: with bubblewrap, in containers of Docker, or in the container that this
//! process is in.
//!
//! The tree is mounted read-only unless that is asked for; what a command may write to, whether it has a network and
//! as whom it runs stand in its [`Sandbox`]. No variable of the build machine comes in, except those that a fetch needs (proxies, module proxy
//! settings, the trust store), and those for the fetch alone.

mod bubblewrap;
mod docker;
mod here;

pub use docker::stop_all;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

/// Variables of the build machine that a fetch takes over.
const FETCH_VARIABLES: [&str; 14] = [
    "GOAUTH",
    "GOINSECURE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOVCS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Where the trust store of the build machine is mounted for a fetch.
const TRUST_STORE: &str = "/run/trust-store.pem";

/// Places where distributions keep the trust store.
const TRUST_STORES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// As whom a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Root of the tree.
    Root,
    /// This user and group, without capabilities.
    Id(u32),
}

#[derive(Debug, Clone)]
struct Mount {
    source: Utf8PathBuf,
    target: Utf8PathBuf,
    writable: bool,
}

/// Where the tree is, which decides what runs commands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// In this folder: bubblewrap.
    Folder(Utf8PathBuf),
    /// An image of the local Docker, by name: a container for each command.
    Docker(String),
    /// Around this process, which is in a container: nothing but the process itself.
    Here,
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => folder.fmt(f),
            Self::Docker(image) => write!(f, "a container of {image}"),
            Self::Here => f.write_str("this container"),
        }
    }
}

/// A tree, what is mounted in it, and the environment of the commands run there.
#[derive(Debug, Clone)]
pub struct Sandbox {
    root: Root,
    root_is_writable: bool,
    mounts: Vec<Mount>,
    env: BTreeMap<String, String>,
    folder: Utf8PathBuf,
    network: bool,
    user: User,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Done {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Sandbox {
    /// Commands in the tree `root`, as root, in `/`, without network.
    pub fn new(root: &Utf8Path) -> Self {
        Self::of(Root::Folder(root.to_owned()))
    }

    /// Commands in the tree `root`, as root, in `/`, without network.
    pub fn of(root: Root) -> Self {
        Self {
            root,
            root_is_writable: false,
            mounts: Vec::new(),
            env: BTreeMap::new(),
            folder: "/".into(),
            network: false,
            user: User::Root,
        }
    }

    /// Lets commands write to the tree itself.
    #[must_use]
    pub fn writable_root(mut self) -> Self {
        self.root_is_writable = true;
        self
    }

    /// Mounts `source` read-only at `target`.
    #[must_use]
    pub fn read_only(self, source: &Utf8Path, target: impl Into<Utf8PathBuf>) -> Self {
        self.mount(source, target.into(), false)
    }

    /// Mounts `source` at `target`, to be written to.
    #[must_use]
    pub fn writable(self, source: &Utf8Path, target: impl Into<Utf8PathBuf>) -> Self {
        self.mount(source, target.into(), true)
    }

    fn mount(mut self, source: &Utf8Path, target: Utf8PathBuf, writable: bool) -> Self {
        self.mounts.push(Mount {
            source: source.to_owned(),
            target,
            writable,
        });
        self
    }

    /// Adds variables to the environment.
    #[must_use]
    pub fn env<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.env.extend(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        self
    }

    /// Runs commands in `folder` of the tree.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<Utf8PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Runs commands as `user`.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// Gives commands the build machine's network, proxies and trust store.
    #[must_use]
    pub fn with_network(mut self) -> Self {
        self.network = true;
        for name in FETCH_VARIABLES {
            if let Ok(value) = std::env::var(name) {
                self.env.insert(name.to_owned(), value);
            }
        }
        let named = std::env::var("SSL_CERT_FILE").ok();
        let store = named
            .iter()
            .map(String::as_str)
            .chain(TRUST_STORES)
            .find(|file| Utf8Path::new(file).is_file());
        if let Some(store) = store {
            self = self.read_only(Utf8Path::new(store), TRUST_STORE);
            self.env
                .insert("SSL_CERT_FILE".to_owned(), TRUST_STORE.to_owned());
            self.env
                .insert("GIT_SSL_CAINFO".to_owned(), TRUST_STORE.to_owned());
        }
        for file in ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"] {
            if Utf8Path::new(file).is_file() {
                self = self.read_only(Utf8Path::new(file), file);
            }
        }
        self
    }

    /// Runs a command to its end, whatever its exit code.
    pub fn run(&self, arguments: &[&str]) -> Result<Done> {
        self.run_with(arguments, |stderr| {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        })
        .map(|(status, stdout, stderr)| Done {
            status,
            stdout,
            stderr,
        })
    }

    /// Runs a command whose standard error is too long to be kept, and gives it to `scan` as it comes.
    pub fn run_with<T: Send>(
        &self,
        arguments: &[&str],
        scan: impl FnOnce(&mut dyn BufRead) -> Result<T> + Send,
    ) -> Result<(ExitStatus, String, T)> {
        let context = || format!("failed to run {} in {}", arguments.join(" "), self.root);
        if let Root::Docker(image) = &self.root {
            return docker::run(self, image, arguments, scan).with_context(context);
        }
        let mut command = self.command(arguments)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(context)?;
        let streams = take_streams(&mut child);
        let (mut stdout, stderr) = streams.with_context(context)?;
        let (text, scanned) = thread::scope(|scope| {
            let scanning = scope.spawn(|| scan_all(stderr, scan));
            let mut text = String::new();
            let read = stdout.read_to_string(&mut text);
            (read.map(|_| text), scanning.join())
        });
        let status = child.wait().with_context(context)?;
        let scanned = scanned
            .map_err(|_| anyhow::anyhow!("the reader of its messages stopped"))
            .with_context(context)?;
        Ok((
            status,
            text.with_context(context)?,
            scanned.with_context(context)?,
        ))
    }

    /// Runs a command that says what it says where this process does; `stdout` may be kept instead.
    pub fn run_through(&self, arguments: &[&str], stdout: Stdio) -> Result<Output> {
        let mut command = self.command(arguments)?;
        let child = command.stdout(stdout).stderr(Stdio::inherit()).spawn();
        child
            .and_then(Child::wait_with_output)
            .with_context(|| format!("failed to run {} in {}", arguments.join(" "), self.root))
    }

    /// What is mounted, each place once: a later mount hides an earlier one.
    fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().enumerate().filter_map(|(index, mount)| {
            let later = &self.mounts[index + 1..];
            let is_hidden = later.iter().any(|other| other.target == mount.target);
            (!is_hidden).then_some(mount)
        })
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        match &self.root {
            Root::Folder(folder) => bubblewrap::command(self, folder, arguments),
            Root::Here => here::command(self, arguments),
            Root::Docker(_) => bail!("what a container says cannot be passed through"),
        }
    }
}

/// Gives `stderr` to `scan`, and reads what that left: it must not block the command.
fn scan_all<T>(stderr: impl Read, scan: impl FnOnce(&mut dyn BufRead) -> Result<T>) -> Result<T> {
    let mut stderr = BufReader::with_capacity(1 << 16, stderr);
    let scanned = scan(&mut stderr);
    std::io::copy(&mut stderr, &mut std::io::sink())
        .map(|_| ())
        .map_err(anyhow::Error::from)
        .and(scanned)
}

fn take_streams(
    child: &mut Child,
) -> Option<(std::process::ChildStdout, std::process::ChildStderr)> {
    child.stdout.take().zip(child.stderr.take())
}
