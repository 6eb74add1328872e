//! GOCACHE: every output against its name, every entry against its form, its output and the list of what was shipped.
//!
//! Entries that no list has are those of a cache in use; they are right if they are consistent in themselves. Only the
//! list finds an entry that points at another package's output, for everything about that is consistent.

use std::collections::HashMap;
use std::io::Read as _;

use gocache::{ACTION_ENTRY_BYTES, ActionEntry, FileKind, Store};
use rayon::prelude::*;
use sha256::{Sha256Hash, hash_reader};

use super::cache::Cache;
use super::finding::{Finding, Problem};
use super::tree::{self, Kind, Node};

pub fn check(cache: &Cache<'_>) -> Vec<Finding> {
    let outputs = cache
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::File)
        .filter_map(|node| match kind_of(node) {
            FileKind::Output(output) => Some((output, node.size_bytes)),
            FileKind::Action(_) | FileKind::Other => None,
        });
    let check = Check {
        cache,
        outputs: outputs.collect(),
    };
    let nodes = cache.nodes.par_iter();
    nodes
        .filter_map(|node| {
            let problem = check.node(node).err()?;
            Some(problem.at(cache.place(&node.path)))
        })
        .collect()
}

struct Check<'a> {
    cache: &'a Cache<'a>,
    /// Outputs that are there, with their sizes.
    outputs: HashMap<Sha256Hash, u64>,
}

impl Check<'_> {
    fn node(&self, node: &Node) -> Result<(), Problem> {
        let is_listed = self.cache.listed(&node.path).is_some();
        let digest = match (node.kind, kind_of(node)) {
            // Folders are also what `go run` and `go tool` keep: one that holds the executable under its own name.
            (Kind::Folder | Kind::Other, FileKind::Other) | (Kind::Folder, FileKind::Output(_))
                if !is_listed =>
            {
                return Ok(());
            }
            (Kind::Folder | Kind::Other, _) => return Err(Problem::corrupt("is no regular file")),
            (Kind::File, FileKind::Action(action)) => self.entry(node, action)?,
            (Kind::File, FileKind::Output(output)) => self.output(node, output)?,
            (Kind::File, FileKind::Other) if is_listed => self.digest(node)?,
            (Kind::File, FileKind::Other) if FileKind::poses_as_entry(&node.path) => {
                return Err(Problem::corrupt(
                    "is named like an entry, but is none or lies in the wrong folder",
                ));
            }
            (Kind::File, FileKind::Other) => return Ok(()),
        };
        self.cache.compare(&node.path, digest)
    }

    fn digest(&self, node: &Node) -> Result<Sha256Hash, Problem> {
        Ok(hash_reader(tree::open(&self.cache.place(&node.path))?)?.0)
    }

    fn output(&self, node: &Node, output: Sha256Hash) -> Result<Sha256Hash, Problem> {
        let digest = self.digest(node)?;
        if digest == output {
            Ok(digest)
        } else {
            Err(Problem::corrupt(format!(
                "the hash of its content is {digest}, which is not its name"
            )))
        }
    }

    fn entry(&self, node: &Node, action: Sha256Hash) -> Result<Sha256Hash, Problem> {
        let mut bytes = Vec::with_capacity(ACTION_ENTRY_BYTES + 1);
        // One byte more, so that what is too long is noticed and not read.
        tree::open(&self.cache.place(&node.path))?
            .take(ACTION_ENTRY_BYTES as u64 + 1)
            .read_to_end(&mut bytes)?;
        let entry = ActionEntry::parse(&bytes).map_err(|error| {
            if bytes.len() > ACTION_ENTRY_BYTES {
                Problem::corrupt(format!("is longer than {ACTION_ENTRY_BYTES} bytes"))
            } else {
                Problem::corrupt(error.to_string())
            }
        })?;
        if entry.action != action {
            return Err(Problem::corrupt(format!(
                "is the entry of action {}",
                entry.action
            )));
        }
        let output = Store::at("".into()).output_path(&entry.output);
        match self.outputs.get(&entry.output) {
            None if !self.cache.is_known(&output) => Ok(Sha256Hash::of(&bytes)),
            None => Err(Problem::corrupt(format!(
                "its output {} is missing",
                entry.output
            ))),
            Some(size_bytes) if *size_bytes != entry.size_bytes => Err(Problem::corrupt(format!(
                "its output {} has {size_bytes} bytes instead of {}",
                entry.output, entry.size_bytes
            ))),
            Some(_) => Ok(Sha256Hash::of(&bytes)),
        }
    }
}

/// What a file is; an executable of `go run` or `go tool` is the output that its folder is named after.
fn kind_of(node: &Node) -> FileKind {
    match (FileKind::of(&node.path), node.path.parent()) {
        (FileKind::Other, Some(folder)) => match FileKind::of(folder) {
            FileKind::Action(_) => FileKind::Other,
            kind => kind,
        },
        (kind, _) => kind,
    }
}
