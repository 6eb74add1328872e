//! How the go command is asked about a source: in which sandbox, and with or without the network.

use anyhow::{Context as _, Result};
use camino::Utf8Path;

use crate::foundation::tree::{SCRATCH, SOURCE, Tree};
use crate::resolve::go_mod::GoMod;
use crate::resolve::host_go::{HostGo, without_credentials};
use crate::resolve::refusals::advice::Advice;
use crate::work::Work;
use engine::sandbox::{Done, Sandbox};

/// Asks the go command about one source.
pub struct Resolver<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// The image's tree.
    pub tree: &'a Tree,
    /// The source.
    pub source: &'a Utf8Path,
    /// The module cache that all fetches share.
    pub go_mod: &'a Utf8Path,
    /// Settings of this machine by which Go modules were not checked.
    pub unchecked: &'a [String],
    /// Whether the network is out of bounds.
    pub offline: bool,
}

impl Resolver<'_> {
    pub(super) fn sandbox(&self, scratch: &Utf8Path, go_mod: &GoMod) -> Sandbox {
        self.tree
            .sandbox(scratch)
            .read_only(self.source, SOURCE)
            .env([("GOCACHE", format!("{SCRATCH}/go-build"))])
            .folder(Utf8Path::new(SOURCE).join(go_mod.folder()))
    }

    /// Runs a command that may fetch Go modules into the shared module cache; `files` are copies of the source's
    /// go.mod, go.sum and go.work files, of which it sees nothing else.
    pub(super) fn fetching(
        &self,
        go_mod: &GoMod,
        (scratch, files): (&Utf8Path, &Utf8Path),
        arguments: &[&str],
    ) -> Result<Done> {
        let mut done = if self.offline {
            // Vendored packages are compiled from `vendor`, but Pulumi asks for the Go modules all the same.
            self.sandbox(scratch, go_mod)
                .writable(files, SOURCE)
                .writable(self.go_mod, &self.tree.image.go.gomodcache)
                .env([("GOFLAGS", "-mod=readonly"), ("GODEBUG", "goindex=0")])
                .run(arguments)?
        } else {
            let (_, arguments) = arguments.split_first().context("it is a go command")?;
            let go = HostGo {
                goroot: &self.tree.go,
                module_cache: self.go_mod,
                scratch,
                folder: &files.join(go_mod.folder()),
            };
            go.run(arguments)?
        };
        for text in [&mut done.stdout, &mut done.stderr] {
            *text = text.replace(files.as_str(), self.source.as_str());
        }
        done.stderr = without_credentials(&done.stderr);
        Ok(done)
    }

    /// Fails unless the command succeeded; what it printed.
    pub(super) fn succeeded(
        &self,
        go_mod: &GoMod,
        arguments: &[&str],
        done: Done,
    ) -> Result<String> {
        if done.status.success() {
            Ok(done.stdout)
        } else {
            Err(self.advice(go_mod).error(arguments, &done))
        }
    }

    /// What the go command prints.
    pub(super) fn go(
        &self,
        sandbox: &Sandbox,
        go_mod: &GoMod,
        arguments: &[&str],
    ) -> Result<String> {
        let done = sandbox.run(arguments)?;
        self.succeeded(go_mod, arguments, done)
    }

    /// What to do where the go command fails for `go_mod`.
    pub(super) fn advice<'r>(&'r self, go_mod: &'r GoMod) -> Advice<'r> {
        Advice {
            go_mod,
            go_version: &self.tree.image.go.version,
            offline: self.offline,
            source: self.source,
            own: go_mod.own_modules(self.source).unwrap_or_default(),
        }
    }
}
