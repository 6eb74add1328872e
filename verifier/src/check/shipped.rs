//! What the image says it was shipped with: its packs' lists of files, and who owns the caches.
//!
//! A list whose own digest is not the one in its pack's description is not used: each of its lines may be the wrong
//! one, and a sound file would be accused. What the caches show by themselves is checked all the same.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufReader, ErrorKind};

use camino::{Utf8Path, Utf8PathBuf};
use gocache::Checksums;
use gocache::image_info::{
    self, FILES_SUFFIX, IMAGE_INFO_PATH, ImageInfo, LEFT_OUT_SUFFIX, OBJECTS_PATH, PACKS_PATH,
    PackInfo, lists_digest,
};
use sha256::{HashingReader, Sha256Hash};

use super::finding::{Finding, Problem};
use super::tree;
use crate::info;

#[derive(Debug)]
pub struct Shipped {
    pub image: ImageInfo,
    /// Sorted by name.
    pub packs: Vec<PackInfo>,
    /// Every shipped file of the caches, by its path in the image.
    pub files: Checksums,
    /// Packs whose list of files is damaged, or that have none: which files are theirs is not known.
    pub unlisted: BTreeSet<String>,
    /// Files that shipped Go modules have and the image does not; none where a list of them is damaged.
    pub left_out: Option<Checksums>,
}

#[derive(Debug, Default)]
pub struct Remarks {
    pub findings: Vec<Finding>,
    /// What could not be checked, and why.
    pub not_checked: Vec<String>,
}

impl Shipped {
    /// Reads what the image at `root` says of itself; none where there is no image.
    pub fn read(root: &Utf8Path) -> anyhow::Result<Option<(Self, Remarks)>> {
        let folder = info::resolve(root, PACKS_PATH)?;
        let has_info = info::resolve(root, IMAGE_INFO_PATH)?.exists();
        if !has_info && !folder.exists() && root == "/" {
            return Ok(None);
        }
        let (image, packs) = info::read(root)?;
        let mut shipped = Self {
            image,
            packs,
            files: Checksums::default(),
            unlisted: BTreeSet::new(),
            left_out: Some(Checksums::default()),
        };
        let mut remarks = Remarks::default();
        for pack in shipped.packs.clone() {
            shipped.add_files(&pack, &folder, &mut remarks);
            shipped.add_left_out(&pack, &folder, &mut remarks);
        }
        let described: HashSet<String> = shipped.packs.iter().flat_map(lists_of).collect();
        for list in lists_in(&folder)? {
            if list
                .file_name()
                .is_some_and(|name| !described.contains(name))
            {
                let problem = Problem::corrupt("is a list that no description of a pack names");
                remarks.findings.push(problem.at(list));
            }
        }
        Ok(Some((shipped, remarks)))
    }

    /// The digest of the lists of files, which the image's provenance names as well; none where there is none.
    pub fn lists(&self) -> Option<Sha256Hash> {
        let lists = |pack: &PackInfo| {
            image_info::lists_of(&pack.name, pack.files_sha256, pack.left_out_sha256)
                .collect::<Vec<_>>()
        };
        let lists: Vec<_> = self.packs.iter().flat_map(lists).collect();
        (!lists.is_empty()).then(|| lists_digest(lists))
    }

    /// Whether packs have object code beside their archives; where there is none, executables are in the build cache.
    pub fn has_objects(&self) -> bool {
        self.packs.iter().any(|pack| pack.objects_bytes > 0)
    }

    fn add_files(&mut self, pack: &PackInfo, folder: &Utf8Path, remarks: &mut Remarks) {
        let path = folder.join(format!("{}{FILES_SUFFIX}", pack.name));
        let problem = match read_list(&path, pack.files_sha256) {
            Ok(Some(list)) => self
                .check_places(&list)
                .and_then(|()| merge(&mut self.files, list)),
            Ok(None) => {
                self.unlisted.insert(pack.name.clone());
                remarks.not_checked.push(format!(
                    "the pack {} was made before packs listed their files: an entry that points at another package's \
                     output would not be found, nor would a changed .mod or .info",
                    pack.name
                ));
                return;
            }
            Err(problem) => Err(problem),
        };
        if let Err(problem) = problem {
            self.unlisted.insert(pack.name.clone());
            remarks.findings.push(problem.at(path));
            remarks.not_checked.push(format!(
                "whether the files of the pack {} are those that were shipped, because their list is damaged",
                pack.name
            ));
        }
    }

    fn add_left_out(&mut self, pack: &PackInfo, folder: &Utf8Path, remarks: &mut Remarks) {
        if pack.left_out_sha256.is_none() {
            return;
        }
        let path = folder.join(format!("{}{LEFT_OUT_SUFFIX}", pack.name));
        let added = read_list(&path, pack.left_out_sha256).and_then(|list| {
            let list = list.unwrap_or_default();
            self.check_places(&list)?;
            match &mut self.left_out {
                Some(left_out) => merge(left_out, list),
                None => Ok(()),
            }
        });
        if let Err(problem) = added {
            self.left_out = None;
            remarks.findings.push(problem.at(path));
            remarks.not_checked.push(format!(
                "the hashes of Go modules, because the list of what the pack {} leaves out of them is damaged",
                pack.name
            ));
        }
    }

    /// A list names files of the caches only.
    fn check_places(&self, list: &Checksums) -> Result<(), Problem> {
        let identity = &self.image.identity;
        let is_in_cache = |path: &Utf8Path| {
            let caches = [&identity.gocache, &identity.gomodcache].map(String::as_str);
            let mut caches = caches.into_iter().chain([OBJECTS_PATH]);
            caches.any(|cache| path.starts_with(cache))
        };
        match list.iter().find(|(path, _)| !is_in_cache(path)) {
            Some((path, _)) => Err(Problem::corrupt(format!(
                "lists {path}, which is in neither cache"
            ))),
            None => Ok(()),
        }
    }
}

/// Adds a list, all of it or nothing.
fn merge(files: &mut Checksums, list: Checksums) -> Result<(), Problem> {
    files.merge(list).map_err(|path| {
        Problem::corrupt(format!(
            "lists {path} with another digest than another pack does"
        ))
    })
}

/// Names of the lists that a pack may have.
fn lists_of(pack: &PackInfo) -> impl Iterator<Item = String> {
    let left_out = pack.left_out_sha256.map(|_| LEFT_OUT_SUFFIX);
    let suffixes = std::iter::once(FILES_SUFFIX).chain(left_out);
    suffixes.map(|suffix| format!("{}{suffix}", pack.name))
}

/// The list of a pack, if it has the digest that the pack was described with; none where a pack has no list yet.
fn read_list(path: &Utf8Path, described: Option<Sha256Hash>) -> Result<Option<Checksums>, Problem> {
    let file = match tree::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match described {
                Some(_) => Err(Problem::corrupt("is missing")),
                None => Ok(None),
            };
        }
        opened => opened?,
    };
    let mut reader = BufReader::new(HashingReader::new(file));
    let list = Checksums::read(&mut reader).map_err(|error| Problem::corrupt(error.to_string()))?;
    let digest = reader.into_inner().finish().0;
    match described {
        Some(described) if described != digest => Err(Problem::corrupt(format!(
            "its digest is {digest}, and the description of the pack beside it says {described}"
        ))),
        _ => Ok(Some(list)),
    }
}

/// The lists in the folder of packs, sorted.
fn lists_in(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut lists = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        if let Ok(path) = Utf8PathBuf::from_path_buf(entry?.path())
            && [FILES_SUFFIX, LEFT_OUT_SUFFIX]
                .iter()
                .any(|suffix| path.as_str().ends_with(suffix))
        {
            lists.push(path);
        }
    }
    lists.sort();
    Ok(lists)
}
