//! What an image says of itself: one file for the image, and for each pack in it a description and a record of inputs.
//!
//! The image builder writes them, the verifier reads them. Unknown fields are ignored, so an old verifier reads
//! what a newer builder wrote; `schema` changes only when a field changes its meaning.

pub mod programs;
pub mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use modules::Layout;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use self::volume::Volume;
use crate::{Error, GoModule, Identity, InputsRecord};

/// The image's own description, an [`ImageInfo`].
pub const IMAGE_INFO_PATH: &str = "/usr/local/share/iac-runner/image.json";

/// The folder of the packs' descriptions: `<pack>.json`, a [`PackInfo`]; `<pack>.sha256`, the
/// [`Checksums`](crate::Checksums) of all that the pack adds to the caches; `<pack>.left-out`, those of the files
/// that its Go modules have and the image does not; and, for a pack that has modules, `<pack>.inputs.json`, an
/// [`InputsRecord`](crate::InputsRecord).
pub const PACKS_PATH: &str = "/usr/local/share/iac-runner/packs";
/// Where the image keeps the list of its base system's packages, each with the digest of its archive.
pub const BASE_PACKAGES_PATH: &str = "/usr/local/share/iac-runner/base.lock";

/// The folder of links to the verifier that comes first on the image's PATH, one for each of [`LAUNCHED`].
pub const LAUNCHERS_PATH: &str = "/usr/local/lib/iac-runner/bin";

/// The programs that the verifier starts, under their own names, with a home that can be written to.
pub const LAUNCHED: [&str; 4] = ["git", "go", "pulumi", "tofu"];

/// Those of them that images without Go have.
pub const LAUNCHED_WITHOUT_GO: [&str; 2] = ["git", "pulumi"];

/// The verifier under the name of the go command, in a folder that only Pulumi has on its PATH, and only in images
/// without Go: language hosts ask for the version of Go before they run what is built already.
pub const STAND_IN_GO_PATH: &str = "/usr/local/lib/iac-runner/stand-in/go";

/// The folder of language hosts in whose place the verifier stands: they take as flags what Pulumi tells others.
pub const LANGUAGE_HOSTS_PATH: &str = "/usr/local/lib/iac-runner/language-hosts";

/// The folder of Pulumi's plugins: `resource-<name>-v<version>/pulumi-resource-<name>`, as below a `PULUMI_HOME`.
pub const PLUGINS_PATH: &str = "/usr/local/lib/iac-runner/plugins";

/// The pack of what all providers share.
pub const COMMON: &str = "common";

/// The pack of Go modules of which no provider needs more than the stub; the whole image alone has it.
pub const REST: &str = "rest";

/// The program that the go command starts tools with, where archives are export-only: the verifier under another name.
pub const TOOLEXEC_PATH: &str = "/usr/local/lib/iac-runner/toolexec";

/// What the verifier is told first where it is not called by that name, before the tool that it starts.
pub const TOOLEXEC: &str = "toolexec";

/// The folder of the packs' [object code](crate::objects).
pub const OBJECTS_PATH: &str = "/var/cache/go-objects";

/// The folder of the packs' [executables](crate::executables), where they are compressed.
pub const EXECUTABLES_PATH: &str = "/var/cache/go-objects/executables";

/// How the names of lists of files end, after the pack's name.
pub const FILES_SUFFIX: &str = ".sha256";

/// How the names of lists of files that are left out end, after the pack's name.
pub const LEFT_OUT_SUFFIX: &str = ".left-out";

/// How the names of records end, after the pack's name.
pub const INPUTS_SUFFIX: &str = ".inputs.json";

/// More bytes than the descriptions of all packs of an image have together.
const MAX_DESCRIPTIONS_BYTES: u64 = 64 << 20;
/// More bytes than the record of what any pack was made from has.
const MAX_INPUTS_BYTES: u64 = 256 << 20;

/// The schema of the image's description and the packs'.
pub const SCHEMA: u32 = 1;

/// `image.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What the caches were made with.
    pub identity: Identity,
    /// The tools in the image (`go`, `pulumi`, …) and their versions.
    pub versions: BTreeMap<String, String>,
    /// Where tools come from (`release`, or `module-proxy` for those that were compiled), by name; images made before
    /// it was noted lack it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tool_sources: BTreeMap<String, String>,
    /// User ID of the owner of the caches; images made before it was noted lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_uid: Option<u32>,
    /// Modification time of every shipped entry of GOCACHE, in seconds since 1970; images made before it was noted
    /// lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_entry_time: Option<u64>,
    /// Where the modules of its source are, unless the source itself says so or they are at the usual place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Layout>,
    /// Of a volume of caches alone: where it is mounted, and the environment there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
}

/// `packs/<name>.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackInfo {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The provider, or `common`.
    pub name: String,
    /// The modules that are warm with it.
    pub modules: Vec<PackModule>,
    /// How many Go modules it adds to GOMODCACHE.
    pub go_modules: u64,
    /// What it adds to GOMODCACHE.
    pub go_mod_bytes: u64,
    /// What it adds to GOCACHE, executables left out.
    pub go_build_bytes: u64,
    /// Its executables: in GOCACHE, or compressed beside it.
    pub executables_bytes: u64,
    /// The object code of its archives, compressed; 0 where GOCACHE has whole archives.
    #[serde(default)]
    pub objects_bytes: u64,
    /// Digest of `<pack>.sha256`; packs made before there was such a list lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_sha256: Option<Sha256Hash>,
    /// Digest of `<pack>.left-out`; without it nothing of the pack's Go modules is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_sha256: Option<Sha256Hash>,
    /// Go modules of which it adds no more than what Pulumi asks for (`go.mod`, licences, `pulumi-plugin.json`):
    /// nothing that it was made for loads them. Another pack may add the other files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stubs: Vec<GoModule>,
    /// Go modules that another pack has such a part of, and that are complete with this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completed: Vec<GoModule>,
}

/// A module of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackModule {
    /// The component's name.
    pub component: String,
    /// Its folder, relative to the source.
    pub path: Utf8PathBuf,
}

/// Go modules of which an image with these packs has no packages, though its go.mods require them.
pub fn without_packages(packs: &[PackInfo]) -> BTreeSet<&GoModule> {
    let completed: BTreeSet<&GoModule> = packs.iter().flat_map(|pack| &pack.completed).collect();
    let stubs = packs.iter().flat_map(|pack| &pack.stubs);
    stubs.filter(|stub| !completed.contains(stub)).collect()
}

/// One digest of the lists of files of an image, by which a person or a script compares: what `sha256sum` prints of the
/// lists, sorted by their names, hashed. `lists` are names of files in [`PACKS_PATH`] with their digests.
pub fn lists_digest(lists: impl IntoIterator<Item = (String, Sha256Hash)>) -> Sha256Hash {
    let lists: BTreeMap<String, Sha256Hash> = lists.into_iter().collect();
    let lines = lists
        .iter()
        .map(|(name, digest)| format!("{digest}  {name}\n"));
    Sha256Hash::of(lines.collect::<String>().as_bytes())
}

/// The lists of files that the pack `name` has, if it has any, with their digests.
pub fn lists_of(
    name: &str,
    files_sha256: Option<Sha256Hash>,
    left_out_sha256: Option<Sha256Hash>,
) -> impl Iterator<Item = (String, Sha256Hash)> {
    let lists = [
        (FILES_SUFFIX, files_sha256),
        (LEFT_OUT_SUFFIX, left_out_sha256),
    ];
    let lists = lists.into_iter();
    lists.filter_map(move |(suffix, digest)| Some((format!("{name}{suffix}"), digest?)))
}

impl PackInfo {
    /// Reads the descriptions in `folder`, which is an image's [`PACKS_PATH`], sorted by name; an image with the tools
    /// alone has no such folder, and no packs.
    ///
    /// The image may be anybody's, so a description is a regular file, and no link to what lies outside.
    ///
    /// # Errors
    /// A description that is none is corrupt.
    pub fn read_all(folder: &Utf8Path) -> Result<Vec<Self>, Error> {
        let is_description = |file: &Utf8Path| {
            file.extension() == Some("json") && !file.as_str().ends_with(INPUTS_SUFFIX)
        };
        let packs = read_json(folder, MAX_DESCRIPTIONS_BYTES, is_description)?;
        let mut packs: Vec<Self> = packs.into_iter().map(|(_, pack)| pack).collect();
        packs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(packs)
    }
}

impl ImageInfo {
    /// Reads `file`, which may be anybody's.
    ///
    /// # Errors
    /// One that is no description, or no regular file, is corrupt.
    pub fn read(file: &Utf8Path) -> Result<Self, Error> {
        read_file(file, MAX_DESCRIPTIONS_BYTES).map(|(info, _)| info)
    }
}

impl InputsRecord {
    /// Reads `file`, which may be anybody's.
    ///
    /// # Errors
    /// One that is no record, or no regular file, is corrupt.
    pub fn read(file: &Utf8Path) -> Result<Self, Error> {
        read_file(file, MAX_INPUTS_BYTES).map(|(record, _)| record)
    }
}

/// What `file` says, and how many bytes it has.
///
/// # Errors
/// A file that is no JSON of a `T`, or no regular one, or has more than `max_bytes`, is corrupt.
fn read_file<T: DeserializeOwned>(file: &Utf8Path, max_bytes: u64) -> Result<(T, u64), Error> {
    let json = regular_file::read(file, max_bytes).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Error::corrupt(file, error.to_string()),
        _ => error.into(),
    })?;
    let value =
        serde_json::from_slice(&json).map_err(|error| Error::corrupt(file, error.to_string()))?;
    Ok((value, json.len() as u64))
}

/// What the files of `folder` say that are `wanted`, each with its file; none where there is no such folder.
///
/// # Errors
/// A file that is no JSON of a `T`, or no regular one, or with which they have more than `max_bytes`, is corrupt.
fn read_json<T: DeserializeOwned>(
    folder: &Utf8Path,
    max_bytes: u64,
    wanted: impl Fn(&Utf8Path) -> bool,
) -> Result<Vec<(Utf8PathBuf, T)>, Error> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    let mut left_bytes = max_bytes;
    for entry in fs_err::read_dir(folder)? {
        let Ok(file) = Utf8PathBuf::from_path_buf(entry?.path()) else {
            continue;
        };
        if !wanted(&file) {
            continue;
        }
        let (value, size_bytes) = read_file(&file, left_bytes)?;
        left_bytes -= size_bytes;
        all.push((file, value));
    }
    Ok(all)
}

/// Whether `path`, which may be anybody's, stays below where it is joined to.
pub fn is_inside(path: &Utf8Path) -> bool {
    let mut parts = path.components();
    !path.as_str().is_empty() && parts.all(|part| matches!(part, Utf8Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_told_from_what_lies_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(PackInfo::read_all(&folder.join("none")).unwrap(), []);
        for name in ["civo", "common"] {
            let pack = PackInfo {
                name: name.to_owned(),
                ..PackInfo::default()
            };
            fs_err::write(
                folder.join(format!("{name}.json")),
                serde_json::to_vec(&pack).unwrap(),
            )
            .unwrap();
            fs_err::write(folder.join(format!("{name}.sha256")), "").unwrap();
            fs_err::write(folder.join(format!("{name}{INPUTS_SUFFIX}")), "{}").unwrap();
        }
        let names = PackInfo::read_all(folder).unwrap().into_iter();
        assert_eq!(
            names.map(|pack| pack.name).collect::<Vec<_>>(),
            ["civo", "common"]
        );
        fs_err::write(folder.join("aws.json"), "0").unwrap();
        let error = PackInfo::read_all(folder).unwrap_err();
        assert!(
            error.kind() == Some(failure::Kind::Corrupt) && error.to_string().contains("aws.json"),
            "{error}"
        );
    }

    #[test]
    fn the_digest_of_lists_is_that_of_what_sha256sum_says_of_them() {
        let [files, left_out] = [b"files", b"lefty"].map(|it| Sha256Hash::of(it));
        let lists =
            lists_of("civo", Some(files), Some(left_out)).chain(lists_of("aws", None, None));
        let text = format!("{left_out}  civo.left-out\n{files}  civo.sha256\n");
        assert_eq!(lists_digest(lists), Sha256Hash::of(text.as_bytes()));
    }

    #[test]
    fn a_description_is_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let huge = fs_err::File::create(folder.join("huge.json")).unwrap();
        huge.set_len(MAX_DESCRIPTIONS_BYTES + 1).unwrap();
        for (name, target) in [("huge.json", None), ("endless.json", Some("/dev/zero"))] {
            if let Some(target) = target {
                fs_err::remove_file(folder.join("huge.json")).unwrap();
                std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
            }
            let error = PackInfo::read_all(folder).unwrap_err();
            assert_eq!(error.kind(), Some(failure::Kind::Corrupt), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_pack_reads_as_agreed_and_ignores_what_it_does_not_know() {
        let json = r#"{"schema":1,"name":"civo","modules":[{"component":"volume","path":"apis/x","new":1}],
            "go_modules":123,"go_mod_bytes":1,"go_build_bytes":2,"executables_bytes":3,"new":{}}"#;
        let pack: PackInfo = serde_json::from_str(json).unwrap();
        assert_eq!(
            (pack.name.as_str(), pack.go_modules, pack.executables_bytes),
            ("civo", 123, 3)
        );
        assert_eq!(pack.modules[0].component, "volume");
        assert_eq!(pack.files_sha256, None);
        let back: PackInfo = serde_json::from_str(&serde_json::to_string(&pack).unwrap()).unwrap();
        assert_eq!(back, pack);
    }

    #[test]
    fn an_image_round_trips() {
        let env = serde_json::from_str(include_str!("../tests/fixtures/go-env.json")).unwrap();
        let info = ImageInfo {
            schema: SCHEMA,
            identity: Identity::from_go_env(&env).unwrap(),
            versions: BTreeMap::from([("go".into(), "1.25.0".into())]),
            tool_sources: BTreeMap::from([("pulumi".into(), "release".into())]),
            owner_uid: Some(65532),
            cache_entry_time: Some(2_114_380_800),
            source: Some(Layout {
                modules: vec!["stacks/{provider}".into()],
                ..Layout::default()
            }),
            volume: None,
        };
        let value = serde_json::to_value(&info).unwrap();
        assert_eq!(value["identity"]["goarch_level"], "GOAMD64=v1");
        assert_eq!(value["versions"]["go"], "1.25.0");
        assert_eq!(
            serde_json::from_value::<ImageInfo>(value.clone()).unwrap(),
            info
        );
        let mut older = value;
        let fields = older.as_object_mut().unwrap();
        fields.retain(|name, _| {
            !["owner_uid", "cache_entry_time", "source"].contains(&name.as_str())
        });
        let older: ImageInfo = serde_json::from_value(older).unwrap();
        assert_eq!((older.owner_uid, older.cache_entry_time), (None, None));
        assert_eq!(older.source, None);
    }
}
