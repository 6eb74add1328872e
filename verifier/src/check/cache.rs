//! One of the two caches as the checks see it: what is in it, and what was shipped.

use std::collections::HashSet;

use camino::{Utf8Path, Utf8PathBuf};
use sha256::Sha256Hash;

use super::finding::{Finding, Problem};
use super::shipped::Shipped;
use super::tree::{self, Node};

pub struct Cache<'a> {
    /// Where it lies here.
    pub folder: Utf8PathBuf,
    /// Where it lies in the image: with this the paths in the lists begin.
    in_image: &'a Utf8Path,
    /// What is in it, sorted by path.
    pub nodes: Vec<Node>,
    /// Folders that may not be listed: what is in them is not known.
    unlisted: Vec<Utf8PathBuf>,
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
            unlisted: unlisted.iter().map(|(path, _)| path.clone()).collect(),
            shipped,
        };
        let mut findings: Vec<Finding> = unlisted
            .into_iter()
            .map(|(path, error)| Problem::from(error).at(cache.place(&path)))
            .collect();
        findings.extend(
            cache
                .missing()
                .map(|path| Problem::corrupt("is missing").at(cache.place(path))),
        );
        (cache, findings)
    }

    /// Whether it is known what is, or is not, at a path.
    pub fn is_known(&self, path: &Utf8Path) -> bool {
        !self.unlisted.iter().any(|folder| path.starts_with(folder))
    }

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

    /// Files of Go modules that were left out of the image, relative to the cache; none where they are not known. What
    /// one pack leaves out another one may have.
    pub fn left_out(&self) -> Option<Vec<(&'a Utf8Path, Sha256Hash)>> {
        let Some(shipped) = self.shipped else {
            return Some(Vec::new());
        };
        let files = shipped.left_out.as_ref()?.iter();
        let files = files.filter(|(path, _)| shipped.files.get(path).is_none());
        Some(
            files
                .filter_map(|(path, digest)| Some((path.strip_prefix(self.in_image).ok()?, digest)))
                .collect(),
        )
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
    fn missing(&self) -> impl Iterator<Item = &'a Utf8Path> {
        let there: HashSet<&Utf8Path> = self.nodes.iter().map(|node| node.path.as_path()).collect();
        let own = self.shipped.map(|_| Utf8Path::new(""));
        own.into_iter()
            .chain(self.listed_paths())
            .filter(move |path| !there.contains(path) && self.is_known(path))
    }
}

#[cfg(test)]
mod tests {
    use gocache::Store;
    use sha256::Sha256Hash;

    use super::*;
    use crate::check::build_cache;

    #[test]
    fn what_cannot_be_listed_is_not_called_missing() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let store = Store::create(&root.join("cache")).unwrap();
        let action = Sha256Hash::of(b"x");
        let entry = store
            .put_reader(&action, None, 5, &b"bytes"[..], 5)
            .unwrap();
        let output = store.output_path(&entry.output);
        fs_err::remove_file(&output).unwrap();
        let (mut cache, _) = Cache::list(root, "/cache".into(), None);
        assert_eq!(build_cache::check(&cache).len(), 1);
        let path = output.strip_prefix(store.root()).unwrap();
        cache.unlisted.push(path.parent().unwrap().to_owned());
        assert!(!cache.is_known(path) && cache.is_known("trim.txt".into()));
        assert_eq!(build_cache::check(&cache), []);
    }
}
