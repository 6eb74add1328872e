//! What the commands of a sandbox get: a root file system, mounts, an environment, a user; never a network.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

/// What root may do in a tree: use files of other owners, such as a source that only its owner may read.
pub(super) const ROOT_CAPABILITIES: [&str; 1] = ["CAP_DAC_OVERRIDE"];

/// As whom a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Root, with no more rights than the files of the tree take.
    Root,
    /// This user and group, without capabilities.
    Id(u32),
}

impl User {
    /// The user with this ID.
    pub fn of(id: u32) -> Self {
        if id == 0 { Self::Root } else { Self::Id(id) }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Mount {
    pub source: Utf8PathBuf,
    pub target: Utf8PathBuf,
    pub writable: bool,
}

/// Where the root file system is, which decides what runs commands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootFs {
    /// In this directory: bubblewrap.
    Directory(Utf8PathBuf),
    /// In this image of the local Docker, by name: a container for each command.
    DockerImage(String),
    /// That of the container which this process is in: nothing but the process itself.
    CurrentContainer,
}

impl std::fmt::Display for RootFs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(directory) => directory.fmt(f),
            Self::DockerImage(image) => write!(f, "a container of {image}"),
            Self::CurrentContainer => f.write_str("this container"),
        }
    }
}

/// A root file system, what is mounted in it, and the environment of the commands run there.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(super) root: RootFs,
    pub(super) root_is_writable: bool,
    mounts: Vec<Mount>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) folder: Utf8PathBuf,
    pub(super) user: User,
    pub(super) init: Option<Utf8PathBuf>,
    pub(super) tracer: Vec<String>,
}

impl Sandbox {
    /// Commands in the directory `root`, as root, in `/`.
    pub fn new(root: &Utf8Path) -> Self {
        Self::of(RootFs::Directory(root.to_owned()))
    }

    /// Commands in `root`, as root, in `/`.
    pub fn of(root: RootFs) -> Self {
        Self {
            root,
            root_is_writable: false,
            mounts: Vec::new(),
            env: BTreeMap::new(),
            folder: "/".into(),
            user: User::Root,
            init: None,
            tracer: Vec::new(),
        }
    }

    /// Lets commands write to the root file system itself.
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

    /// Runs commands in `folder` of the root file system.
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

    /// The verifier of this machine, linked statically: the first process of commands that root runs as somebody else.
    #[must_use]
    pub fn init(mut self, verifier: &Utf8Path) -> Self {
        self.init = Some(verifier.to_owned());
        self
    }

    /// A program of this machine, with its arguments, that starts bubblewrap and follows what it starts, such as `strace`.
    #[must_use]
    pub fn tracer<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.tracer = words.into_iter().map(Into::into).collect();
        self
    }

    /// What is mounted, each place once: a later mount hides an earlier one.
    pub(super) fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().enumerate().filter_map(|(index, mount)| {
            let later = &self.mounts[index + 1..];
            let is_hidden = later.iter().any(|other| other.target == mount.target);
            (!is_hidden).then_some(mount)
        })
    }
}
