//! Images for another platform than this machine's.

use serde_json::Value;
use xshell::cmd;

use crate::sources::small;
use crate::support::image::Layout;
use crate::support::run::{fail, folder, shell, succeed};

/// This machine's platform, and the other one.
pub fn platforms() -> [&'static str; 2] {
    let mut platforms = ["linux/amd64", "linux/arm64"];
    if cfg!(target_arch = "aarch64") {
        platforms.reverse();
    }
    platforms
}

/// What is compiled is checked by builds that find all of it, which takes nothing of the other platform.
#[test]
fn caches_for_another_platform_take_no_emulator() {
    let (_folder, root) = folder();
    let (source, packs) = (root.join("source"), root.join("packs"));
    small(&source);
    fs_err::create_dir(&packs).unwrap();
    let (sh, [here, other]) = (shell(), platforms());
    let warm = cmd!(
        sh,
        "cargo xtask warm --source {source} --platform {other} --provider common --provider civo --out {root}/made
            --push {packs}"
    );
    succeed(warm);
    let other_arch = other.split('/').next_back().unwrap();
    let made = Layout::at(&root.join("made")).packs();
    assert_eq!(made.len(), 2);
    for pack in made {
        assert_eq!(pack.config["platform"], other, "{}", pack.name);
        let identity = &pack.config["pack"]["identity"];
        assert_eq!(identity["goarch"], other_arch, "{}", pack.name);
        let links = &pack.config["pack"]["links_not_cached"];
        assert!(
            links.is_null() || *links == Value::Array(Vec::new()),
            "{links}"
        );
    }
    let arch = other.replace('/', "-");
    for name in ["common", "civo"] {
        assert!(packs.join(format!("{name}-{arch}.tar")).is_file());
    }
    let assemble = cmd!(
        sh,
        "cargo xtask assemble --from {packs} --out {root}/oci --platform {here}"
    );
    let said = fail(assemble, 2);
    assert!(said.contains(&format!("no pack is for {here}")), "{said}");
}

/// The whole way, with all tools: minutes of compiling at first.
#[test]
#[ignore = "takes what `cargo xtask doctor` lists for --platform: cargo test --test images -- --ignored two_platforms"]
fn an_image_of_two_platforms_hits_on_both() {
    let (_folder, root) = folder();
    let (sh, [here, other]) = (shell(), platforms());
    let out = root.join("out");
    succeed(cmd!(
        sh,
        "cargo xtask base-image --provider civo --platform {here} --platform {other} --out {out}"
    ));
    let arch = other.replace('/', "-");
    for (report, is_emulated) in [("report", false), (&format!("report-{arch}"), true)] {
        let report = fs_err::read_to_string(out.join(format!("{report}.json"))).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["emulated"] == true, is_emulated);
        for what in ["packages", "links"] {
            let ratio = &report["summary"][what];
            assert_eq!(
                ratio["hits"], ratio["total"],
                "{what}, emulated: {is_emulated}"
            );
            assert!(ratio["total"].as_u64() > Some(0));
        }
    }
    let layout = out.join("oci");
    let [own, foreign] = [here, other].map(|platform| {
        let arch = platform.split('/').next_back().unwrap();
        let config = cmd!(
            sh,
            "skopeo inspect --config --override-arch {arch} oci:{layout}:latest-civo-nonroot"
        );
        let config: Value = serde_json::from_str(&succeed(config)).unwrap();
        assert_eq!(config["architecture"], arch);
        config["rootfs"]["diff_ids"].as_array().unwrap().clone()
    });
    assert!(own.iter().all(|layer| !foreign.contains(layer)));
    let verify = cmd!(
        sh,
        "cargo xtask verify --platform {other} --image {layout}:latest-civo --user root --writable"
    );
    succeed(verify.args(["--", "run", "--min-hit-rate", "1", "--target-ms", "1"]));
}
