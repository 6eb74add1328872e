//! What is compressed beside the build cache, object code and executables: every file against the list of what was
//! shipped, and every archive and executable that it yields against its name.

use std::io;

use camino::Utf8Path;
use gocache::executables::Executables;
use gocache::image_info::{EXECUTABLES_PATH, OBJECTS_PATH};
use gocache::objects::{Incomplete, Objects};
use rayon::prelude::*;
use sha256::hash_reader;

use super::cache::Cache;
use super::finding::{Finding, Problem};
use super::tree::{self, Kind, Node};

/// What is wrong with `objects`, whose archives without object code are in `build`.
pub fn check(objects: &Cache<'_>, build: &Cache<'_>) -> Vec<Finding> {
    let nodes = objects.nodes.par_iter();
    let mut findings: Vec<Finding> = nodes
        .filter_map(|node| {
            let problem = file(objects, node).err()?;
            Some(problem.at(objects.place(&node.path)))
        })
        .collect();
    // What a damaged file would yield, its own finding explains.
    if !findings.is_empty() || !objects.folder.is_dir() {
        return findings;
    }
    let known = match Objects::open(&objects.folder) {
        Ok(known) => known,
        Err(error) => {
            findings.push(Problem::corrupt(error.to_string()).at(objects.folder.clone()));
            return findings;
        }
    };
    let store = gocache::Store::at(&build.folder);
    let mut archives = Vec::new();
    for (data, code) in known.archives() {
        let export_only = store.output_path(&code.export_only);
        match sha256::hash_file(&export_only) {
            Ok((digest, _)) if digest == code.export_only => archives.push(Incomplete {
                export_only,
                digest,
                whole: camino::Utf8PathBuf::new(),
            }),
            // Found with the build cache.
            Ok(_) => {}
            Err(_) => {
                let listed = export_only.strip_prefix(&build.folder).ok();
                if listed.is_none_or(|path| build.listed(path).is_none()) {
                    let text = format!("has the object code of {export_only}, which is of no pack");
                    findings.push(Problem::corrupt(text).at(data.to_owned()));
                }
            }
        }
    }
    archives.sort_by_key(|archive| archive.digest);
    archives.dedup_by_key(|archive| archive.digest);
    let errors = known.check(&archives).into_iter();
    let errors = errors.chain(executables(&objects.place(executables_folder())));
    findings.extend(errors.map(|error| match error {
        gocache::Error::Corrupt { path, reason } => Problem::corrupt(reason).at(path),
        error => Problem::corrupt(error.to_string()).at(objects.folder.clone()),
    }));
    findings
}

/// What is wrong with the executables in `folder`.
fn executables(folder: &Utf8Path) -> Vec<gocache::Error> {
    let known = match Executables::open(folder) {
        Ok(known) => known,
        Err(error) => return vec![error],
    };
    let all: Vec<_> = known.all().collect();
    let unpacked = all.par_iter().map(|packed| packed.unpack(io::sink()));
    unpacked.filter_map(Result::err).collect()
}

/// The folder of executables, relative to that of object code.
fn executables_folder() -> &'static Utf8Path {
    let below = Utf8Path::new(EXECUTABLES_PATH).strip_prefix(OBJECTS_PATH);
    below.unwrap_or(Utf8Path::new(EXECUTABLES_PATH))
}

/// Whether nobody knows which files are those of the pack that the file is named after.
fn is_of_unlisted(objects: &Cache<'_>, node: &Node) -> bool {
    let mut unlisted = objects.shipped.iter().flat_map(|shipped| &shipped.unlisted);
    unlisted.any(|name| Some(name.as_str()) == node.path.file_stem())
}

fn file(objects: &Cache<'_>, node: &Node) -> Result<(), Problem> {
    match node.kind {
        Kind::Folder if node.path == "" || node.path == executables_folder() => Ok(()),
        Kind::Folder | Kind::Other => Err(Problem::corrupt("is no regular file")),
        // A damaged list is found by itself.
        Kind::File if objects.listed(&node.path).is_none() && !is_of_unlisted(objects, node) => {
            Err(Problem::corrupt("is of no pack, and links would use it"))
        }
        Kind::File => {
            let (digest, _) = hash_reader(tree::open(&objects.place(&node.path))?)?;
            objects.compare(&node.path, digest)
        }
    }
}
