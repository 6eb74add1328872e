//! `cargo xtask gate`: holds a report against the committed baseline, or makes it the next one.

use anyhow::Result;
use camino::Utf8Path;
use camino::Utf8PathBuf;
use report::Report;
use report::gate::{self, Baseline};
use report::history::{self, HistoryLine};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The baseline
    #[arg(long, value_name = "FILE")]
    pub baseline: Utf8PathBuf,
    /// The verifier's report
    #[arg(value_name = "REPORT")]
    pub report: Utf8PathBuf,
    /// Make the report the baseline, and say what changes by that
    #[arg(long)]
    pub update: bool,
    /// Add the report to this history, if it is accepted
    #[arg(long, value_name = "FILE")]
    pub history: Option<Utf8PathBuf>,
}

/// Says what differs; whatever is worse ends in exit code 3, unless the report is to be the baseline.
pub fn run(flags: &Args) -> Result<()> {
    let report = report::file::read(&flags.report)?;
    if let Some(history) = &flags.history {
        history::check_file(history)?;
    }
    if flags.update {
        update(&flags.baseline, &report, &flags.report)?;
    } else {
        let comparison = gate::compare(&Baseline::read(&flags.baseline)?, &report);
        print!("{}", comparison.text());
        if !comparison.is_met() {
            return Err(failure::missed(format!(
                "{} does not meet {}; if that is meant, make it the baseline with --update",
                flags.report, flags.baseline
            )));
        }
    }
    if let Some(history) = &flags.history {
        let is_new = history::append(history, &HistoryLine::of(&report))?;
        let what = if is_new {
            "a line more"
        } else {
            "this report already"
        };
        println!("{history} has {what}");
    }
    Ok(())
}

fn update(baseline: &Utf8Path, report: &Report, report_file: &Utf8Path) -> Result<()> {
    if report.modules.is_empty() || !report.failures.is_empty() {
        return Err(failure::usage(
            format!(
                "{report_file} is no baseline to be: {} modules were measured and {} failed",
                report.modules.len(),
                report.failures.len()
            ),
            "name a report in which every module was built",
        ));
    }
    if report.emulated {
        return Err(failure::usage(
            format!("{report_file} is no baseline to be: its programs were emulated"),
            "name a report of a machine whose processor runs them",
        ));
    }
    let next = Baseline::of(report);
    next.check().map_err(|fault| {
        failure::usage(
            format!("{report_file} is no baseline to be: {fault}"),
            "name a report with the first builds of every module",
        )
    })?;
    let text = next.to_json();
    if baseline.exists() {
        let comparison = gate::compare(&Baseline::read(baseline)?, report);
        print!("{}", comparison.changes_text());
    }
    report::file::write(baseline, &text)?;
    println!("{baseline} is now that of {} modules", report.modules.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_takes_no_line_is_found_before_a_baseline_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let file = |name: &str| folder.join(name);
        let text = serde_json::to_string(&report::sample::report(2)).unwrap();
        fs_err::write(file("report.json"), text).unwrap();
        let gate = |history: &str| {
            run(&Args {
                baseline: file("baseline.json"),
                report: file("report.json"),
                update: true,
                history: Some(file(history)),
            })
        };
        let error = gate("absent/history.ndjson").unwrap_err();
        let kind = failure::kind(&error, &[report::Error::classify]);
        assert_eq!(kind, failure::Kind::Usage);
        assert!(error.to_string().contains("there is no folder"), "{error}");
        assert!(!file("baseline.json").exists());
    }
}
