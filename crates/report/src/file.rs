//! Files as this project keeps them: read whole, written complete or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Report, SCHEMA};

/// What a file of this project holds, and how another one is told from it.
pub(crate) struct Shape {
    /// What it is, for messages.
    pub what: &'static str,
    /// The newest version of it that is known here.
    pub newest: u32,
    /// A field that it has, and the other shape has not.
    pub field: &'static str,
    /// Which file to name instead of one that has another shape.
    pub hint: &'static str,
}

/// A [`Report`].
const REPORT: Shape = Shape {
    what: "report of the verifier",
    newest: SCHEMA,
    field: "summary",
    hint: "name the report.json of `base-image`, or what `verify --json` wrote",
};

/// A [`Baseline`](crate::gate::Baseline).
pub(crate) const BASELINE: Shape = Shape {
    what: "baseline of the gate",
    newest: BASELINE_SCHEMA,
    field: "pack_bytes",
    hint: "name what `cargo xtask gate --update` wrote",
};

/// Version of the baseline's shape.
pub const BASELINE_SCHEMA: u32 = 1;

/// Reads a report. One that cannot be read, is none, is newer than [`SCHEMA`], or holds what cannot be
/// ([`Report::check`]) is bad input.
pub fn read(file: &Utf8Path) -> Result<Report, Error> {
    parse_report(file, &text_of(file, &REPORT)?)
}

/// The same of the text of `file`, which was read before.
pub fn parse_report(file: &Utf8Path, text: &str) -> Result<Report, Error> {
    let report: Report = parse(text, &REPORT).map_err(|reason| Error::input(file, reason))?;
    report.check().map_err(|fault| Error::fault(file, &fault))?;
    Ok(report)
}

/// Reads a file that has a schema; that is looked at first, so that a newer file is called that, and not malformed.
pub(crate) fn read_as<T: DeserializeOwned>(file: &Utf8Path, shape: &Shape) -> Result<T, Error> {
    parse(&text_of(file, shape)?, shape).map_err(|reason| Error::input(file, reason))
}

/// The text of a file that the user named.
pub(crate) fn text(file: &Utf8Path) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::input(file, format!("cannot be read: {error}")))
}

fn text_of(file: &Utf8Path, shape: &Shape) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::input(file, format!("cannot be read: {error}; {}", shape.hint)))
}

fn parse<T: DeserializeOwned>(text: &str, shape: &Shape) -> Result<T, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        schema: u32,
    }
    let Shape { what, newest, .. } = *shape;
    let wrong = |error: String| format!("is not a {what}: {error}; {}", shape.hint);
    let Version { schema } = from_json(text).map_err(wrong)?;
    let other = [REPORT, BASELINE]
        .into_iter()
        .find(|other| other.what != what && has(text, other) && !has(text, shape));
    if let Some(other) = other {
        return Err(format!(
            "is a {}, not a {what}; where both are named, swap them",
            other.what
        ));
    }
    if schema > newest {
        return Err(format!(
            "has schema {schema}, newer than {newest}; use the version that wrote it, or a newer one"
        ));
    }
    from_json(text).map_err(wrong)
}

/// Whether JSON has the field by which `shape` is known.
fn has(text: &str, shape: &Shape) -> bool {
    let json = serde_json::from_str::<Value>(text);
    json.is_ok_and(|json| json.get(shape.field).is_some())
}

/// A value from JSON; an error names the field.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// Writes beside the file and then in its place. What is there and no file, as `/dev/stdout`, is written to.
pub fn write(file: &Utf8Path, text: &str) -> Result<(), Error> {
    let in_place = file.metadata().is_ok_and(|there| !there.is_file());
    if in_place {
        return Ok(fs_err::write(file, text)?);
    }
    let folder = folder_of(file)?;
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    let written = write();
    Ok(written.map_err(|error| {
        io::Error::new(error.kind(), format!("failed to write {file}: {error}"))
    })?)
}

/// The folder that `file` is to be in; one that is not there is bad input.
pub(crate) fn folder_of(file: &Utf8Path) -> Result<&Utf8Path, Error> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_str().is_empty())
        .unwrap_or(Utf8Path::new("."));
    if folder.is_dir() {
        return Ok(folder);
    }
    let reason =
        format!("cannot be written: there is no folder {folder}; make it, or name another");
    Err(Error::input(file, reason))
}

/// Adds to the end of a file, which is made if it is absent.
pub fn append(file: &Utf8Path, text: &str) -> io::Result<()> {
    let mut file = fs_err::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use serde_json::json;

    use super::*;
    use crate::sample;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        (guard, folder)
    }

    #[test]
    fn what_is_written_is_read() {
        let (_guard, folder) = folder();
        let file = folder.join("report.json");
        let report = sample::report(3);
        for _ in 0..2 {
            write(&file, &serde_json::to_string(&report).unwrap()).unwrap();
            assert_eq!(read(&file).unwrap().summary, report.summary);
        }
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_report_is_bad_input() {
        let (_guard, folder) = folder();
        let file = folder.join("x.json");
        let refused = |sign: &str| {
            let error = read(&file).unwrap_err();
            let said = error.to_string();
            assert_eq!(error.kind(), Some(failure::Kind::Usage));
            assert!(said.contains("x.json") && said.contains(sign), "{said}");
        };
        refused("No such file");
        for (text, sign) in [
            (json!([]), "not a report"),
            (json!({"schema": 1}), "missing field `identity`"),
            (json!({"schema": 1}), "name the report.json of `base-image`"),
            (
                json!({"schema": SCHEMA + 1, "later": true}),
                "schema 2, newer than 1",
            ),
        ] {
            write(&file, &text.to_string()).unwrap();
            refused(sign);
        }
    }

    #[test]
    fn an_error_names_the_file_and_a_device_stays_one() {
        let (_guard, folder) = folder();
        let absent = folder.join("absent");
        let error = write(&absent.join("x"), "x").unwrap_err();
        assert_eq!(error.kind(), Some(failure::Kind::Usage));
        let said = format!("there is no folder {absent}; make it, or name another");
        assert!(error.to_string().ends_with(&said), "{error}");
        write(Utf8Path::new("/dev/null"), "x").unwrap();
        assert!(!Utf8Path::new("/dev/null").is_file());
    }
}
