//! What the user sees while it runs, and the account of where the time went.
//!
//! On a terminal a spinner shows each step under way; elsewhere a step is a plain line, and one that
//! counts adds another now and then. Lines from anywhere in the
//! libraries come through here ([`note`], [`warning`]): nothing else knows what is being drawn. Each finished step
//! leaves an entry with its wall time, the CPU time of this process and its children, and the bytes it wrote, so that
//! the cost of everything around Go's own work is known for every run.

use std::io::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use failure::printable;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::Serialize;

/// What is drawn on standard error.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints a line on standard error, above the spinner.
pub fn note(text: impl std::fmt::Display) {
    BARS.suspend(|| {
        // Nobody is left to be told that standard error is closed, and an interrupt has to go on.
        let _ = writeln!(std::io::stderr(), "{}", printable(&text.to_string()));
    });
}

/// Prints that something went wrong that stops nothing.
pub fn warning(text: impl std::fmt::Display) {
    note(format_args!("warning: {text}"));
}

/// Removes the spinner for good, for the last lines of an interrupted run.
pub fn close() {
    let _ = BARS.clear();
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Mostly for downloads, so that its time says nothing about this program.
    Network,
    /// For this machine.
    Local,
}

/// One finished step.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// What it did.
    pub name: String,
    /// What it waited for.
    pub kind: Kind,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Of that, time in which the go command compiled and linked, in milliseconds.
    pub go_ms: u64,
    /// User and system time of this process and its finished children, in milliseconds.
    pub cpu_ms: u64,
    /// Bytes that it wrote; 0 where that says nothing.
    pub written_bytes: u64,
}

/// The steps of one run.
#[derive(Debug, Default)]
pub struct Progress {
    stages: Vec<Stage>,
    /// What the names of steps end with.
    suffix: String,
}

/// How often a step that counts says so where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(30);

/// A step under way.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
    /// When it said last how far it is, where there is no terminal.
    said: Mutex<Instant>,
    /// Time in which the go command compiled and linked, in milliseconds, for the account.
    pub go_ms: u64,
    /// Bytes that the step wrote, for the account.
    pub written_bytes: u64,
}

impl Step {
    /// Says how far the step is.
    pub fn detail(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Says that `done` of `total` are done, which are called so, and which one is `now`.
    pub fn count(&self, done: usize, total: usize, called: &str, now: &str) {
        let text = format!("{done} of {total} {called}, {now}");
        if BARS.is_hidden() {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if is_due(&mut said, Instant::now()) {
                note(format_args!("{}: {text}", self.bar.prefix()));
            }
        }
        self.detail(text);
    }
}

/// Whether to speak again, who did `last`.
fn is_due(last: &mut Instant, now: Instant) -> bool {
    let is_due = now.duration_since(*last) >= INTERVAL;
    if is_due {
        *last = now;
    }
    is_due
}

impl oci::events::Events for Step {
    fn transferred(&self, digest: &str, bytes: u64, total_bytes: u64) {
        self.detail(format!(
            "{digest:.19} {} of {}",
            human_bytes(bytes),
            human_bytes(total_bytes)
        ));
    }

    fn warning(&self, message: &str) {
        warning(message);
    }
}

impl Progress {
    /// Runs `work` as the step `name`, and enters it into the account.
    pub fn step<T>(
        &mut self,
        name: impl Into<String>,
        kind: Kind,
        work: impl FnOnce(&mut Step) -> Result<T>,
    ) -> Result<T> {
        let name = name.into() + &self.suffix;
        self.account(name, kind, |name| shown(name, work))
    }

    /// Ends the names of the steps to come with `suffix`, where the same steps are taken for several things.
    pub fn suffix(&mut self, suffix: impl Into<String>) {
        self.suffix = suffix.into();
    }

    /// Runs `work` as the step `name`, and enters it into the account.
    pub(crate) fn account<T>(
        &mut self,
        name: String,
        kind: Kind,
        work: impl FnOnce(&str) -> (Result<T>, Figures),
    ) -> Result<T> {
        let (started, cpu) = (Instant::now(), cpu_ms());
        let (result, figures) = work(&name);
        self.stages.push(Stage {
            name,
            kind,
            wall_ms: millis(started),
            go_ms: figures.go_ms,
            cpu_ms: cpu_ms().saturating_sub(cpu),
            written_bytes: figures.written_bytes,
        });
        result
    }

    /// The finished steps, in their order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }
}

/// What a step counted for the account.
#[derive(Default)]
pub(crate) struct Figures {
    pub go_ms: u64,
    pub written_bytes: u64,
}

/// Runs `work`, and shows meanwhile that it does.
pub(crate) fn shown<T>(
    name: &str,
    work: impl FnOnce(&mut Step) -> Result<T>,
) -> (Result<T>, Figures) {
    let bar = BARS.add(ProgressBar::new_spinner().with_prefix(name.to_owned()));
    bar.set_style(
        ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}")
            .expect("the template is a constant"),
    );
    bar.enable_steady_tick(Duration::from_millis(120));
    if BARS.is_hidden() {
        note(name);
    }
    let started = Instant::now();
    let mut step = Step {
        bar,
        said: Mutex::new(started),
        go_ms: 0,
        written_bytes: 0,
    };
    let result = work(&mut step);
    step.bar.finish_and_clear();
    BARS.remove(&step.bar);
    if !BARS.is_hidden() && result.is_ok() {
        let seconds = started.elapsed().as_secs_f64();
        note(format_args!("{name} ({seconds:.1} s)"));
    }
    let Step {
        go_ms,
        written_bytes,
        ..
    } = step;
    let figures = Figures {
        go_ms,
        written_bytes,
    };
    (result, figures)
}

/// CPU time of this process and its finished children so far, in milliseconds.
pub fn cpu_ms() -> u64 {
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .into_iter()
        .filter_map(|who| getrusage(who).ok())
        .flat_map(|usage: Usage| [usage.user_time(), usage.system_time()])
        .map(|time| u64::try_from(time.tv_sec() * 1000 + time.tv_usec() / 1000).unwrap_or(0))
        .sum()
}

/// Milliseconds since then.
pub fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// `bytes` in the unit a person would take.
pub fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_accounted_for_even_when_they_fail() {
        let mut progress = Progress::default();
        progress
            .step("one", Kind::Local, |step| {
                step.written_bytes = 7;
                Ok(())
            })
            .unwrap();
        progress
            .step("two", Kind::Local, |_| anyhow::bail!("no") as Result<()>)
            .unwrap_err();
        let names: Vec<_> = progress
            .stages()
            .iter()
            .map(|s| (s.name.as_str(), s.written_bytes))
            .collect();
        assert_eq!(names, [("one", 7), ("two", 0)]);
    }

    #[test]
    fn a_count_is_told_now_and_then() {
        let start = Instant::now();
        let mut last = start;
        let told = [0, 29, 30, 31, 59, 61]
            .map(|seconds| is_due(&mut last, start + Duration::from_secs(seconds)));
        assert_eq!(told, [false, false, true, false, false, true]);
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!(human_bytes(12_345), "12 kB");
        assert_eq!(human_bytes(12_345_678), "12 MB");
        assert_eq!(human_bytes(1_234_567_890), "1.23 GB");
    }
}
