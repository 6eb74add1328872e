//! Programs that are built already: a folder for each, with the executable and a Pulumi.yaml that names it, and for
//! each pack a list of its programs. In an image with caches the executables are entries of GOCACHE, under a second
//! name, or they are compressed, and there are no folders: `verifier which --to` makes them.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use super::{is_inside, read_json};
use crate::Error;

/// The folder of programs: `<provider>/<component>/`.
pub const PROGRAMS_PATH: &str = "/opt/iac-runner/programs";

/// The folder of the lists of programs: `<pack>.json`, a [`ProgramList`].
pub const PROGRAM_LISTS_PATH: &str = "/opt/iac-runner/lists";

/// A program's project file, beside its executable.
pub const PROJECT_FILE: &str = "Pulumi.yaml";

/// The schema of a list of programs.
pub const PROGRAMS_SCHEMA: u32 = 1;

/// More bytes than the lists of all packs of an image have together.
const MAX_LISTS_BYTES: u64 = 64 << 20;

/// The programs of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramList {
    /// [`PROGRAMS_SCHEMA`].
    pub schema: u32,
    /// Sorted by provider and component.
    pub programs: Vec<Program>,
}

/// A program that is built already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its provider.
    pub provider: String,
    /// Its component.
    pub component: String,
    /// The module's folder, relative to the source.
    pub path: Utf8PathBuf,
    /// Its folder below [`PROGRAMS_PATH`].
    pub folder: Utf8PathBuf,
    /// The name of its executable in there.
    pub binary: String,
    /// SHA-256 of the executable.
    pub sha256: Sha256Hash,
    /// Size of the executable in bytes.
    pub size_bytes: u64,
    /// SHA-256 of its Pulumi.yaml.
    pub project_sha256: Sha256Hash,
    /// The text of that, if the executable is [compressed](crate::executables).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// ID of its link action: a digest of everything that the executable was built from.
    pub link_action: Sha256Hash,
}

impl Program {
    /// What people call it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider, self.component)
    }

    /// Its folder in the image.
    pub fn place(&self) -> Utf8PathBuf {
        Utf8Path::new(PROGRAMS_PATH).join(&self.folder)
    }

    /// Its executable in the image.
    pub fn executable(&self) -> Utf8PathBuf {
        self.place().join(&self.binary)
    }

    /// Whether its executable is compressed, and it has no folder.
    pub fn is_packed(&self) -> bool {
        self.project.is_some()
    }

    /// Whether its paths stay where programs are; a list may be anybody's.
    pub fn is_sound(&self) -> bool {
        is_inside(&self.folder) && is_inside(self.binary.as_ref()) && !self.binary.contains('/')
    }

    /// The programs of all lists in `folder`, which is an image's [`PROGRAM_LISTS_PATH`], sorted by name; none where
    /// there is no such folder.
    ///
    /// # Errors
    /// A list that is none, or that leads out of where programs are, is corrupt.
    pub fn read_all(folder: &Utf8Path) -> Result<Vec<Self>, Error> {
        let mut programs = Vec::new();
        for (file, list) in read_json::<ProgramList>(folder, MAX_LISTS_BYTES, |_| true)? {
            let damaged = |reason: String| Error::corrupt(&file, reason);
            if list.schema != PROGRAMS_SCHEMA {
                let schema = list.schema;
                return Err(damaged(format!(
                    "it has schema {schema}, and only {PROGRAMS_SCHEMA} is known"
                )));
            }
            if let Some(program) = list.programs.iter().find(|program| !program.is_sound()) {
                return Err(damaged(format!("{} lies elsewhere", program.name())));
            }
            programs.extend(list.programs);
        }
        programs.sort_by_key(Self::name);
        Ok(programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(component: &str) -> Program {
        let digest = Sha256Hash::of(component.as_bytes());
        Program {
            provider: "civo".into(),
            component: component.into(),
            path: format!("apis/{component}").into(),
            folder: format!("civo/{component}").into(),
            binary: component.into(),
            sha256: digest,
            size_bytes: 1,
            project_sha256: digest,
            project: None,
            link_action: digest,
        }
    }

    fn written(folder: &Utf8Path, pack: &str, schema: u32, programs: Vec<Program>) {
        let list = ProgramList { schema, programs };
        let json = serde_json::to_vec(&list).unwrap();
        fs_err::write(folder.join(format!("{pack}.json")), json).unwrap();
    }

    #[test]
    fn the_programs_of_all_packs_are_sorted_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(Program::read_all(&folder.join("none")).unwrap(), []);
        written(folder, "civo.1of2", 1, vec![program("volume")]);
        written(folder, "civo.2of2", 1, vec![program("bucket")]);
        let read = Program::read_all(folder).unwrap();
        assert_eq!(read, [program("bucket"), program("volume")]);
        let executable = "/opt/iac-runner/programs/civo/bucket/bucket";
        assert_eq!(read[0].executable(), executable);
    }

    #[test]
    fn a_list_that_leads_out_or_is_of_another_schema_is_corrupt() {
        type Change = fn(&mut Program);
        let cases: [(u32, Change); 6] = [
            (2, |_| {}),
            (1, |program| program.folder = "/etc".into()),
            (1, |program| program.folder = "civo/../../up".into()),
            (1, |program| program.folder = "".into()),
            (1, |program| program.binary = "../up".into()),
            (1, |program| program.binary = "a/b".into()),
        ];
        for (schema, change) in cases {
            let folder = tempfile::tempdir().unwrap();
            let folder = Utf8Path::from_path(folder.path()).unwrap();
            let mut changed = program("volume");
            change(&mut changed);
            written(folder, "civo", schema, vec![changed]);
            let error = Program::read_all(folder).unwrap_err();
            assert_eq!(error.kind(), Some(failure::Kind::Corrupt), "{error}");
        }
    }
}
