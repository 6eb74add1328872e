//! Programs that are built already: each executable and each project file against the list of the pack.
//!
//! An executable is an entry of GOCACHE under a second name, and is not read again where it is the same file. One that is
//! compressed is read with the others of its kind ([`super::object_code`]); here it is looked whether it is among them.

use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use gocache::Store;
use gocache::executables::Executables;
use gocache::image_info::EXECUTABLES_PATH;
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, PROJECT_FILE, Program};
use rayon::prelude::*;
use sha256::{Sha256Hash, hash_reader};

use super::finding::{Finding, Problem};
use super::tree;
use crate::info;

/// What is wrong with the programs of the image in `root`, whose build cache is in `go_build` there. What is compressed
/// has been found sound, or its own findings explain what is missing.
pub fn check(root: &Utf8Path, go_build: &Utf8Path, are_sound: bool) -> Vec<Finding> {
    let lists = info::in_root(root, PROGRAM_LISTS_PATH);
    let programs = match Program::read_all(&lists) {
        Ok(programs) => programs,
        Err(error) => return vec![Problem::corrupt(error.to_string()).at(lists)],
    };
    let packed = Executables::open(&info::in_root(root, EXECUTABLES_PATH));
    let packed = packed.ok().filter(|_| are_sound);
    let (listed, programs): (Vec<_>, Vec<_>) = programs.into_iter().partition(Program::is_packed);
    let listed = listed.iter();
    let problems = listed.filter_map(|program| of_packed(program, packed.as_ref()).err());
    let mut findings: Vec<Finding> = problems.map(|it| it.at(lists.clone())).collect();
    let store = Store::at(go_build);
    let checked = programs.par_iter().flat_map(|program| {
        let place = info::in_root(root, program.place().as_str());
        let executable = place.join(&program.binary);
        let entry = store.output_path(&program.sha256);
        let files = [
            (executable, program.sha256, Some(entry)),
            (place.join(PROJECT_FILE), program.project_sha256, None),
        ];
        files.into_par_iter().filter_map(|(file, sha256, entry)| {
            let problem = of_file(&file, sha256, entry).err()?;
            Some(problem.at(file))
        })
    });
    findings.extend(checked.collect::<Vec<_>>());
    findings
}

/// Whether the executable of `program` is among `packed`, if these are known, and its project file what it should be.
fn of_packed(program: &Program, packed: Option<&Executables>) -> Result<(), Problem> {
    let project = program.project.as_deref().unwrap_or_default();
    let output = |packed: &Executables| {
        let found = packed.of_action(&program.link_action)?;
        Some(found.executable().output)
    };
    let name = program.name();
    if packed.is_some_and(|packed| output(packed) != Some(program.sha256)) {
        return Err(Problem::corrupt(format!(
            "lists {name}, whose executable is not there"
        )));
    }
    if Sha256Hash::of(project.as_bytes()) != program.project_sha256 {
        return Err(Problem::corrupt(format!(
            "lists {name} with another Pulumi.yaml than it had"
        )));
    }
    Ok(())
}

fn of_file(file: &Utf8Path, sha256: Sha256Hash, entry: Option<Utf8PathBuf>) -> Result<(), Problem> {
    let identity = |file: &Utf8Path| {
        let metadata = file.symlink_metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let is_entry = entry.is_some_and(|entry| {
        let there = identity(&entry);
        there.is_some() && there == identity(file)
    });
    if is_entry {
        return Ok(());
    }
    let digest = hash_reader(tree::open(file)?)?.0;
    if digest == sha256 {
        Ok(())
    } else {
        Err(Problem::corrupt(format!(
            "its content has the digest {digest} instead of {sha256}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolexec::executables::pack_one;
    use gocache::image_info::programs::{PROGRAMS_SCHEMA, ProgramList};

    fn image(root: &Utf8Path) -> Program {
        let program = Program {
            provider: "toy".into(),
            component: "one".into(),
            path: "apis/one".into(),
            folder: "toy/one".into(),
            binary: "one".into(),
            sha256: Sha256Hash::of(b"executable"),
            size_bytes: 10,
            project_sha256: Sha256Hash::of(b"name: one"),
            project: None,
            link_action: Sha256Hash::of(b"action"),
        };
        let put = |path: &str, content: &[u8]| {
            let file = info::in_root(root, path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
        };
        put(program.executable().as_str(), b"executable");
        put(program.place().join(PROJECT_FILE).as_str(), b"name: one");
        let list = ProgramList {
            schema: PROGRAMS_SCHEMA,
            programs: vec![program.clone()],
        };
        let list = serde_json::to_vec(&list).unwrap();
        put(&format!("{PROGRAM_LISTS_PATH}/toy.json"), &list);
        program
    }

    #[test]
    fn every_file_of_a_program_is_what_the_list_says() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let cache = root.join("cache");
        assert!(check(root, &cache, true).is_empty());
        let program = image(root);
        assert!(check(root, &cache, true).is_empty());
        let place = info::in_root(root, program.place().as_str());
        fs_err::write(place.join("one"), "executablf").unwrap();
        fs_err::remove_file(place.join(PROJECT_FILE)).unwrap();
        let found = check(root, &cache, true);
        let paths: Vec<_> = found.iter().map(|finding| finding.path.clone()).collect();
        assert_eq!(paths, [place.join("one"), place.join(PROJECT_FILE)]);
        fs_err::write(
            info::in_root(root, PROGRAM_LISTS_PATH).join("toy.json"),
            "{",
        )
        .unwrap();
        assert_eq!(check(root, &cache, true).len(), 1);
    }

    #[test]
    fn what_is_an_entry_of_the_cache_is_read_there_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let (cache, program) = (root.join("cache"), image(root));
        let executable = info::in_root(root, program.executable().as_str());
        let entry = Store::create(&cache).unwrap().output_path(&program.sha256);
        fs_err::write(&executable, "executablf").unwrap();
        fs_err::hard_link(&executable, &entry).unwrap();
        assert!(check(root, &cache, true).is_empty());
        fs_err::remove_file(&entry).unwrap();
        fs_err::copy(&executable, &entry).unwrap();
        assert_eq!(check(root, &cache, true).len(), 1);
    }

    #[test]
    fn a_list_is_of_what_is_compressed_and_says_the_text_of_its_project_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let packed = Program {
            project: Some("name: one".into()),
            ..image(root)
        };
        let executables = info::in_root(root, EXECUTABLES_PATH);
        pack_one(&executables, packed.link_action, b"executable");
        let problems = |program: Program, are_sound: bool| {
            let list = ProgramList {
                schema: PROGRAMS_SCHEMA,
                programs: vec![program],
            };
            let file = info::in_root(root, PROGRAM_LISTS_PATH).join("toy.json");
            fs_err::write(file, serde_json::to_vec(&list).unwrap()).unwrap();
            check(root, &root.join("cache"), are_sound).len()
        };
        assert_eq!(problems(packed.clone(), true), 0);
        let missing = Program {
            link_action: Sha256Hash::of(b"other"),
            ..packed.clone()
        };
        assert_eq!(problems(missing.clone(), true), 1);
        assert_eq!(problems(missing, false), 0, "its own findings tell");
        let edited = Program {
            project: Some("name: two".into()),
            ..packed
        };
        assert_eq!(problems(edited, false), 1);
    }
}
