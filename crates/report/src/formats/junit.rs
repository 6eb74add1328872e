//! `JUnit` XML, which every CI shows: a suite for each provider, a case for each module and phase. A first build that
//! had to compile or link fails, for that is what the image promises not to need; so does one that takes longer than
//! the target, where there is one.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::measured::{Measured, measured, misses};
use crate::{PhaseName, Report};

pub fn render(report: &Report, target_ms: Option<f64>) -> String {
    let mut cases: BTreeMap<&str, Vec<TestCase>> = BTreeMap::new();
    for measured in measured(report) {
        let suite = cases.entry(&measured.module.provider).or_default();
        suite.push(case(&measured, target_ms));
    }
    for failure in &report.failures {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let message = without_noncharacters(&failure.message);
        let first_line = message.lines().next().unwrap_or_default();
        status
            .set_message(first_line)
            .set_type("build")
            .set_description(&message);
        let mut case = TestCase::new("build", status);
        case.set_classname(failure.name());
        cases.entry(&failure.provider).or_default().push(case);
    }
    for skipped in &report.skipped {
        let mut status = TestCaseStatus::skipped();
        status.set_message(without_noncharacters(&skipped.reason));
        let mut case = TestCase::new(skipped.phase.as_str(), status);
        case.set_classname("not measured");
        cases.entry("not measured").or_default().push(case);
    }
    let mut junit = Junit::new("first builds");
    for (name, cases) in cases {
        let mut suite = TestSuite::new(name);
        suite.set_time(cases.iter().filter_map(|case| case.time).sum::<Duration>());
        suite.add_test_cases(cases);
        junit.add_test_suite(suite);
    }
    junit.set_time(
        junit
            .test_suites
            .iter()
            .filter_map(|suite| suite.time)
            .sum::<Duration>(),
    );
    let mut text = junit.to_string().expect("a string takes any XML");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// quick-junit takes control characters and escape sequences out, but not these, which no XML may have.
fn without_noncharacters(text: &str) -> String {
    text.replace(['\u{FFFE}', '\u{FFFF}'], "")
}

fn case(measured: &Measured, target_ms: Option<f64>) -> TestCase {
    let median_ms = measured.phase.median_ms();
    let mut faults = Vec::new();
    if measured.phase_name == PhaseName::First {
        faults = misses(measured.phase);
        let target_ms = target_ms.filter(|target_ms| median_ms > *target_ms);
        faults.extend(target_ms.map(|target_ms| {
            let over_ms = median_ms - target_ms;
            format!("took {median_ms:.0} ms, {over_ms:.0} ms more than {target_ms} ms")
        }));
    }
    let mut status = TestCaseStatus::success();
    if !faults.is_empty() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_message(faults.join("; "))
            .set_type("first build");
    }
    let mut case = TestCase::new(measured.phase_name.as_str(), status);
    case.set_classname(measured.module_name());
    case.set_time(Duration::from_secs_f64(median_ms.max(0.0) / 1e3));
    case
}

#[cfg(test)]
mod tests {
    use junit_parser::{TestCase, TestStatus, TestSuites};

    use super::*;
    use crate::sample;

    fn read(report: &Report, target_ms: Option<f64>) -> TestSuites {
        junit_parser::from_reader(render(report, target_ms).as_bytes()).unwrap()
    }

    fn failures(suites: &TestSuites) -> Vec<(String, String)> {
        let failure = |case: &TestCase| match &case.status {
            TestStatus::Failure(failure) => Some((case.name.clone(), failure.message.clone())),
            _ => None,
        };
        let cases = suites.suites.iter().flat_map(|suite| &suite.cases);
        cases.filter_map(failure).collect()
    }

    #[test]
    fn a_case_for_each_module_and_phase() {
        let report = sample::report(22);
        let suites = read(&report, None);
        // 11 providers, and the phase that was not measured; 22 modules in 10 phases, it, and the module that failed.
        assert_eq!(suites.suites.len(), 12);
        assert_eq!(
            (suites.tests, suites.failures, suites.skipped),
            (22 * 10 + 2, 2, 1)
        );
        let first = &report.modules[0].phases[&PhaseName::ColdModules];
        let case = &suites.suites[0].cases[0];
        assert_eq!(case.classname.as_deref(), Some("atlas/bucket"));
        assert_eq!(case.original_name, "cold-modules");
        assert!((case.time - first.median_ms() / 1e3).abs() < 1e-3);
    }

    #[test]
    fn what_the_image_promises_and_what_is_asked_of_it() {
        let mut report = sample::report(2);
        report.failures[0].message.push_str("\u{1b}[31m]]>\u{0}");
        let failed = failures(&read(&report, None));
        let (names, messages): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
        assert_eq!(names, ["auth0/bucket::first", "gcp/broken::build"]);
        assert!(messages[0].starts_with("7 packages were compiled: "));
        assert!(messages[0].ends_with("; the executable was linked"));
        assert_eq!(messages[1], "go build failed:");

        let failed = failures(&read(&report, Some(250.0)));
        assert_eq!(failed.len(), 3);
        assert_eq!(failed[0].1, "took 266 ms, 16 ms more than 250 ms");
        assert!(
            failed[1]
                .1
                .ends_with("; took 2146 ms, 1896 ms more than 250 ms")
        );
    }
}
