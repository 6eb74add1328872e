//! Files that are almost reports, baselines and histories: each is taken or refused, never a crash, and what is taken
//! comes back as it was when it is written.

use camino::Utf8Path;
use proptest::prelude::*;

use crate::gate::{self, Baseline};
use crate::history::{self, HistoryLine};
use crate::{Error, Format, Report, file, sample};
use mutation::mutated;

/// What `read` makes of a file with these bytes.
fn read<T>(bytes: &[u8], read: impl Fn(&Utf8Path) -> Result<T, Error>) -> Result<T, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(folder.path()).unwrap().join("file");
    fs_err::write(&file, bytes).unwrap();
    read(&file)
}

/// What is refused is input, or damaged, and is named.
fn check_refusal(error: &Error) -> Result<(), TestCaseError> {
    prop_assert!(error.kind().is_some(), "{}", error);
    prop_assert!(error.to_string().contains("/file"), "{}", error);
    Ok(())
}

/// In which nothing failed, so that it meets what it becomes as a baseline.
fn report() -> Report {
    let mut report = sample::report(2);
    report.failures.clear();
    report
}

fn lines() -> Vec<u8> {
    let lines = sample::history(3);
    let text = |line: &HistoryLine| serde_json::to_string(line).unwrap() + "\n";
    lines.iter().map(text).collect::<String>().into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_report_is_refused_or_comes_back(bytes in mutated(Just(serde_json::to_vec(&report()).unwrap()))) {
        match read(&bytes, file::read) {
            Err(error) => check_refusal(&error)?,
            Ok(report) => {
                let json = serde_json::to_vec(&report).unwrap();
                let again = serde_json::to_vec(&read(&json, file::read).unwrap()).unwrap();
                prop_assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(json).unwrap());
                for format in Format::ALL {
                    let input = crate::formats::Input { report: &report, history: &[], target_ms: None };
                    prop_assert!(format.render(&input).ends_with('\n'), "{}", format);
                }
                let baseline = Baseline::of(&report);
                if baseline.check().is_ok() {
                    // Whatever a report is, it is no worse than itself but for what failed.
                    let comparison = gate::compare(&baseline, &report);
                    prop_assert!(comparison.is_met() || !report.failures.is_empty(), "{}", comparison.text());
                }
            }
        }
    }

    #[test]
    fn a_baseline_is_refused_or_comes_back(bytes in mutated(Just(Baseline::of(&report()).to_json().into_bytes()))) {
        match read(&bytes, Baseline::read) {
            Err(error) => check_refusal(&error)?,
            Ok(baseline) => {
                let json = baseline.to_json();
                prop_assert_eq!(read(json.as_bytes(), Baseline::read).unwrap().to_json(), json);
                gate::compare(&baseline, &report()).text();
            }
        }
    }

    #[test]
    fn a_history_is_refused_or_comes_back(bytes in mutated(Just(lines()))) {
        match read(&bytes, history::read) {
            Err(error) => check_refusal(&error)?,
            Ok(read_lines) => {
                let text = |line: &HistoryLine| serde_json::to_string(line).unwrap() + "\n";
                let json: String = read_lines.iter().map(text).collect();
                prop_assert_eq!(read(json.as_bytes(), history::read).unwrap(), read_lines);
            }
        }
    }
}
