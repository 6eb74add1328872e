//! Tools: their version in `image.toml`, the go.mod and go.sum of what is compiled, and the digests of their release.
//!
//! go.mod is renewed by the go command, in a copy. `replace` and `godebug` hold in the main module alone, so ours have
//! those of the project's own go.mod that matter; what it changed of them from the old version to the new one is
//! changed in ours. Requirements that have the tool's version are released with it and get the new one, too.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use engine::host;
use failure::failed;
use modules::ModFile;
use oci::http;
use oci::platform::Platform;
use serde::Deserialize;
use toml_edit::DocumentMut;
use xshell::cmd;

use super::go::replaced;
use super::{Change, Pinned, choose, newer};
use pipeline::image_toml::{Release, ToolBuild};

/// More bytes than any list of checksums has.
const MAX_BYTES: u64 = 1 << 20;

/// Raises the version of a tool, and of its release where that has no version of its own.
pub fn raise(pinned: &mut Pinned, name: &str, wanted: Option<&str>) -> Result<Vec<Change>> {
    let mut tool = pinned
        .parsed()?
        .tools
        .remove(name)
        .context("it is a tool")?;
    let old = tool.version.clone();
    let follows = |build: &&ToolBuild| build.version.is_none();
    let Some(main) = tool.build.iter().find(follows) else {
        return Err(failed(
            format!("no Go module tells the versions of {name}"),
            "raise its version, and the SHA-256 of its release, in image.toml by hand",
        ));
    };
    let versions = pinned.versions(&main.module)?;
    let versions = versions.iter().filter_map(|it| it.strip_prefix('v'));
    let chosen = choose(name, versions, wanted)?;
    let new = newer(&old, &chosen, wanted);
    let change = Change {
        name: name.to_owned(),
        old: old.clone(),
        new: new.clone(),
    };
    if pinned.check || old == new {
        return Ok(vec![change]);
    }
    let mut image = pinned.image.clone();
    if let Some(release) = tool.release.take().filter(|it| it.version.is_none()) {
        set_release(&mut image, name, &release, &new)?;
    }
    let mut files = BTreeMap::new();
    for build in tool.build.iter().filter(follows) {
        let folder = pinned.image_file.with_file_name(&build.folder);
        let texts = renewed(pinned, &folder, build, [&old, &new])
            .with_context(|| format!("failed to raise {folder}/go.mod"))?;
        let [go_mod, go_sum] = texts;
        files.insert(folder.join("go.mod"), go_mod);
        files.insert(folder.join("go.sum"), go_sum);
    }
    let table = &mut image["tools"][name];
    table["version"] = replaced(&table["version"], &new);
    pinned.image = image;
    pinned.files.extend(files);
    Ok(vec![change])
}

/// Raises a release that has a version of its own to that of the tool.
pub fn raise_release(pinned: &mut Pinned, name: &str) -> Result<Vec<Change>> {
    let mut tool = pinned
        .parsed()?
        .tools
        .remove(name)
        .context("it is a tool")?;
    let release = tool.release.take().context("it has a release")?;
    let old = release.version.clone().unwrap_or_default();
    let new = tool.version;
    if !pinned.check && old != new {
        let mut image = pinned.image.clone();
        set_release(&mut image, name, &release, &new)?;
        let table = &mut image["tools"][name]["release"];
        table["version"] = replaced(&table["version"], &new);
        pinned.image = image;
    }
    let name = format!("{name} (release)");
    Ok(vec![Change { name, old, new }])
}

/// Enters the digests of another version, by the list that its project publishes.
fn set_release(image: &mut DocumentMut, name: &str, release: &Release, new: &str) -> Result<()> {
    let Some(checksums) = &release.checksums else {
        return Err(failed(
            format!("image.toml does not say where the SHA-256 sums of {name} {new} are"),
            format!("add their address as [tools.{name}.release] checksums"),
        ));
    };
    let url = checksums.replace("{version}", new);
    let mut list = Vec::new();
    http::download(&url, MAX_BYTES, &mut list).map_err(|error| {
        failed(
            format!("the SHA-256 sums of {name} {new} are not to be had: {error:#}"),
            "run it where that server can be reached",
        )
    })?;
    for (platform, sum) in sums(release, new, &String::from_utf8_lossy(&list))? {
        let table = &mut image["tools"][name]["release"]["sha256"];
        table[&platform] = replaced(&table[&platform], &sum);
    }
    Ok(())
}

/// The digest of each platform's archive, as lines of `sha256sum` name it.
fn sums(release: &Release, version: &str, list: &str) -> Result<BTreeMap<String, String>> {
    let lines = list.lines().filter_map(|line| line.split_once([' ', '\t']));
    let lines = lines.map(|(sum, file)| (file.trim().trim_start_matches('*'), sum));
    let lines: BTreeMap<&str, &str> = lines.collect();
    let of = |platform: &String| {
        let (os, arch) = platform.split_once('/').unwrap_or_default();
        let (os, arch) = (os.to_owned(), arch.to_owned());
        let url = release.url(version, &Platform { os, arch });
        let file = url.rsplit('/').next().unwrap_or_default().to_owned();
        let sum = lines.get(file.as_str()).copied();
        let is_sum = |sum: &&str| sum.parse::<sha256::Sha256Hash>().is_ok();
        let sum = sum.filter(is_sum).ok_or_else(|| {
            failed(
                format!("the list of checksums has none for {file}"),
                "correct url and checksums in image.toml",
            )
        })?;
        Ok((platform.clone(), sum.to_owned()))
    };
    release.sha256.keys().map(of).collect()
}

/// What `go mod edit -json` says of a go.mod, of what holds in the main module alone.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Edited {
    replace: Option<Vec<Replace>>,
    godebug: Option<Vec<Godebug>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Replace {
    old: Place,
    new: Place,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    path: String,
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Godebug {
    key: String,
    value: String,
}

/// Directives of a go.mod by the flag of `go mod edit` that sets them, without `=…`, and their value.
type Directives = BTreeMap<(&'static str, String), String>;

impl Edited {
    fn directives(self) -> Directives {
        let at = |place: &Place| match &place.version {
            Some(version) => format!("{}@{version}", place.path),
            None => place.path.clone(),
        };
        // A folder is one of the project's own repository.
        let replaced = self.replace.into_iter().flatten();
        let replaced = replaced.filter(|it| it.new.version.is_some());
        let mut all: Directives = replaced
            .map(|it| (("replace", at(&it.old)), at(&it.new)))
            .collect();
        let settings = self.godebug.into_iter().flatten();
        all.extend(settings.map(|it| (("godebug", it.key), it.value)));
        all
    }
}

/// Flags of `go mod edit` that do to ours what the project did to its own.
fn followed(ours: &Directives, old: &Directives, new: &Directives) -> Vec<String> {
    let mut flags = Vec::new();
    for (at, value) in new {
        let is_ours = ours.contains_key(at);
        if (is_ours || !old.contains_key(at)) && ours.get(at) != Some(value) {
            flags.push(format!("-{}={}={value}", at.0, at.1));
        }
    }
    let gone = old
        .keys()
        .filter(|at| !new.contains_key(*at) && ours.contains_key(*at));
    flags.extend(gone.map(|(kind, name)| format!("-drop{kind}={name}")));
    flags
}

/// go.mod and go.sum of the tool in `folder` for another version.
fn renewed(
    pinned: &Pinned,
    folder: &Utf8Path,
    build: &ToolBuild,
    [old, new]: [&str; 2],
) -> Result<[String; 2]> {
    let scratch = tempfile::tempdir()?;
    let scratch = Utf8Path::from_path(scratch.path()).context("TMPDIR is not UTF-8")?;
    let files = ["go.mod", "go.sum"].map(|name| scratch.join(name));
    for file in &files {
        let name = file.file_name().unwrap_or_default();
        fs_err::copy(folder.join(name), file)?;
    }
    let sh = &pinned.sh;
    let _folder = sh.push_dir(scratch);
    let _go = sh.push_env("GOTOOLCHAIN", format!("go{}", pinned.parsed()?.go.version));
    let directives = |file: &Utf8Path| -> Result<Directives> {
        let printed = host::read(cmd!(sh, "go mod edit -json {file}"))?;
        let edited: Edited =
            serde_json::from_str(&printed).context("the go command printed no JSON")?;
        Ok(edited.directives())
    };
    let module = &build.module;
    let of_project = |version: &str| -> Result<Directives> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Downloaded {
            go_mod: camino::Utf8PathBuf,
        }
        let printed = host::read(cmd!(sh, "go mod download -json {module}@v{version}"))?;
        let Downloaded { go_mod } =
            serde_json::from_str(&printed).context("the go command printed no JSON")?;
        directives(&go_mod)
    };
    let go_mod = ModFile::parse(&fs_err::read_to_string(&files[0])?);
    let flags = followed(
        &directives(&files[0])?,
        &of_project(old)?,
        &of_project(new)?,
    );
    if !flags.is_empty() {
        host::run(cmd!(sh, "go mod edit {flags...}"))?;
    }
    let released_with_it = go_mod.require.iter().map(|it| &it.module);
    let released_with_it = released_with_it
        .filter(|it| it.version == format!("v{old}") && it.path != *module)
        .map(|it| format!("{}@v{new}", it.path));
    let released_with_it: Vec<String> = released_with_it.collect();
    let package = &build.package;
    host::run(cmd!(sh, "go get -tool {package}@v{new}"))?;
    if !released_with_it.is_empty() {
        host::run(cmd!(sh, "go get {released_with_it...}"))?;
    }
    host::run(cmd!(sh, "go mod tidy"))?;
    let [go_mod, go_sum] = &files;
    Ok([
        fs_err::read_to_string(go_mod)?,
        fs_err::read_to_string(go_sum)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_project_changed_of_its_directives_is_changed_in_ours() {
        let of = |all: &[(&'static str, &str, &str)]| -> Directives {
            let all = all.iter();
            all.map(|(kind, name, value)| ((*kind, (*name).to_owned()), (*value).to_owned()))
                .collect()
        };
        let ours = of(&[
            ("replace", "a", "x@v1"),
            ("replace", "b", "y@v1"),
            ("replace", "mine", "z@v1"),
            ("godebug", "g", "0"),
        ]);
        let old = of(&[
            ("replace", "a", "x@v1"),
            ("replace", "b", "y@v1"),
            ("replace", "c", "not@v1"),
            ("godebug", "g", "0"),
        ]);
        let new = of(&[
            ("replace", "a", "x@v2"),
            ("replace", "c", "not@v2"),
            ("replace", "d", "new@v1"),
            ("godebug", "g", "0"),
            ("godebug", "h", "1"),
        ]);
        assert_eq!(
            followed(&ours, &old, &new),
            [
                "-godebug=h=1",
                "-replace=a=x@v2",
                "-replace=d=new@v1",
                "-dropreplace=b"
            ]
        );
        assert_eq!(followed(&ours, &old, &old), [""; 0]);
    }

    #[test]
    fn every_platform_has_the_digest_of_its_archive_in_the_list() {
        let release = Release {
            version: None,
            url: "https://get.example/x-v{version}-{os}-{arch}.tar.gz".into(),
            checksums: None,
            arch: [("amd64".to_owned(), "x64".to_owned())].into(),
            binaries: Vec::new(),
            sha256: ["linux/amd64", "linux/arm64"]
                .map(|it| (it.to_owned(), String::new()))
                .into(),
        };
        let [one, two] = ["1", "2"].map(|it| it.repeat(64));
        let list =
            format!("{one}  x-v2.0.0-linux-x64.tar.gz\n{two} *x-v2.0.0-linux-arm64.tar.gz\n");
        let found = sums(&release, "2.0.0", &list).unwrap();
        assert_eq!(found["linux/amd64"], one);
        assert_eq!(found["linux/arm64"], two);
        for bad in [list.replace(&two, "22"), list.replace("arm64", "riscv64")] {
            let error = sums(&release, "2.0.0", &bad).unwrap_err().to_string();
            assert!(error.contains("x-v2.0.0-linux-arm64.tar.gz"), "{error}");
        }
    }
}
