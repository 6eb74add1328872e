//! A go.mod of the source with the modules that it holds, and the files that decide what it requires.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use modules::links::{Target, resolve};
use modules::source_file::{self, MAX_BYTES, MAX_SUM_BYTES};
use modules::{ModFile, Module};
use sha256::Sha256Hash;

/// The list of what is vendored, beside a go.mod or a go.work.
pub const VENDORED: &str = "vendor/modules.txt";

/// The modules that one go.mod holds.
#[derive(Debug, Clone)]
pub struct GoMod {
    /// The go.mod, relative to the source.
    pub path: Utf8PathBuf,
    /// The go.work above it, relative to the source.
    pub go_work: Option<Utf8PathBuf>,
    /// Its modules, sorted by path.
    pub modules: Vec<Module>,
}

impl GoMod {
    /// Folder of the go.mod, relative to the source.
    pub fn folder(&self) -> &Utf8Path {
        self.path.parent().unwrap_or(Utf8Path::new(""))
    }

    /// Whether the go command takes packages from a `vendor` folder.
    pub fn is_vendored(&self, source: &Utf8Path) -> bool {
        let file = self.go_work.as_ref().unwrap_or(&self.path);
        source.join(file.with_file_name(VENDORED)).is_file()
    }

    /// The Go modules, with their versions, that packages are vendored of; folders of the source left out.
    pub fn vendored(&self, source: &Utf8Path) -> Result<BTreeSet<String>> {
        let file = self.go_work.as_ref().unwrap_or(&self.path);
        let text = read(source, &file.with_file_name(VENDORED))?;
        Ok(vendored_modules(&text).collect())
    }

    /// The Go modules that the source itself holds and `go_mod` sees: path, and folder relative to the source.
    pub fn own_modules(&self, source: &Utf8Path) -> Result<Vec<(String, Utf8PathBuf)>> {
        let mut own = Vec::new();
        for file in self.module_files(source)? {
            if file.file_name() == Some("go.mod") {
                let parsed = ModFile::parse(&read(source, &file)?);
                let folder = file.parent().unwrap_or(Utf8Path::new("")).to_owned();
                own.extend(parsed.module.map(|path| (path, folder)));
            }
        }
        Ok(own)
    }

    /// Its providers.
    pub fn providers(&self) -> BTreeSet<&str> {
        self.modules
            .iter()
            .map(|module| module.provider.as_str())
            .collect()
    }

    /// Go's names for its modules: `./` and the folder below the go.mod.
    pub fn patterns<'a>(
        &'a self,
        modules: impl Iterator<Item = &'a Module> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        modules.map(|module| {
            let below = module
                .program()
                .strip_prefix(self.folder())
                .expect("a go.mod stands above its modules");
            format!("./{below}")
        })
    }

    /// The files that decide which Go modules it requires, relative to the source: its own go.mod, go.work, the go.mod
    /// of each folder that one of them names, all with their sums and the lists of what is vendored.
    pub fn module_files(&self, source: &Utf8Path) -> Result<BTreeSet<Utf8PathBuf>> {
        let mut files = BTreeSet::new();
        let mut new: Vec<Utf8PathBuf> = self.go_work.iter().chain([&self.path]).cloned().collect();
        while let Some(file) = new.pop() {
            if !is_of_source(source, &file)? || !files.insert(file.clone()) {
                continue;
            }
            let parsed = ModFile::parse(&read(source, &file)?);
            let folders = parsed.relative_folders();
            new.extend(folders.map(|folder| normal(&file.with_file_name(folder).join("go.mod"))));
        }
        let beside: Vec<_> = files
            .iter()
            .flat_map(|file| [sums_of(file), file.with_file_name(VENDORED)])
            .collect();
        for file in beside {
            if is_of_source(source, &file)? {
                files.insert(file);
            }
        }
        Ok(files)
    }

    /// Digests of those files.
    pub fn digest(&self, source: &Utf8Path) -> Result<Vec<(Utf8PathBuf, Sha256Hash)>> {
        let files = self.module_files(source)?.into_iter();
        files
            .map(|file| {
                let digest = sha256::hash_file(&source.join(&file))?.0;
                Ok((file, digest))
            })
            .collect()
    }
}

/// The Go modules that a `modules.txt` names, as `path@version`: of what is replaced, the replacement.
fn vendored_modules(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# "));
    lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let last = words.rsplit(|word| *word == "=>").next()?;
        match last {
            [path, version] => Some(format!("{path}@{version}")),
            _ => None,
        }
    })
}

/// Whether `file` is there without leading out of the source, as a file of a size that means well.
fn is_of_source(source: &Utf8Path, file: &Utf8Path) -> Result<bool> {
    Ok(is_inside(source, file)?
        && source_file::is_there(source.as_std_path(), file.as_std_path(), max_bytes(file))?)
}

/// The text of a file that decides what a go.mod requires; it is empty where there is none.
pub fn read(source: &Utf8Path, file: &Utf8Path) -> Result<String> {
    let bytes = source_file::read(source.as_std_path(), file.as_std_path(), max_bytes(file))?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

fn max_bytes(file: &Utf8Path) -> u64 {
    match file.extension() {
        Some("sum") => MAX_SUM_BYTES,
        _ => MAX_BYTES,
    }
}

/// Whether a path of the source stays in it, links included.
pub fn is_inside(source: &Utf8Path, path: &Utf8Path) -> Result<bool> {
    let target = resolve(source.as_std_path(), path.as_std_path())?;
    Ok(matches!(target, Target::Inside(_)))
}

/// The path without `.` and `..`; one that leads out of the source keeps its first `..`.
pub fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for component in path.components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// The file of hashes beside a go.mod or go.work.
pub fn sums_of(file: &Utf8Path) -> Utf8PathBuf {
    if file.extension() == Some("work") {
        file.with_file_name("go.work.sum")
    } else {
        file.with_file_name("go.sum")
    }
}

/// Groups modules by their go.mod.
pub fn by_go_mod(source: &Utf8Path, modules: &[Module]) -> Vec<GoMod> {
    let mut grouped: BTreeMap<&Utf8Path, Vec<Module>> = BTreeMap::new();
    for module in modules {
        grouped
            .entry(&module.go_mod)
            .or_default()
            .push(module.clone());
    }
    let go_work = |go_mod: &Utf8Path| {
        go_mod
            .ancestors()
            .skip(1)
            .map(|folder| folder.join("go.work"))
            .find(|work| source.join(work).is_file())
    };
    grouped
        .into_iter()
        .map(|(path, modules)| GoMod {
            path: path.to_owned(),
            go_work: go_work(path),
            modules,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_vendored_is_listed_as_it_is_fetched() {
        let text = "# a.b/c v1.0.0\n## explicit; go 1.20\na.b/c\na.b/c/d\n# a.b/e v1.0.0 => ../e\na.b/e\n\
                    # a.b/f v1.0.0 => a.b/g v1.1.0\n## explicit\n# a.b/h => ./h\n## workspace\n\
                    # a.b/i => a.b/j v1.2.0\n";
        let found: Vec<_> = vendored_modules(text).collect();
        assert_eq!(found, ["a.b/c@v1.0.0", "a.b/g@v1.1.0", "a.b/j@v1.2.0"]);
    }

    #[test]
    fn a_file_of_the_module_graph_without_an_end_is_refused_by_its_name() {
        for (name, max_bytes) in [
            ("go.sum", MAX_SUM_BYTES),
            ("vendor/modules.txt", MAX_BYTES),
            ("lib/go.mod", MAX_BYTES),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let source = Utf8Path::from_path(folder.path()).unwrap();
            for below in ["vendor", "lib"] {
                fs_err::create_dir(source.join(below)).unwrap();
            }
            let text = "module m\nreplace x.y/z => ./lib\n";
            fs_err::write(source.join("go.mod"), text).unwrap();
            let file = fs_err::File::create(source.join(name)).unwrap();
            file.set_len(1 << 40).unwrap();
            let go_mod = GoMod {
                path: "go.mod".into(),
                go_work: None,
                modules: Vec::new(),
            };
            let error = go_mod.digest(source).unwrap_err();
            let kind = failure::kind(&error, &[modules::Error::classify]);
            assert_eq!(kind, failure::Kind::Usage);
            let said = format!("\"{name}\" is no regular file of at most {max_bytes} bytes");
            assert!(error.to_string().starts_with(&said), "{error}");
        }
    }

    #[test]
    fn the_digest_covers_what_is_replaced_and_used() {
        let folder = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(folder.path()).unwrap();
        let write = |path: &str, text: &str| {
            fs_err::create_dir_all(source.join(path).parent().unwrap()).unwrap();
            fs_err::write(source.join(path), text).unwrap();
        };
        write(
            "go.work",
            "use (\n\t./apis/aws\n\t\"./used\" // a comment with ./other\n\tpkg/bare\n)\nuse `quoted`\n\
             replace (\n\ta.b/c => ./replaced\n)\n",
        );
        write(
            "apis/aws/go.mod",
            "module m\n\nreplace example.com/p => ../../pkg\n\nreplace example.com/q => ../../../outside\n",
        );
        let named = [
            "pkg/bare/go.mod",
            "pkg/go.mod",
            "pkg/go.sum",
            "quoted/go.mod",
            "replaced/go.mod",
            "used/go.mod",
            "used/go.sum",
        ];
        for path in named
            .into_iter()
            .chain(["other/go.mod", "apis/aws/vendor/modules.txt"])
        {
            write(path, "module x\n");
        }
        let go_mod = GoMod {
            path: "apis/aws/go.mod".into(),
            go_work: Some("go.work".into()),
            modules: Vec::new(),
        };
        let files: Vec<String> = go_mod
            .digest(source)
            .unwrap()
            .into_iter()
            .map(|(path, _)| path.into_string())
            .collect();
        let mut expected = named.to_vec();
        expected.extend(["apis/aws/go.mod", "apis/aws/vendor/modules.txt", "go.work"]);
        expected.sort_unstable();
        assert_eq!(files, expected);
        let before = go_mod.digest(source).unwrap();
        write("other/go.mod", "module changed\n");
        assert_eq!(before, go_mod.digest(source).unwrap());
        for path in named.into_iter().chain(["apis/aws/vendor/modules.txt"]) {
            let before = go_mod.digest(source).unwrap();
            write(path, "module changed\n");
            assert_ne!(before, go_mod.digest(source).unwrap(), "{path}");
        }
    }
}
