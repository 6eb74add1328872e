//! Made-up reports, the same each time: for tests, and for looking at what the formats make of many modules. The
//! figures are of the size that real ones have.

use std::collections::BTreeMap;

use gocache::{Hits, Identity, Ratio};

use crate::history::HistoryLine;
use crate::{
    Failure, Image, MeasuredModule, PackSize, Phase, PhaseName, Report, SCHEMA, SkippedPhase,
    Summary, Verifier,
};

const PROVIDERS: [&str; 11] = [
    "atlas",
    "auth0",
    "aws",
    "azure",
    "civo",
    "cloudflare",
    "confluent",
    "digitalocean",
    "gcp",
    "kubernetes",
    "snowflake",
];
const COMPONENTS: [&str; 10] = [
    "bucket",
    "kubernetescluster",
    "network/loadbalancer",
    "function",
    "database",
    "certificatemanagercertificate",
    "dnszone",
    "queue",
    "secretset-2",
    "volume",
];
const DAY_S: u64 = 24 * 60 * 60;

/// Between 0 and 1, spread evenly over the seeds.
fn spread(seed: usize) -> f64 {
    (seed as f64 * 0.618_033_988_749_895).fract()
}

/// A report of this many modules with all phases, of which the second one misses some packages and its link; besides,
/// a module that failed and a phase that was not measured.
pub fn report(modules: usize) -> Report {
    let modules: Vec<_> = (0..modules).map(module).collect();
    Report {
        schema: SCHEMA,
        measured_at_s: Some(1_760_000_000),
        emulated: false,
        identity: identity(),
        image: Some(Image {
            name: "latest".into(),
            digest: format!("sha256:{}", "5f".repeat(32)),
            compressed_bytes: 1_434_000_000,
            uncompressed_bytes: 9_120_000_000,
        }),
        packs: packs(),
        summary: Summary::of(&modules),
        modules: sorted(modules),
        failures: vec![Failure {
            provider: "gcp".into(),
            component: "broken".into(),
            path: "apis/provider/gcp/broken/v1/iac/pulumi".into(),
            message: "go build failed:\n./main.go:7:15: undefined: x <T> & y | z\n\n\tsee above"
                .into(),
        }],
        skipped: vec![SkippedPhase {
            phase: PhaseName::FirstColdDisk,
            reason: "the page cache can be dropped only by root".into(),
        }],
        verifier: Verifier {
            version: "0.1.0".into(),
        },
    }
}

/// Reports of that many earlier days, oldest first.
pub fn history(days: usize) -> Vec<HistoryLine> {
    let day = |day: usize| {
        let mut report = report(22);
        report.measured_at_s = Some(1_760_000_000 - (days - day) as u64 * DAY_S);
        let slower = 1.0 + 0.3 * spread(day + 3) - 0.004 * day as f64;
        for module in &mut report.modules {
            for first_ms in module
                .phases
                .get_mut(&PhaseName::First)
                .into_iter()
                .flat_map(|first| &mut first.wall_ms)
            {
                *first_ms *= slower;
            }
        }
        report.summary = Summary::of(&report.modules);
        HistoryLine::of(&report)
    };
    (0..days).map(day).collect()
}

fn sorted(mut modules: Vec<MeasuredModule>) -> Vec<MeasuredModule> {
    modules.sort_by(|a, b| a.path.cmp(&b.path));
    modules
}

fn module(number: usize) -> MeasuredModule {
    let provider = PROVIDERS[number % PROVIDERS.len()];
    let component = COMPONENTS[number / PROVIDERS.len() % COMPONENTS.len()];
    let version = 1 + number / (PROVIDERS.len() * COMPONENTS.len());
    let first_ms = 270.0 + 210.0 * spread(number).powi(3);
    let misses = number == 1;
    let phases = PhaseName::ALL.map(|name| (name, phase(name, number, first_ms, misses)));
    MeasuredModule {
        provider: provider.into(),
        component: component.into(),
        path: format!("apis/provider/{provider}/{component}/v{version}/iac/pulumi").into(),
        phases: BTreeMap::from(phases),
        list_ms: runs(first_ms * 0.55, number),
        probe_ms: runs(41.0, number + 1),
    }
}

/// Three runs around a time.
fn runs(ms: f64, seed: usize) -> Vec<f64> {
    let run = |run| ((ms * (0.97 + 0.06 * spread(seed * 3 + run))) * 1e3).round() / 1e3;
    (0..3).map(run).collect()
}

fn phase(name: PhaseName, number: usize, first_ms: f64, misses: bool) -> Phase {
    let total = 600 + 3 * (number as u64 % 50);
    let (ms, compiled) = match name {
        PhaseName::ColdModules => (61_000.0 + 150_000.0 * spread(number), total),
        PhaseName::Cold => (26_000.0 + 160_000.0 * spread(number), total),
        PhaseName::First if misses => (2_150.0, 7),
        PhaseName::First => (first_ms, 0),
        PhaseName::FirstColdDisk => (first_ms * 1.9, 0),
        PhaseName::Edited => (first_ms + 1_900.0, 1),
        PhaseName::Relink => (first_ms * 0.8, 0),
        PhaseName::Noop => (first_ms * 0.6, 0),
        PhaseName::Preview => (first_ms + 280.0, 0),
        PhaseName::Prebuilt => (280.0, 0),
        PhaseName::Up => (first_ms + 2_400.0, 0),
    };
    let hits = Hits {
        packages: Ratio {
            hits: total - compiled,
            total,
        },
        links: Ratio {
            hits: u64::from(compiled == 0),
            total: 1,
        },
        compiled: (0..compiled)
            .map(|package| format!("example.com/sdk/v{package}/go/package_{package}"))
            .collect(),
        linked: Vec::new(),
    };
    let mut phase = Phase::of_build(0.0, &hits);
    phase.wall_ms = runs(ms, number);
    phase.added_files = 1 + compiled * 2;
    phase.added_bytes = 4_096 + compiled * 51_200;
    phase.written_bytes = Some(8_192 + compiled * 60_000);
    phase.peak_memory_bytes = Some(180_000_000 + 1_000_000 * (number as u64 % 60));
    if name == PhaseName::ColdModules {
        phase.network_attempts = 140;
    }
    if matches!(
        name,
        PhaseName::Preview | PhaseName::Prebuilt | PhaseName::Up
    ) {
        phase.packages = None;
        phase.links = None;
        phase.compiled.clear();
    }
    phase
}

fn packs() -> Vec<PackSize> {
    let mut packs: Vec<_> = (0..)
        .zip(PROVIDERS)
        .map(|(number, name)| pack(name, number))
        .collect();
    packs.push(pack("common", 20));
    packs.sort_by(|a, b| a.name.cmp(&b.name));
    packs
}

fn pack(name: &str, number: u64) -> PackSize {
    let megabytes = |least: u64, most: u64, seed: u64| {
        1_000 * (least * 1_000 + (most - least) * ((number + seed) * 618 % 1_000))
    };
    PackSize {
        name: name.into(),
        go_mod_bytes: megabytes(20, 150, 0),
        go_build_bytes: megabytes(60, 960, 1),
        executables_bytes: megabytes(36, 360, 2),
    }
}

fn identity() -> Identity {
    Identity {
        go_version: "go1.25.0".into(),
        goos: "linux".into(),
        goarch: "amd64".into(),
        goarch_level: "GOAMD64=v1".into(),
        cgo_enabled: "0".into(),
        goflags: "-trimpath -buildvcs=false -ldflags=-s".into(),
        goexperiment: String::new(),
        gofips140: "off".into(),
        go_extlink_enabled: String::new(),
        goroot: "/usr/local/go".into(),
        gomodcache: "/var/cache/go-mod".into(),
        gocache: "/var/cache/go-build".into(),
    }
}
