//! The history: one line of JSON for each accepted report, so that a file under version control tells how the image
//! changed. A line holds what is compared over months; the reports themselves are far too large to be kept.
//!
//! Lines are only ever added, each in one write, and never to a file that is damaged: a line put behind half a line
//! would be lost with it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use camino::Utf8Path;
use gocache::Ratio;
use serde::{Deserialize, Serialize};

use crate::stats::{Percentiles, median};
use crate::{Error, MeasuredModule, Report, check, file};

/// A report in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// When the measuring began, in seconds since 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at_s: Option<u64>,
    /// The image's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its layers as they are pulled, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_bytes: Option<u64>,
    /// Its packs unpacked, in bytes.
    #[serde(default)]
    pub pack_bytes: BTreeMap<String, u64>,
    /// How many modules were measured.
    pub modules: usize,
    /// How many failed.
    #[serde(default)]
    pub failures: usize,
    /// First builds, each module with its median.
    pub first_ms: Option<Percentiles>,
    /// First builds in units of the yardstick `go list`, which takes the machine out: the median over the modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_to_list: Option<f64>,
    /// Of the first builds.
    pub packages: Ratio,
    /// Of the first builds.
    pub links: Ratio,
}

impl HistoryLine {
    /// Of a report.
    pub fn of(report: &Report) -> Self {
        let image = report.image.as_ref();
        let packs = report.packs.iter();
        Self {
            measured_at_s: report.measured_at_s,
            image: image.map(|image| image.name.clone()),
            digest: image.map(|image| image.digest.clone()),
            compressed_bytes: image.map(|image| image.compressed_bytes),
            pack_bytes: packs
                .map(|pack| (pack.name.clone(), pack.total_bytes()))
                .collect(),
            modules: report.modules.len(),
            failures: report.failures.len(),
            first_ms: report.summary.first_ms,
            first_to_list: first_to_list(&report.modules),
            packages: report.summary.packages,
            links: report.summary.links,
        }
    }
}

fn first_to_list(modules: &[MeasuredModule]) -> Option<f64> {
    let ratio = |module: &MeasuredModule| {
        let list_ms = median(&module.list_ms);
        (list_ms > 0.0).then_some(module.first_median_ms()? / list_ms)
    };
    let ratios: Vec<f64> = modules.iter().filter_map(ratio).collect();
    Percentiles::of(&ratios).map(|ratios| ratios.p50)
}

/// Reads a history.
pub fn read(path: &Utf8Path) -> Result<Vec<HistoryLine>, Error> {
    parse(path, &file::text(path)?)
}

/// Fails for a file to which no line could be added: one that is damaged, or is to be in a folder that is not there.
pub fn check_file(path: &Utf8Path) -> Result<(), Error> {
    if path.exists() {
        read(path).map(drop)
    } else {
        file::folder_of(path).map(drop)
    }
}

/// Adds a line, unless it is there already; tells whether it was added. The file is made if it is absent.
pub fn append(path: &Utf8Path, line: &HistoryLine) -> Result<bool, Error> {
    let mut history = fs_err::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    let mut kept = String::new();
    history.read_to_string(&mut kept)?;
    parse(path, &kept)?;
    let mut text = serde_json::to_string(line).map_err(std::io::Error::from)?;
    // As text, because a number that was written and read again may differ in its last bit.
    if kept.lines().any(|kept| kept == text) {
        return Ok(false);
    }
    text.push('\n');
    history.write_all(text.as_bytes())?;
    history.sync_all()?;
    Ok(true)
}

fn parse(path: &Utf8Path, text: &str) -> Result<Vec<HistoryLine>, Error> {
    let damaged = |number: usize, what: String| Error::Damaged {
        path: path.to_owned(),
        reason: format!("line {number} {what}; mend or remove that line"),
    };
    let lines: Vec<&str> = text.lines().collect();
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(damaged(lines.len(), "is cut short".to_owned()));
    }
    let line = |(index, line): (usize, &&str)| {
        let line = file::from_json::<HistoryLine>(line);
        let checked = line.and_then(|line| {
            check::values(&line).map_err(|fault| fault.to_string())?;
            Ok(line)
        });
        checked.map_err(|wrong| damaged(index + 1, format!("is wrong: {wrong}")))
    };
    lines.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::sample;

    fn history() -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        (guard, folder.join("history.jsonl"))
    }

    #[test]
    fn a_report_in_a_line() {
        let mut report = sample::report(3);
        for (module, (first, list)) in
            report
                .modules
                .iter_mut()
                .zip([(300.0, 150.0), (400.0, 100.0), (500.0, 0.0)])
        {
            module.list_ms = vec![list];
            module
                .phases
                .get_mut(&crate::PhaseName::First)
                .unwrap()
                .wall_ms = vec![first];
        }
        let line = HistoryLine::of(&report);
        assert_eq!(line.modules, 3);
        // 2 and 4; the third has no yardstick.
        assert_eq!(line.first_to_list, Some(2.0));
        let common = report.packs.iter().find(|pack| pack.name == "common");
        assert_eq!(line.pack_bytes["common"], common.unwrap().total_bytes());
        report.modules.clear();
        assert_eq!(HistoryLine::of(&report).first_to_list, None);
    }

    #[test]
    fn each_report_is_added_once() {
        let (_guard, file) = history();
        let lines: Vec<_> = sample::history(3);
        for (line, new) in [(0, true), (0, false), (1, true), (0, false), (2, true)] {
            assert_eq!(append(&file, &lines[line]).unwrap(), new);
        }
        assert_eq!(read(&file).unwrap().len(), 3);
        assert_eq!(fs_err::read_to_string(&file).unwrap().lines().count(), 3);
    }

    #[test]
    fn nothing_is_added_to_a_damaged_file() {
        let (_guard, file) = history();
        let line = &sample::history(1)[0];
        append(&file, line).unwrap();
        let whole = fs_err::read_to_string(&file).unwrap();
        for (damaged, sign) in [
            (whole[..whole.len() - 1].to_owned(), "line 1 is cut short"),
            (format!("{whole}{}", &whole[..40]), "line 2 is cut short"),
            (format!("{whole}{{}}\n"), "line 2 is wrong: missing field"),
        ] {
            fs_err::write(&file, &damaged).unwrap();
            let error = append(&file, line).unwrap_err();
            assert_eq!(error.kind(), Some(failure::Kind::Corrupt));
            let said = error.to_string();
            assert!(
                said.contains("history.jsonl") && said.contains(sign),
                "{said}"
            );
            assert_eq!(fs_err::read_to_string(&file).unwrap(), damaged);
            assert_eq!(
                read(&file).unwrap_err().kind(),
                Some(failure::Kind::Corrupt)
            );
        }
    }

    #[test]
    fn a_history_that_is_not_there_is_bad_input() {
        let (_guard, file) = history();
        assert_eq!(read(&file).unwrap_err().kind(), Some(failure::Kind::Usage));
        check_file(&file).unwrap();
        for bad in [file.join("x"), file.parent().unwrap().to_owned()] {
            assert_eq!(
                check_file(&bad).unwrap_err().kind(),
                Some(failure::Kind::Usage)
            );
        }
    }
}
