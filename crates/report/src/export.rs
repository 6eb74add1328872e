//! Writing a report in another format: what `verifier report` and `cargo xtask report` have in common, which is all but
//! their flags.

use camino::{Utf8Path, Utf8PathBuf};

use crate::formats::{Format, Input};
use crate::history::{self, HistoryLine};
use crate::{Error, file};

/// What the flags say.
#[derive(Debug)]
pub struct Export<'a> {
    /// The report.
    pub report: &'a Utf8Path,
    /// What to write.
    pub format: Format,
    /// Where to; the caller prints it if there is no such place.
    pub out: Option<&'a Utf8Path>,
    /// Earlier reports.
    pub history: Option<&'a Utf8Path>,
    /// The longest that a first build should take.
    pub target_ms: Option<f64>,
}

impl Export<'_> {
    /// Writes the report and returns what is left to print. `step_summary` is the file that collects what GitHub shows
    /// of a job's step, `$GITHUB_STEP_SUMMARY`; Markdown that is to go nowhere else is added to it.
    pub fn run(&self, step_summary: Option<String>) -> Result<Option<String>, Error> {
        let report = file::read(self.report)?;
        let history = self.history.map_or(Ok(Vec::new()), history::read)?;
        let text = self.format.render(&Input {
            report: &report,
            history: &with_report(history, HistoryLine::of(&report)),
            target_ms: self.target_ms,
        });
        let step_summary = step_summary
            .filter(|file| self.format == Format::Markdown && !file.is_empty())
            .map(Utf8PathBuf::from);
        match (self.out, step_summary) {
            (Some(out), _) => file::write(out, &text)?,
            (None, Some(summary)) => file::append(&summary, &text)?,
            (None, None) => return Ok(Some(text)),
        }
        Ok(None)
    }
}

/// A history that ends with the report, which may be in it already.
fn with_report(mut history: Vec<HistoryLine>, report: HistoryLine) -> Vec<HistoryLine> {
    let same = |line: &HistoryLine| {
        line.measured_at_s == report.measured_at_s && line.digest == report.digest
    };
    if !history.is_empty() && !history.iter().any(same) {
        history.push(report);
    }
    history
}
