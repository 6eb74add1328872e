//! The formats that a report is written in, one file each (both files of one tool in one). Each is a function of data
//! to text; which file the text goes to is the caller's business.

mod benchstat;
mod github_action_benchmark;
mod html;
mod hyperfine;
mod junit;
mod markdown;
mod measured;
mod text;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::measured::Input;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text of Go benchmarks, for benchstat.
    Benchstat,
    /// JSON of hyperfine's `--export-json`.
    Hyperfine,
    /// JSON for github-action-benchmark's `customSmallerIsBetter`: times and sizes.
    SmallerIsBetter,
    /// JSON for github-action-benchmark's `customBiggerIsBetter`: hit ratios.
    BiggerIsBetter,
    /// Markdown, for the summary of a job.
    Markdown,
    /// `JUnit` XML.
    Junit,
    /// A page with plots.
    Html,
}

impl Format {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Benchstat,
        Self::Hyperfine,
        Self::SmallerIsBetter,
        Self::BiggerIsBetter,
        Self::Markdown,
        Self::Junit,
        Self::Html,
    ];

    /// As it is called on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Benchstat => "benchstat",
            Self::Hyperfine => "hyperfine",
            Self::SmallerIsBetter => "smaller-is-better",
            Self::BiggerIsBetter => "bigger-is-better",
            Self::Markdown => "markdown",
            Self::Junit => "junit",
            Self::Html => "html",
        }
    }

    pub(crate) fn render(self, input: &Input) -> String {
        let report = input.report;
        match self {
            Self::Benchstat => benchstat::render(report),
            Self::Hyperfine => hyperfine::render(report),
            Self::SmallerIsBetter => github_action_benchmark::smaller_is_better(report),
            Self::BiggerIsBetter => github_action_benchmark::bigger_is_better(report),
            Self::Markdown => markdown::render(report),
            Self::Junit => junit::render(report, input.target_ms),
            Self::Html => html::render(input),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| {
                format!(
                    "no format; the formats are {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn formats_are_found_by_their_names() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        let said = "yaml".parse::<Format>().unwrap_err();
        assert!(said.contains("benchstat, hyperfine"), "{said}");
    }

    /// Two modules, and three reports of earlier days.
    #[test]
    fn every_format_of_a_small_report() {
        let report = sample::report(2);
        let history = sample::history(3);
        for format in Format::ALL {
            let input = Input {
                report: &report,
                history: &history,
                target_ms: Some(500.0),
            };
            // One element a line, so that a difference shows where it is.
            let text = format.render(&input).replace("><", ">\n<");
            insta::assert_snapshot!(format.as_str(), text);
        }
    }

    #[test]
    fn every_format_is_the_same_each_time_and_takes_an_empty_report() {
        let mut report = sample::report(12);
        for _ in 0..2 {
            for format in Format::ALL {
                let input = Input {
                    report: &report,
                    history: &[],
                    target_ms: None,
                };
                let text = format.render(&input);
                assert!(text.ends_with('\n'), "{format}");
                assert_eq!(text, format.render(&input), "{format}");
            }
            report.modules.clear();
            report.packs.clear();
            report.image = None;
            report.summary = crate::Summary::of(&[]);
        }
    }
}
