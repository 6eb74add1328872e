//! One of the two caches as the checks see it: what is in it, and what was shipped.

use std::collections::HashSet;

use camino::{Utf8Path, Utf8PathBuf};
use gocache::Sha256Hash;

use super::finding::{Finding, Problem};
use super::shipped::Shipped;
use super::tree::{self, Node};

/// A cache.
pub struct Cache<'a> {
    /// Where it lies here.
    pub folder: Utf8PathBuf,
    /// Where it lies in the image: with this the paths in the lists begin.
    in_image: &'a Utf8Path,
    /// What is in it, sorted by path.
    pub nodes: Vec<Node>,
    /// What the image says; none outside an image.
    pub shipped: Option<&'a Shipped>,
}

impl<'a> Cache<'a> {
    /// Lists the cache that the image unpacked at `root` has at `in_image`. What cannot be listed, or is not there
    /// although it was shipped, is among the findings.
    pub fn list(
        root: &Utf8Path,
        in_image: &'a Utf8Path,
        shipped: Option<&'a Shipped>,
    ) -> (Self, Vec<Finding>) {
        let folder = root.join(in_image.strip_prefix("/").unwrap_or(in_image));
        let (nodes, unlisted) = tree::list(&folder);
        let cache = Self {
            folder,
            in_image,
            nodes,
            shipped,
        };
        // What is in a folder that may not be listed is not known to be missing.
        let is_listable =
            |path: &&Utf8Path| !unlisted.iter().any(|(folder, _)| path.starts_with(folder));
        let missing = cache.missing().into_iter().filter(is_listable);
        let mut findings: Vec<Finding> = missing
            .map(|path| Problem::corrupt("is missing").at(cache.place(path)))
            .collect();
        let unlisted = unlisted.into_iter();
        findings.extend(unlisted.map(|(path, error)| Problem::from(error).at(cache.place(&path))));
        (cache, findings)
    }

    /// Where a path of this cache is.
    pub fn place(&self, path: &Utf8Path) -> Utf8PathBuf {
        if path == "" {
            self.folder.clone()
        } else {
            self.folder.join(path)
        }
    }

    /// Paths of the shipped files, relative to the cache.
    pub fn listed_paths(&self) -> impl Iterator<Item = &'a Utf8Path> {
        let in_image = self.in_image;
        let lists = self.shipped.into_iter();
        lists.flat_map(move |shipped| {
            let files = shipped.files.iter();
            files.filter_map(move |(path, _)| path.strip_prefix(in_image).ok())
        })
    }

    /// The digest that a file was shipped with.
    pub fn listed(&self, path: &Utf8Path) -> Option<Sha256Hash> {
        self.shipped?.files.get(&self.in_image.join(path))
    }

    /// A shipped file must have the digest it was shipped with.
    pub fn compare(&self, path: &Utf8Path, digest: Sha256Hash) -> Result<(), Problem> {
        match self.listed(path) {
            Some(listed) if listed != digest => Err(Problem::corrupt(format!(
                "its digest is {digest}, and it was shipped with {listed}"
            ))),
            _ => Ok(()),
        }
    }

    /// Paths that are not there; in an image that is, besides shipped files, the cache's own folder.
    fn missing(&self) -> Vec<&'a Utf8Path> {
        let there: HashSet<&Utf8Path> = self.nodes.iter().map(|node| node.path.as_path()).collect();
        let own = self.shipped.map(|_| Utf8Path::new(""));
        own.into_iter()
            .chain(self.listed_paths())
            .filter(|path| !there.contains(path))
            .collect()
    }
}
