use std::collections::BTreeMap;

use camino::Utf8Path;
use sha256::Sha256Hash;

use super::*;
use crate::{ActionInputs, Damage, Files, GoModule, HashInputs, Hits, Ratio, RecordedModule};

const PROGRAM: &str = "m/app";

/// A package whose ID is made of everything in it, as Go's are.
fn package(module: &str, files: &[(&str, &str)], imports: &[&str]) -> ActionInputs {
    let module = (!module.is_empty()).then(|| {
        let (path, version) = module.split_once('@').unwrap();
        GoModule {
            path: path.to_owned(),
            version: version.to_owned(),
        }
    });
    let files = files.iter();
    ActionInputs {
        action: Sha256Hash::of(b""),
        go: module.is_some().then(|| "1.24".to_owned()),
        module,
        settings: vec!["go1.27.4".into(), "compile x [] []".into()],
        build_info: Vec::new(),
        files: Files::Named(
            files
                .map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned()))
                .collect(),
        ),
        imports: imports.iter().map(ToString::to_string).collect(),
    }
}

/// The program imports a package of its own and a dependency; both import the standard library.
fn inputs() -> HashInputs {
    let mut program = package("m@", &[("main.go", "1")], &["m/lib", "d/dep", "fmt"]);
    program.build_info = vec![
        "mod\tm\t(devel)\t".into(),
        "dep\td\tv1.0.0\th1:d=".into(),
        "build\tCGO_ENABLED=0".into(),
        "build\tDefaultGODEBUG=x=1".into(),
    ];
    let packages = [
        (PROGRAM, program),
        ("m/lib", package("m@", &[("lib.go", "1")], &["fmt"])),
        (
            "d/dep",
            package("d@v1.0.0", &[("dep.go", "1")], &["d/low", "fmt"]),
        ),
        ("d/low", package("d@v1.0.0", &[("low.go", "1")], &[])),
        ("fmt", package("", &[("fmt.go", "1")], &[])),
    ];
    HashInputs {
        packages: packages
            .into_iter()
            .map(|(path, inputs)| (path.to_owned(), inputs))
            .collect(),
        links: BTreeMap::from([(PROGRAM.to_owned(), package("", &[], &[]))]),
    }
}

/// Gives every action the ID that follows from its inputs.
fn identified(mut inputs: HashInputs) -> HashInputs {
    let mut known: BTreeMap<String, Sha256Hash> = BTreeMap::new();
    for path in ["fmt", "d/low", "d/dep", "m/new", "m/lib", PROGRAM] {
        if let Some(package) = inputs.packages.get_mut(path) {
            let imports: Vec<_> = package.imports.iter().map(|it| known.get(it)).collect();
            let text = format!("{package:?} {imports:?}");
            package.action = Sha256Hash::of(text.as_bytes());
            known.insert(path.to_owned(), package.action);
        }
    }
    let link = inputs.links.get_mut(PROGRAM).unwrap();
    link.action = Sha256Hash::of(format!("{:?} {known:?}", link.settings).as_bytes());
    inputs
}

fn record() -> InputsRecord {
    let mut record = InputsRecord::default();
    record.add(
        "apis/app".into(),
        RecordedModule::default(),
        identified(inputs()),
    );
    record
}

/// Builds: what is not in the record is compiled.
fn explain_against(
    record: &InputsRecord,
    inputs: HashInputs,
    damaged: &BTreeMap<Sha256Hash, Damage>,
    go_work: Option<&str>,
) -> Explanation {
    let inputs = identified(inputs);
    let recorded = record.actions();
    let ran = |actions: &BTreeMap<String, ActionInputs>| -> Vec<String> {
        let missed = actions.iter().filter(|(_, inputs)| {
            !recorded.contains(&inputs.action) || damaged.contains_key(&inputs.action)
        });
        missed.map(|(path, _)| path.clone()).collect()
    };
    let (compiled, linked) = (ran(&inputs.packages), ran(&inputs.links));
    let ratio = |total: usize, missed: usize| Ratio {
        hits: (total - missed) as u64,
        total: total as u64,
    };
    let hits = Hits {
        packages: ratio(inputs.packages.len(), compiled.len()),
        links: ratio(1, linked.len()),
        compiled,
        linked,
    };
    let observed = Observed {
        path: "apis/app".into(),
        import_path: PROGRAM,
        inputs: &inputs,
        hits: &hits,
        damaged,
        go_work: go_work.map(Utf8Path::new),
    };
    explain(&observed, record)
}

fn explained(change: impl FnOnce(&mut HashInputs)) -> Explanation {
    let mut inputs = inputs();
    change(&mut inputs);
    explain_against(&record(), inputs, &BTreeMap::new(), None)
}

fn package_of<'a>(inputs: &'a mut HashInputs, path: &str) -> &'a mut ActionInputs {
    inputs.packages.get_mut(path).unwrap()
}

fn files(inputs: &mut HashInputs, path: &str, files: &[(&str, &str)]) {
    package_of(inputs, path).files = package("", files, &[]).files;
}

fn texts(explanation: &Explanation) -> Vec<String> {
    let causes = explanation.causes.iter();
    causes.map(|cause| cause.change.to_string()).collect()
}

#[test]
fn what_is_as_recorded_hits() {
    let explanation = explained(|_| {});
    assert_eq!(explanation.causes, []);
    assert_eq!(explanation.consequences, 0);
    assert!(explanation.is_recorded && !explanation.has_defect());
    assert_eq!(explanation.drift, Drift::default());
}

#[test]
fn an_edited_file_of_a_library_is_named_with_the_way_to_it() {
    let explanation = explained(|inputs| {
        files(inputs, "m/lib", &[("lib.go", "2"), ("new.go", "1")]);
    });
    assert_eq!(
        texts(&explanation),
        [
            "lib.go of package m/lib was edited",
            "new.go of package m/lib was added"
        ]
    );
    let cause = &explanation.causes[0];
    assert_eq!(cause.chain, [PROGRAM, "m/lib"]);
    assert_eq!((cause.misses, explanation.consequences), (2, 1));
    assert!(!explanation.has_defect());
    assert_eq!(explanation.drift.own_packages, 2);
    assert_eq!(explanation.drift.other_packages, 0);
    assert!(explanation.drift.release_pays, "two of five packages");
}

#[test]
fn a_removed_file_is_named() {
    let explanation = explained(|inputs| files(inputs, PROGRAM, &[]));
    assert_eq!(
        texts(&explanation),
        ["main.go of package m/app was removed"]
    );
}

#[test]
fn a_new_version_is_one_cause_whatever_it_changes() {
    let explanation = explained(|inputs| {
        for path in ["d/dep", "d/low"] {
            let package = package_of(inputs, path);
            package.module.as_mut().unwrap().version = "v1.1.0".into();
            package.go = Some("1.25".into());
        }
        files(inputs, "d/low", &[("low.go", "2"), ("low.s", "1")]);
        package_of(inputs, "d/low").settings.push("asm x".into());
        package_of(inputs, PROGRAM).build_info[1] = "dep\td\tv1.1.0\th1:e=".into();
    });
    assert_eq!(
        texts(&explanation),
        ["the version of d changed from v1.0.0 to v1.1.0"]
    );
    let cause = &explanation.causes[0];
    assert_eq!(cause.packages, ["d/dep", "d/low"]);
    assert_eq!(cause.chain, [PROGRAM, "d/dep"]);
    assert_eq!(cause.misses, 3);
    assert_eq!(explanation.consequences, 1);
    assert!(!explanation.has_defect());
    assert_eq!(explanation.drift.other_packages, 2);
}

#[test]
fn a_version_that_another_program_has_warmed_is_named_too() {
    let mut other = inputs();
    for path in ["d/dep", "d/low"] {
        package_of(&mut other, path)
            .module
            .as_mut()
            .unwrap()
            .version = "v1.1.0".into();
    }
    let mut both = record();
    let mut of_other = identified(other.clone());
    of_other.packages.remove(PROGRAM);
    both.add("apis/other".into(), RecordedModule::default(), of_other);
    package_of(&mut other, PROGRAM).build_info[1] = "dep\td\tv1.1.0\th1:e=".into();
    let explanation = explain_against(&both, other, &BTreeMap::new(), None);
    assert_eq!(
        texts(&explanation),
        ["the version of d changed from v1.0.0 to v1.1.0"]
    );
    assert_eq!(explanation.causes[0].misses, 1);
    assert!(!explanation.has_defect());
}

#[test]
fn files_of_the_same_version_must_be_the_same() {
    let explanation = explained(|inputs| files(inputs, "d/low", &[("low.go", "2")]));
    assert!(texts(&explanation)[0].starts_with("files of d@v1.0.0 are not those"));
    assert!(explanation.has_defect());
    assert_eq!(explanation.causes[0].chain, [PROGRAM, "d/dep", "d/low"]);
    assert_eq!(explanation.causes[0].misses, 3);
    let explanation = explained(|inputs| files(inputs, "fmt", &[("fmt.go", "2")]));
    assert!(texts(&explanation)[0].starts_with("files of the standard library"));
}

#[test]
fn a_replacement_explains_other_files_of_the_same_version() {
    let explanation = explained(|inputs| {
        files(inputs, "d/low", &[("low.go", "2")]);
        let info = &mut package_of(inputs, PROGRAM).build_info;
        info[1] = "dep\td\tv1.0.0".into();
        info.insert(2, "=>\t../d\t(devel)\t".into());
    });
    assert_eq!(
        texts(&explanation),
        ["the replacement of d in go.mod is new: ../d"]
    );
    assert!(!explanation.has_defect());
}

#[test]
fn a_vendor_folder_is_named() {
    let explanation = explained(|inputs| {
        package_of(inputs, "d/dep").go = Some(String::new());
        package_of(inputs, PROGRAM).build_info[1] = "dep\td\tv1.0.0\t".into();
    });
    assert_eq!(
        texts(&explanation),
        ["packages come from a vendor folder, and the caches were made without one"]
    );
    assert_eq!(explanation.causes[0].misses, 2);
}

#[test]
fn a_language_version_explains_the_default_of_godebug() {
    let explanation = explained(|inputs| {
        for path in [PROGRAM, "m/lib"] {
            package_of(inputs, path).go = Some("1.25".into());
        }
        package_of(inputs, PROGRAM).build_info[3] = "build\tDefaultGODEBUG=x=2".into();
    });
    assert_eq!(
        texts(&explanation),
        ["the language version in the go.mod of m changed from 1.24 to 1.25"]
    );
    assert_eq!(explanation.causes[0].packages, [PROGRAM, "m/lib"]);
}

#[test]
fn a_go_work_explains_versions_and_the_default_of_godebug() {
    let mut moved = inputs();
    package_of(&mut moved, PROGRAM).build_info[3] = "build\tDefaultGODEBUG=x=2".into();
    let explanation = explain_against(&record(), moved, &BTreeMap::new(), Some("go.work"));
    assert_eq!(
        texts(&explanation),
        ["the go.work in force is new: go.work"]
    );
    let untouched = explain_against(&record(), inputs(), &BTreeMap::new(), Some("go.work"));
    assert_eq!(untouched.causes, []);
}

#[test]
fn settings_of_the_build_are_defects() {
    let explanation = explained(|inputs| {
        for package in inputs.packages.values_mut() {
            package.settings[1] = "compile x [] [-N]".into();
            package.settings.push("magic GOSSAFUNC=f".into());
        }
    });
    assert_eq!(
        texts(&explanation),
        [
            "a build setting is new: magic GOSSAFUNC=f",
            "a build setting changed from compile x [] [] to compile x [] [-N]"
        ]
    );
    assert_eq!(explanation.causes[0].packages.len(), 5);
    assert_eq!(explanation.consequences, 0);
    assert!(explanation.has_defect());
}

#[test]
fn stamps_and_profiles_are_named() {
    let explanation = explained(|inputs| {
        let program = package_of(inputs, PROGRAM);
        program.build_info.push("build\tvcs.revision=abc".into());
    });
    assert!(texts(&explanation)[0].contains("(-buildvcs)"));
    assert!(explanation.has_defect());
    let explanation = explained(|inputs| {
        for package in inputs.packages.values_mut() {
            package.settings.push("pgofile abc".into());
        }
        let program = package_of(inputs, PROGRAM);
        program.build_info.push("build\t-pgo=default.pgo".into());
    });
    assert_eq!(explanation.causes.len(), 1);
    assert!(texts(&explanation)[0].contains("default.pgo"));
    assert_eq!(explanation.causes[0].misses, 5);
    assert!(!explanation.has_defect());
}

#[test]
fn damaged_entries_are_named_and_what_was_never_there_is_no_damage() {
    let known = identified(inputs()).packages["m/lib"].action;
    let missing = Damage::NoEntry {
        file: "/c/x-a".into(),
    };
    let damaged = BTreeMap::from([(known, missing.clone())]);
    let explanation = explain_against(&record(), inputs(), &damaged, None);
    assert_eq!(
        texts(&explanation),
        ["the cache's entry of package m/lib is missing: there is no /c/x-a"]
    );
    assert_eq!(explanation.causes[0].misses, 1);
    assert!(explanation.has_defect());

    // Compiled again it is what it was, so what imports it is compiled for its own reason alone.
    let mut edited = inputs();
    files(&mut edited, PROGRAM, &[("main.go", "2")]);
    let explanation = explain_against(&record(), edited, &damaged, None);
    let [entry, file] = &explanation.causes[..] else {
        panic!("{explanation:?}")
    };
    assert!(matches!(entry.change, Change::Entry { .. }));
    assert!(matches!(file.change, Change::File { .. }));
    assert_eq!((entry.misses, file.misses), (1, 1));
    assert_eq!(explanation.drift.own_packages, 1);

    let explanation = explain_against(&InputsRecord::default(), inputs(), &damaged, None);
    assert_eq!(explanation.causes, []);
    assert_eq!(explanation.unknown.len(), 5);
    assert!(explanation.has_defect() && !explanation.has_record);
}

#[test]
fn newcomers_are_told_apart() {
    let explanation = explained(|inputs| {
        let new = package("m@", &[("new.go", "1")], &["e/pkg", "d/more"]);
        inputs.packages.insert("m/new".into(), new);
        for (path, module) in [("e/pkg", "e@v2.0.0"), ("d/more", "d@v1.0.0")] {
            inputs
                .packages
                .insert(path.into(), package(module, &[], &[]));
        }
        let program = package_of(inputs, PROGRAM);
        program.imports.push("m/new".into());
        program.build_info.push("dep\te\tv2.0.0\th1:e=".into());
        files(inputs, PROGRAM, &[("main.go", "2")]);
    });
    let mut texts = texts(&explanation);
    texts.sort();
    assert_eq!(
        texts,
        [
            "main.go of package m/app was edited",
            "packages of d@v1.0.0 are used for the first time",
            "packages of m are new",
            "the version of e is new: v2.0.0"
        ]
    );
    assert!(!explanation.has_defect());
}

#[test]
fn a_miss_without_a_reason_is_a_defect() {
    let mut record = record();
    record.packages.get_mut("d/low").unwrap()[0].action = Sha256Hash::of(b"other");
    let explanation = explain_against(&record, inputs(), &BTreeMap::new(), None);
    assert!(texts(&explanation)[0].starts_with("packages with the recorded inputs"));
    assert_eq!(explanation.causes[0].packages, ["d/low"]);
    assert!(explanation.has_defect());
}

#[test]
fn a_link_that_runs_alone_is_explained() {
    let explanation = explained(|inputs| {
        let link = inputs.links.get_mut(PROGRAM).unwrap();
        link.settings.push("GO_EXTLINK_ENABLED=1".into());
    });
    assert_eq!(
        texts(&explanation),
        ["a build setting is new: GO_EXTLINK_ENABLED=1"]
    );
    let mut unrecorded = record();
    unrecorded.links.get_mut(PROGRAM).unwrap()[0].action = Sha256Hash::of(b"other");
    let explanation = explain_against(&unrecorded, inputs(), &BTreeMap::new(), None);
    assert!(matches!(explanation.causes[0].change, Change::Unexplained));
}

#[test]
fn json_round_trips() {
    let explanation = explained(|inputs| files(inputs, "d/low", &[("low.go", "2")]));
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["causes"][0]["kind"], "module-files");
    assert_eq!(json["causes"][0]["module"]["path"], "d");
    assert_eq!(
        serde_json::from_value::<Explanation>(json).unwrap(),
        explanation
    );
}
