//! Each rule in both directions, on reports made for the purpose.

use std::collections::BTreeMap;

use gocache::{Identity, Ratio};

use super::*;
use crate::model::{
    Failure, Image, MeasuredModule, PackSize, Phase, PhaseName, Report, SCHEMA, Summary, Verifier,
};

fn full(total: u64) -> Ratio {
    Ratio { hits: total, total }
}

/// One run of everything, all from the cache.
fn module(name: &str) -> MeasuredModule {
    let (provider, component) = name.split_once('/').unwrap();
    let phase = Phase {
        wall_ms: vec![300.0],
        packages: Some(full(600)),
        links: Some(full(1)),
        index: Some(full(50)),
        ..Phase::default()
    };
    MeasuredModule {
        provider: provider.into(),
        component: component.into(),
        path: format!("apis/provider/{name}/v1/iac/pulumi").into(),
        phases: BTreeMap::from([
            (PhaseName::First, phase.clone()),
            (PhaseName::Relink, phase),
        ]),
        list_ms: vec![150.0],
        probe_ms: vec![70.0],
    }
}

/// A report in which all is well.
pub fn report(names: &[&str]) -> Report {
    let modules: Vec<_> = names.iter().map(|name| module(name)).collect();
    let pack = |name: &str| PackSize {
        name: name.into(),
        go_mod_bytes: 1_000_000,
        go_build_bytes: 8_000_000,
        executables_bytes: 1_000_000,
    };
    Report {
        schema: SCHEMA,
        measured_at_s: None,
        emulated: false,
        identity: Identity {
            go_version: "go1.27.4".into(),
            goos: "linux".into(),
            goarch: "amd64".into(),
            goarch_level: "GOAMD64=v1".into(),
            cgo_enabled: "0".into(),
            goflags: "-trimpath".into(),
            goexperiment: String::new(),
            gofips140: "off".into(),
            go_extlink_enabled: String::new(),
            goroot: "/usr/local/go".into(),
            gomodcache: "/var/cache/go-mod".into(),
            gocache: "/var/cache/go-build".into(),
        },
        image: Some(Image {
            name: "latest".into(),
            digest: "sha256:0".into(),
            compressed_bytes: 200_000_000,
            uncompressed_bytes: 900_000_000,
        }),
        packs: vec![pack("civo"), pack("common")],
        summary: Summary::of(&modules),
        modules,
        failures: Vec::new(),
        skipped: Vec::new(),
        verifier: Verifier {
            version: "0.1.0".into(),
        },
    }
}

fn two() -> Report {
    report(&["civo/dns", "civo/volume"])
}

/// What a change of the report gives, held against the report before it; each as `kind subject: message`.
fn changes(change: impl Fn(&mut Report)) -> Vec<String> {
    let was = two();
    let mut now = was.clone();
    change(&mut now);
    told(&was, &now)
}

/// The same, with the change in the baseline.
fn undone(change: impl Fn(&mut Report)) -> Vec<String> {
    let now = two();
    let mut was = now.clone();
    change(&mut was);
    told(&was, &now)
}

fn told(was: &Report, now: &Report) -> Vec<String> {
    let changes = compare(&Baseline::of(was), now).changes;
    changes
        .iter()
        // Of one run each.
        .filter(|change| change.subject != "times")
        .map(|it| format!("{:?} {}: {}", it.kind, it.subject, it.message))
        .collect()
}

fn first(report: &mut Report, index: usize) -> &mut Phase {
    report.modules[index]
        .phases
        .get_mut(&PhaseName::First)
        .unwrap()
}

#[test]
fn a_report_meets_its_own_baseline() {
    assert_eq!(changes(|_| ()), Vec::<String>::new());
    let comparison = compare(&Baseline::of(&two()), &two());
    assert!(comparison.is_met());
    assert_eq!(comparison.unchanged_modules, 2);
}

#[test]
fn each_setting_of_the_identity_counts() {
    let changed = changes(|report| {
        report.identity.goflags = "-trimpath=false".into();
        report.identity.cgo_enabled = "1".into();
    });
    let expected = [
        r#"Worse identity: CGO_ENABLED is "1", not "0""#,
        r#"Worse identity: GOFLAGS is "-trimpath=false", not "-trimpath""#,
    ];
    assert_eq!(changed, expected);
}

#[test]
fn one_missed_package_link_or_index_entry_is_worse_and_its_return_better() {
    let miss = |report: &mut Report| {
        let first = first(report, 0);
        first.packages.as_mut().unwrap().hits -= 1;
        first.compiled = vec!["net/http".into()];
    };
    let message = "first: 1 of 600 packages missed the cache, 0 of 600 in the baseline: net/http";
    assert_eq!(changes(miss), [format!("Worse civo/dns: {message}")]);
    let message = "first: 0 of 600 packages missed the cache, 1 of 600 in the baseline";
    assert_eq!(undone(miss), [format!("Better civo/dns: {message}")]);

    let miss = |report: &mut Report| first(report, 1).links.as_mut().unwrap().hits = 0;
    let message = "first: 1 of 1 links missed the cache, 0 of 1 in the baseline";
    assert_eq!(changes(miss), [format!("Worse civo/volume: {message}")]);
    assert_eq!(undone(miss).len(), 1);

    let miss = |report: &mut Report| first(report, 1).index.as_mut().unwrap().hits -= 1;
    let message = "first: 1 of 50 look-ups of the index missed the cache, 0 of 50 in the baseline";
    assert_eq!(changes(miss), [format!("Worse civo/volume: {message}")]);

    let miss = |report: &mut Report| {
        let relink = report.modules[0].phases.get_mut(&PhaseName::Relink);
        relink.unwrap().packages.as_mut().unwrap().hits -= 2;
    };
    let message = "relink: 2 of 600 packages missed the cache, 0 of 600 in the baseline";
    assert_eq!(changes(miss), [format!("Worse civo/dns: {message}")]);
}

#[test]
fn rates_are_compared_and_not_counts() {
    let set = |hits, total| {
        move |report: &mut Report| first(report, 0).packages = Some(Ratio { hits, total })
    };
    let compared = |was, now| {
        let (mut then, mut here) = (two(), two());
        set(was, 1000)(&mut then);
        set(now, 1010)(&mut here);
        told(&then, &here).len()
    };
    assert_eq!(compared(1000, 1010), 0);
    assert_eq!(compared(999, 1009), 1);
    assert!(changes(set(610, 610)).is_empty());
    assert!(changes(set(1, 1)).is_empty());
    // Nothing was looked up, so nothing was proven.
    assert!(changes(set(0, 0))[0].starts_with("Worse"));
    assert!(changes(|report| first(report, 0).packages = None)[0].starts_with("Worse"));
    assert!(undone(|report| first(report, 0).packages = None).is_empty());
}

#[test]
fn a_phase_that_was_not_measured_matters_only_if_it_is_the_first() {
    let without = |phase| move |report: &mut Report| drop(report.modules[0].phases.remove(&phase));
    assert!(changes(without(PhaseName::Relink)).is_empty());
    let expected = ["Worse civo/dns: first: not measured"];
    assert_eq!(changes(without(PhaseName::First)), expected);
}

#[test]
fn missing_modules_and_failures_are_worse_and_new_modules_are_not() {
    let without = |report: &mut Report| drop(report.modules.remove(0));
    assert_eq!(changes(without), ["Worse civo/dns: missing"]);
    assert_eq!(undone(without), ["Different civo/dns: not in the baseline"]);
    let fail = |report: &mut Report| {
        let module = report.modules.remove(0);
        report.failures.push(Failure {
            provider: module.provider,
            component: module.component,
            path: module.path,
            message: "go build failed\nand more".into(),
        });
    };
    assert_eq!(changes(fail), ["Worse civo/dns: failed: go build failed"]);
}

#[test]
fn sizes_may_grow_a_little_and_shrinking_is_told() {
    let image =
        |bytes| move |report: &mut Report| report.image.as_mut().unwrap().compressed_bytes = bytes;
    let expected = "image, compressed: grew by 2.5 %: 205.0 MB, 200.0 MB in the baseline";
    assert_eq!(changes(image(205_000_000)), [format!("Worse {expected}")]);
    assert!(changes(image(203_000_000))[0].starts_with("Different image, compressed: grew by 1.5"));
    assert!(changes(image(199_000_000))[0].starts_with("Better image, compressed: shrank by 0.5"));

    let pack = |bytes| move |report: &mut Report| report.packs[0].executables_bytes = bytes;
    let expected = "pack civo: grew by 2.1 %: 10.2 MB, 10.0 MB in the baseline";
    assert_eq!(changes(pack(1_210_000)), [format!("Worse {expected}")]);
    assert!(changes(pack(1_200_000))[0].starts_with("Different"));
    assert!(changes(pack(900_000))[0].starts_with("Better"));

    let without = |report: &mut Report| drop(report.packs.remove(0));
    assert_eq!(changes(without), ["Worse pack civo: missing"]);
    assert_eq!(
        undone(without),
        ["Different pack civo: not in the baseline"]
    );
    assert!(changes(|report| report.image = None)[0].starts_with("Different image"));
    assert!(undone(|report| report.image = None).is_empty());
}

#[test]
fn no_first_build_may_ask_the_network_whatever_the_baseline_did() {
    let ask = |report: &mut Report| {
        let first = first(report, 0);
        first.network_attempts = 2;
        first.network_requests = vec!["proxy.golang.org".into()];
    };
    let expected = "Worse civo/dns: first: asked the network 2 times: proxy.golang.org";
    assert_eq!(changes(ask), [expected]);
    assert!(undone(ask)[0].starts_with("Better"));
    let mut asking = two();
    ask(&mut asking);
    assert_eq!(told(&asking, &asking), [expected]);
}

/// Gives every module `runs` runs: build, list and probe in milliseconds, with a little noise.
fn timed(mut report: Report, runs: u32, ms: [f64; 3]) -> Report {
    for module in &mut report.modules {
        let noise = |run: u32| 1.0 + f64::from(run * 7 % 5) / 100.0;
        let wall_ms = (0..runs).map(|run| ms[0] * noise(run)).collect();
        module.phases.entry(PhaseName::First).or_default().wall_ms = wall_ms;
        module.list_ms = vec![ms[1]; runs as usize];
        module.probe_ms = vec![ms[2]; runs as usize];
    }
    report
}

#[test]
fn times_are_compared_with_their_yardsticks_and_only_with_enough_runs() {
    let compared = |runs, ms| {
        let was = timed(two(), 6, [300.0, 150.0, 70.0]);
        compare(&Baseline::of(&was), &timed(two(), runs, ms))
    };
    // A machine of half the speed.
    let slower_machine = compared(6, [600.0, 300.0, 140.0]);
    assert!(slower_machine.changes.is_empty(), "{slower_machine:?}");
    let few = compared(4, [900.0, 150.0, 70.0]);
    assert!(few.is_met());
    assert!(few.changes[0].message.contains("2 modules"), "{few:?}");

    let build = compared(6, [390.0, 150.0, 70.0]);
    let (change, other) = (&build.changes[0], &build.changes[1]);
    assert_eq!(
        (change.kind, change.subject.as_str()),
        (Kind::Worse, "all modules")
    );
    let expected = "the first build takes 30 % longer, measured against `go list` and the probe";
    assert!(change.message.starts_with(expected), "{change:?}");
    let expected = "the go command takes 14 % longer, measured against the probe";
    assert!(other.message.starts_with(expected), "{other:?}");
    assert_eq!(build.unchanged_modules, 2);

    let all = compared(6, [360.0, 180.0, 70.0]);
    assert_eq!(all.changes.len(), 1, "{all:?}");
    let expected = "the go command takes 20 % longer, measured against the probe";
    assert!(all.changes[0].message.starts_with(expected), "{all:?}");

    let faster = compared(6, [210.0, 150.0, 70.0]);
    assert!(faster.is_met());
    let expected = "the first build takes 30 % less time";
    assert!(
        faster.changes[0].message.starts_with(expected),
        "{faster:?}"
    );
    assert_eq!(faster.changes[0].kind, Kind::Better);
    // Below the smallest change that is told, however significant.
    assert!(compared(30, [327.0, 150.0, 70.0]).changes.is_empty());
}

#[test]
fn of_emulated_programs_hits_alone_are_judged() {
    let was = Baseline::of(&timed(two(), 6, [300.0, 150.0, 70.0]));
    let mut now = timed(two(), 6, [90_000.0, 150.0, 70.0]);
    assert!(!compare(&was, &now).is_met());
    now.emulated = true;
    let comparison = compare(&was, &now);
    assert!(comparison.is_met(), "{comparison:?}");
    assert!(
        comparison.changes[0].message.contains("emulated"),
        "{comparison:?}"
    );
    let first = now.modules[0].phases.get_mut(&PhaseName::First).unwrap();
    first.packages = Some(Ratio { hits: 1, total: 2 });
    assert!(!compare(&was, &now).is_met());
}

#[test]
fn the_text_tells_what_is_worse_first_and_counts_what_is_as_it_was() {
    let names = ["a/1", "a/2", "a/3", "a/4", "a/5", "a/6", "a/7", "b/1"];
    let was = Baseline::of(&report(&names));
    let mut now = report(&[&names[..], &["b/new"]].concat());
    for index in 0..6 {
        first(&mut now, index).links = Some(Ratio { hits: 0, total: 1 });
    }
    now.identity.go_version = "go1.28.0".into();
    now.packs[0].executables_bytes -= 500_000;
    let comparison = compare(&was, &now);
    insta::assert_snapshot!(comparison.text());
}

/// 59 modules as they were, held against a report in which the first `count` have builds of `build_ms`.
fn slow(count: usize, build_ms: f64, runs: u32) -> Comparison {
    let names: Vec<_> = (0..59).map(|number| format!("civo/{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let usual = [400.0, 150.0, 70.0];
    let was = Baseline::of(&timed(report(&names), 5, usual));
    let mut now = timed(report(&names), runs, usual);
    for index in 0..count {
        first(&mut now, index).wall_ms = vec![build_ms; runs as usize];
    }
    now.check().unwrap();
    compare(&was, &now)
}

#[test]
fn a_few_modules_that_are_far_slower_are_each_worse_in_any_number_of_runs() {
    for runs in [1, 3, 5] {
        let comparison = slow(5, 20_000.0, runs);
        let worse = comparison
            .changes
            .iter()
            .filter(|it| it.kind == Kind::Worse);
        let worse: Vec<_> = worse.map(|it| (it.subject.as_str(), &it.message)).collect();
        assert_eq!(worse.len(), 5, "{runs}: {worse:?}");
        assert_eq!(worse[4].0, "civo/04");
        let expected = "the first build takes 49 times as long, measured against `go list` and the probe: a median of \
                        20.0 s for the first build";
        assert_eq!(worse[4].1, expected);

        let comparison = slow(1, 1_000_000.0, runs);
        assert!(!comparison.is_met(), "{runs}");
        assert!(
            comparison
                .text()
                .contains("civo/00: the first build takes 2451 times as long")
        );
        // Below the ceiling.
        assert!(slow(1, 4_000.0, runs).is_met());
    }
}

#[test]
fn a_machine_that_is_slow_altogether_meets_the_gate() {
    let was = timed(two(), 5, [400.0, 150.0, 70.0]);
    for runs in [1, 5] {
        let now = timed(two(), runs, [40_000.0, 15_000.0, 7_000.0]);
        let comparison = compare(&Baseline::of(&was), &now);
        assert!(comparison.is_met(), "{comparison:?}");
    }
}

#[test]
fn first_builds_without_the_yardsticks_that_the_baseline_has_are_worse() {
    let without = |report: &mut Report| report.modules[0].probe_ms.clear();
    let message = "first: not measured against the yardsticks, so nothing tells how slow it is";
    assert_eq!(changes(without), [format!("Worse civo/dns: {message}")]);
    assert_eq!(undone(without), Vec::<String>::new());
}
