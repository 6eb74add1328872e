//! Each rule on a file that breaks it, and all that is made of a report on reports in which anything is changed.

use camino::{Utf8Path, Utf8PathBuf};
use failure::Kind;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::formats::{Format, Input};
use crate::gate::{self, Baseline};
use crate::history::{self, HistoryLine};
use crate::{Error, file, sample};

/// As it stands in a file, with something else at some places.
fn changed(of: &impl Serialize, changes: &[(&str, Value)]) -> Value {
    let mut json = serde_json::to_value(of).unwrap();
    for (pointer, value) in changes {
        if let Some(place) = json.pointer_mut(pointer) {
            *place = value.clone();
            continue;
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    json
}

/// What `read` makes of a file.
fn read<T>(text: &str, read: impl Fn(&Utf8Path) -> Result<T, Error>) -> Result<T, Error> {
    let guard = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(guard.path()).unwrap().join("it.json");
    fs_err::write(&file, text).unwrap();
    read(&file)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: Kind, signs: &[&str]) {
    let error = result.unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), Some(kind), "{said}");
    for sign in ["it.json"].iter().chain(signs) {
        assert!(said.contains(sign), "{sign} is not in: {said}");
    }
}

/// Reads a sample of which one field is changed.
fn report_refused(pointer: &str, value: Value, signs: &[&str]) {
    let text = changed(&sample::report(3), &[(pointer, value)]).to_string();
    refused(read(&text, file::read), Kind::Usage, signs);
}

fn baseline_refused(pointer: &str, value: Value, signs: &[&str]) {
    let text = changed(&Baseline::of(&sample::report(3)), &[(pointer, value)]).to_string();
    refused(read(&text, Baseline::read), Kind::Usage, signs);
}

#[test]
fn the_committed_files_are_right() {
    let folder = Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../base-images/iac-runner");
    let report = file::read(&folder.join("report.json")).unwrap();
    let baseline = Baseline::read(&folder.join("baseline.json")).unwrap();
    assert!(gate::compare(&baseline, &report).is_met());
    assert!(
        !history::read(&folder.join("history.ndjson"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_is_made_of_a_right_report_is_right() {
    for modules in [1, 3, 110] {
        let report = sample::report(modules);
        report.check().unwrap();
        Baseline::of(&report).check().unwrap();
        values(&HistoryLine::of(&report)).unwrap();
    }
}

#[test]
fn more_hits_than_there_were_chances_are_refused() {
    let ratio = || json!({"hits": 5, "total": 4});
    for (pointer, field) in [
        (
            "/modules/1/phases/first/packages",
            "modules[1].phases.first.packages.hits is 5, more than total, 4",
        ),
        (
            "/modules/0/phases/noop/links",
            "modules[0].phases.noop.links.hits",
        ),
        ("/summary/links", "summary.links.hits"),
    ] {
        report_refused(pointer, ratio(), &[field]);
    }
    baseline_refused(
        "/modules/2/hits/first/packages",
        ratio(),
        &["modules[2].hits.first.packages.hits"],
    );
}

#[test]
fn counts_and_sizes_whose_sum_would_not_fit_are_refused() {
    for (pointer, field) in [
        (
            "/packs/0/go_mod_bytes",
            "packs[0].go_mod_bytes is 18446744073709551615, not a whole number up to",
        ),
        ("/image/compressed_bytes", "image.compressed_bytes"),
        (
            "/modules/0/phases/first/network_attempts",
            "modules[0].phases.first.network_attempts",
        ),
        ("/summary/packages", "summary.packages.hits"),
        (
            "/modules/0/phases/first/links",
            "modules[0].phases.first.links.hits",
        ),
    ] {
        let is_ratio = pointer.ends_with("packages") || pointer.ends_with("links");
        let most = if is_ratio {
            json!({"hits": u64::MAX, "total": u64::MAX})
        } else {
            json!(u64::MAX)
        };
        report_refused(pointer, most, &[field]);
    }
    let each_fits = json!(LARGEST_COUNT);
    report_refused(
        "/packs/0/go_mod_bytes",
        each_fits,
        &["packs[0] has go_mod_bytes, "],
    );
    baseline_refused("/pack_bytes/aws", json!(u64::MAX), &["pack_bytes.aws"]);
    report_refused(
        "/packs/0/go_mod_bytes",
        json!(-1),
        &["packs[0].go_mod_bytes", "-1"],
    );
    report_refused(
        "/packs/0/go_mod_bytes",
        json!(0.5),
        &["packs[0].go_mod_bytes", "0.5"],
    );
}

#[test]
fn what_is_no_time_is_refused() {
    for time in [-1.0, 0.0, -0.0, 1e-320, 1e9, 1e300, 1e308] {
        for (pointer, field) in [
            (
                "/modules/0/phases/first/wall_ms/1",
                "modules[0].phases.first.wall_ms[1] is",
            ),
            ("/modules/2/list_ms/0", "modules[2].list_ms[0] is"),
            ("/modules/2/probe_ms/2", "modules[2].probe_ms[2] is"),
            ("/summary/first_ms/p95", "summary.first_ms.p95 is"),
        ] {
            report_refused(pointer, json!(time), &[field]);
        }
    }
    for ratio in [-1.0, 0.0, 1e308] {
        baseline_refused(
            "/modules/0/first/per_list/1",
            json!(ratio),
            &["modules[0].first.per_list[1] is"],
        );
        baseline_refused(
            "/modules/1/first/per_probe/0",
            json!(ratio),
            &["modules[1].first.per_probe[0] is"],
        );
    }
    let text = changed(
        &sample::report(1),
        &[("/modules/0/list_ms/0", json!(123.456))],
    )
    .to_string();
    let infinite = text.replace("123.456", "1e999");
    refused(
        read(&infinite, file::read),
        Kind::Usage,
        &["modules[0].list_ms[0]"],
    );
}

#[test]
fn what_is_not_finite_is_refused_where_nothing_was_read_either() {
    for odd in [f64::NAN, f64::INFINITY] {
        let mut report = sample::report(2);
        report.modules[1].list_ms[2] = odd;
        let fault = report.check().unwrap_err();
        assert_eq!(fault.to_string(), "modules[1].list_ms[2] is no number");
    }
}

#[test]
fn what_is_empty_is_refused() {
    let nothing = [("/modules", json!([])), ("/failures", json!([]))];
    let text = changed(&sample::report(3), &nothing).to_string();
    refused(read(&text, file::read), Kind::Usage, &["modules is empty"]);
    // Of a report in which everything failed there is something to tell.
    let text = changed(&sample::report(3), &nothing[..1]).to_string();
    read(&text, file::read).unwrap();
    report_refused(
        "/modules/0/phases/noop/wall_ms",
        json!([]),
        &["modules[0].phases.noop.wall_ms is empty"],
    );
    baseline_refused("/modules", json!([]), &["modules is empty"]);
    baseline_refused(
        "/modules/1/hits",
        json!({}),
        &["modules[1].hits has no first"],
    );
}

#[test]
fn runs_and_yardsticks_of_unequal_number_are_refused() {
    report_refused(
        "/modules/1/list_ms",
        json!([1.0]),
        &["modules[1].list_ms has 1", "phases.first.wall_ms 3"],
    );
    report_refused(
        "/modules/1/probe_ms",
        json!([1.0, 2.0]),
        &["modules[1].probe_ms has 2"],
    );
    report_refused(
        "/modules/1/phases/first/wall_ms",
        json!([1.0]),
        &["modules[1].list_ms has 3", "wall_ms 1"],
    );
    baseline_refused(
        "/modules/1/first/per_list",
        json!([1.0]),
        &["modules[1].first.per_list has 1"],
    );
    // Without gofmt there is no probe.
    let text = changed(&sample::report(3), &[("/modules/1/probe_ms", json!([]))]).to_string();
    read(&text, file::read).unwrap();
}

#[test]
fn a_module_or_pack_that_is_there_twice_is_refused() {
    let (report, baseline) = (sample::report(3), Baseline::of(&sample::report(3)));
    let path = json!(report.modules[0].path);
    report_refused(
        "/modules/2/path",
        path,
        &["modules[2].path is that of modules[0], too"],
    );
    report_refused(
        "/packs/1/name",
        json!(report.packs[0].name),
        &["packs[1].name"],
    );
    baseline_refused(
        "/modules/1/path",
        json!(baseline.modules[0].path),
        &["modules[1].path"],
    );
}

#[test]
fn names_that_would_be_lines_of_their_own_are_refused() {
    let line = "linux\nBenchmarkFirst/provider=aws 1 1 ns/op";
    for odd in [
        line,
        "a\u{1b}[2K",
        "a\rb",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}b",
    ] {
        for (pointer, field) in [
            ("/identity/goos", "identity.goos has the character"),
            ("/identity/goarch", "identity.goarch"),
            ("/identity/goflags", "identity.goflags"),
            ("/image/name", "image.name"),
            ("/image/digest", "image.digest"),
            ("/packs/1/name", "packs[1].name"),
            ("/modules/1/provider", "modules[1].provider"),
            ("/modules/1/component", "modules[1].component"),
            ("/modules/1/path", "modules[1].path"),
            (
                "/modules/1/phases/first/compiled/0",
                "modules[1].phases.first.compiled[0]",
            ),
            ("/failures/0/provider", "failures[0].provider"),
            ("/verifier/version", "verifier.version"),
        ] {
            report_refused(pointer, json!(odd), &[field]);
        }
        baseline_refused(
            "/modules/0/component",
            json!(odd),
            &["modules[0].component"],
        );
        let pack = format!("/pack_bytes/{odd}");
        // A slash in it would be another place.
        if !odd.contains('/') {
            baseline_refused(&pack, json!(1), &["pack_bytes.", "has the character"]);
        }
    }
}

#[test]
fn a_line_of_the_history_that_cannot_be_right_is_damage() {
    let lines = sample::history(2);
    let first = serde_json::to_string(&lines[0]).unwrap();
    for (pointer, value, field) in [
        ("/image", json!("a\nb"), "image has the character"),
        ("/first_ms/p50", json!(-1), "first_ms.p50 is -1"),
        ("/first_to_list", json!(0.0), "first_to_list is 0"),
        ("/links", json!({"hits": 2, "total": 1}), "links.hits is 2"),
        ("/pack_bytes/aws", json!(u64::MAX), "pack_bytes.aws is"),
        (
            "/packages/hits",
            json!(-1),
            "packages.hits: invalid value: integer `-1`",
        ),
    ] {
        let text = format!("{first}\n{}\n", changed(&lines[1], &[(pointer, value)]));
        refused(
            read(&text, history::read),
            Kind::Corrupt,
            &["line 2 is wrong", field],
        );
        let added = read(&text, |file| history::append(file, &lines[0]));
        refused(added, Kind::Corrupt, &["line 2 is wrong", field]);
    }
}

#[test]
fn prose_is_shown_without_what_a_terminal_or_a_parser_obeys() {
    let mut report = sample::report(1);
    let odd = "a\u{1b}[2Kb\u{0}\u{7}\u{9b}c\u{202e}\u{fffe}\u{ffff}\r\n\td";
    odd.clone_into(&mut report.failures[0].message);
    odd.clone_into(&mut report.skipped[0].reason);
    report.check().unwrap();
    for format in Format::ALL {
        let text = rendered(format, &report, &[]);
        // C1 and what turns text around are lawful in XML, which no terminal shows.
        let is_bad = |c: char| match format {
            Format::Junit => "\u{1b}\u{0}\u{7}\u{fffe}\u{ffff}".contains(c),
            _ => c != '\n' && c != '\t' && is_hidden(c),
        };
        assert!(!text.contains(is_bad), "{format}: {text:?}");
    }
    let comparison = gate::compare(&Baseline::of(&sample::report(1)), &report);
    assert!(
        !comparison
            .text()
            .contains(|c: char| c != '\n' && is_hidden(c))
    );
}

fn rendered(format: Format, report: &Report, history: &[HistoryLine]) -> String {
    format.render(&Input {
        report,
        history,
        target_ms: Some(500.0),
    })
}

/// Every place in a file, as a pointer.
fn places(json: &Value, at: &str, found: &mut Vec<String>) {
    let mut child = |name: &str, json| {
        let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        places(json, &place, found);
        found.push(place);
    };
    match json {
        Value::Object(fields) => fields.iter().for_each(|(name, json)| child(name, json)),
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(number, json)| child(&number.to_string(), json));
        }
        _ => {}
    }
}

/// What somebody may find in the place of anything else.
fn odd_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop_oneof![
            Just(0_u64),
            Just(1),
            Just(LARGEST_COUNT),
            Just(LARGEST_COUNT + 1),
            Just(u64::MAX),
            any::<u64>(),
        ]
        .prop_map(|count| json!(count)),
        any::<i64>().prop_map(|count| json!(count)),
        prop_oneof![
            Just(SHORTEST_MS),
            Just(LONGEST_MS),
            Just(1e-320),
            Just(1e300),
            Just(1e308),
            Just(-1.0),
            any::<f64>(),
        ]
        .prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
        Just(json!("a\nBenchmarkFirst 1 1 ns/op")),
        prop_oneof![
            Just(json!([])),
            Just(json!({})),
            Just(Value::Null),
            Just(json!(true)),
            Just(json!({"hits": 5, "total": 4})),
            Just(json!([1.0, 2.0])),
        ],
    ]
}

/// How a file is changed at a place.
#[derive(Debug, Clone)]
enum Change {
    Set(Value),
    Remove,
    /// What stands there comes twice, if it is an element of a list.
    Repeat,
}

fn any_change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        6 => odd_values().prop_map(Change::Set),
        1 => Just(Change::Remove),
        1 => Just(Change::Repeat),
    ];
    (any::<Index>(), change)
}

/// Applies a change; tells the name of the field that it is in.
fn apply(json: &mut Value, (place, change): &(Index, Change)) -> Option<String> {
    let mut all = Vec::new();
    places(json, "", &mut all);
    let pointer = all.get(place.index(all.len().max(1)))?;
    let names = pointer.split('/').rev();
    let field = names
        .clone()
        .find(|name| name.parse::<usize>().is_err())?
        .replace("~1", "/");
    let (parent, name) = pointer.rsplit_once('/')?;
    match (json.pointer_mut(parent)?, change) {
        (parent, Change::Set(value)) => match parent {
            Value::Array(elements) => elements[name.parse::<usize>().ok()?] = value.clone(),
            parent => parent[&name.replace("~1", "/")] = value.clone(),
        },
        (Value::Array(elements), Change::Remove) => drop(elements.remove(name.parse().ok()?)),
        (Value::Array(elements), Change::Repeat) => {
            let element = elements[name.parse::<usize>().ok()?].clone();
            elements.push(element);
        }
        (Value::Object(fields), Change::Remove) => drop(fields.remove(&name.replace("~1", "/"))),
        _ => {}
    }
    Some(field)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_report_is_refused_by_field_or_goes_through_everything(changes in prop::collection::vec(any_change(), 1..3)) {
        let was = sample::report(3);
        let mut json = serde_json::to_value(&was).unwrap();
        let fields: Vec<_> = changes.iter().filter_map(|change| apply(&mut json, change)).collect();
        let report = match read(&json.to_string(), file::read) {
            Ok(report) => report,
            Err(error) => {
                let said = error.to_string();
                let is_named = fields.iter().any(|field| said.contains(&*field.escape_debug().to_string()));
                prop_assert!(is_named, "none of {:?} is in: {}", fields, said);
                return Ok(());
            }
        };
        let lines = [HistoryLine::of(&report)];
        values(&lines[0]).unwrap();
        let _: Vec<_> = Format::ALL.iter().map(|format| rendered(*format, &report, &lines)).collect();
        let benchmarks = rendered(Format::Benchstat, &report, &lines);
        let runs = report.modules.iter().flat_map(|module| module.phases.values());
        let runs: usize = runs.map(|phase| phase.wall_ms.len()).sum();
        prop_assert_eq!(benchmarks.lines().count(), 4 + runs);
        let xml = rendered(Format::Junit, &report, &lines);
        junit_parser::from_reader(xml.as_bytes()).unwrap();
        gate::compare(&Baseline::of(&was), &report).text();
        let next = Baseline::of(&report);
        if next.check().is_ok() {
            read(&next.to_json(), Baseline::read).unwrap();
            gate::compare(&next, &was).text();
        }
    }

    #[test]
    fn a_baseline_is_refused_by_field_or_holds_any_report(changes in prop::collection::vec(any_change(), 1..3)) {
        let report = sample::report(3);
        let mut json = serde_json::to_value(Baseline::of(&report)).unwrap();
        let fields: Vec<_> = changes.iter().filter_map(|change| apply(&mut json, change)).collect();
        match read(&json.to_string(), Baseline::read) {
            Ok(baseline) => drop(gate::compare(&baseline, &report).text()),
            Err(error) => {
                let said = error.to_string();
                let is_named = fields.iter().any(|field| said.contains(&*field.escape_debug().to_string()));
                prop_assert!(is_named, "none of {:?} is in: {}", fields, said);
            }
        }
    }
}
