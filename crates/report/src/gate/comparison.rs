//! What differs between a report and its baseline, and how it is told.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Names of subjects that are listed where many share a message.
const NAMES: usize = 4;

/// A report held against a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What differs.
    pub changes: Vec<Change>,
    /// Modules in the report of which nothing differs, beyond what their group does.
    pub unchanged_modules: usize,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// For better or worse.
    pub kind: Kind,
    /// What differs: a module, a pack, the image, …
    pub subject: String,
    /// How it differs.
    pub message: String,
}

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The gate is not met.
    Worse,
    /// Neither better nor worse.
    Different,
    /// An improvement; time for a new baseline.
    Better,
}

impl Comparison {
    /// Whether nothing is worse.
    pub fn is_met(&self) -> bool {
        self.worse() == 0
    }

    fn worse(&self) -> usize {
        let worse = |change: &&Change| change.kind == Kind::Worse;
        self.changes.iter().filter(worse).count()
    }

    /// What differs, and the verdict in the last line.
    pub fn text(&self) -> String {
        let unchanged = match self.unchanged_modules {
            1 => "1 module is".to_owned(),
            count => format!("{count} modules are"),
        };
        let verdict = match self.worse() {
            0 => "gate met".to_owned(),
            1 => "gate not met: one thing is worse".to_owned(),
            count => format!("gate not met: {count} things are worse"),
        };
        let changes = self.changes_text();
        format!("{changes}{verdict}; {unchanged} as in the baseline\n")
    }

    /// What differs, what is worse first; empty if nothing does.
    pub fn changes_text(&self) -> String {
        let mut text = String::new();
        for (kind, title) in [
            (Kind::Worse, "worse"),
            (Kind::Different, "different"),
            (Kind::Better, "better"),
        ] {
            let lines = self.lines(kind);
            if !lines.is_empty() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{title}:\n{lines}");
            }
        }
        text
    }

    /// A line for each message, whatever the number of those that share it.
    fn lines(&self, kind: Kind) -> String {
        let mut text = String::new();
        let changes: Vec<_> = self.changes.iter().filter(|it| it.kind == kind).collect();
        let mut told = BTreeSet::new();
        for change in &changes {
            if !told.insert(&change.message) {
                continue;
            }
            let same = changes.iter().filter(|it| it.message == change.message);
            let subjects: Vec<_> = same.map(|it| it.subject.as_str()).collect();
            let more = subjects.len().saturating_sub(NAMES);
            let mut names = subjects[..subjects.len() - more].join(", ");
            if more > 0 {
                let _ = write!(names, " and {more} more");
            }
            let _ = writeln!(text, "  {names}: {}", change.message);
        }
        text
    }
}
