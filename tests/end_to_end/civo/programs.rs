//! Programs that need no Go: in an image without it, in one with caches, and as artifacts.

use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use camino::Utf8PathBuf;
use serde_json::Value;
use xshell::cmd;

use super::{built, catalog_as, gzip};
use crate::support::container::{Container, unpack};
use crate::support::image::Layout;
use crate::support::run::{fail, folder, shell, succeed, workspace};

const PROGRAM: &str = "civo/kubernetescluster";
const ARTIFACT: &str = "latest-program-civo-kubernetescluster-linux-amd64";

/// The image with civo's programs and without Go, unpacked by a tool that is not ours.
fn run_civo() -> &'static Utf8PathBuf {
    static UNPACKED: OnceLock<Utf8PathBuf> = OnceLock::new();
    UNPACKED.get_or_init(|| {
        let place = workspace().join("target/end-to-end/civo-run-unpacked");
        unpack(gzip(), "latest-run-civo", &place)
    })
}

fn in_run_civo(user: (u32, u32), script: &str) -> String {
    let (_folder, empty) = folder();
    let image = Layout::below(&built().0).image("latest-run-civo-nonroot");
    let container = Container {
        root: run_civo(),
        image: &image,
        source: &empty,
        user,
        flags: &[],
    };
    container.run(script)
}

#[test]
fn images_without_go_have_programs_of_their_own_and_else_what_the_others_have() {
    let layout = Layout::below(&built().0);
    let image = layout.image("latest-run-civo");
    let layers = image.manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    let all = layout.image("latest-civo").manifest["layers"].clone();
    let all = all.as_array().unwrap();
    assert!(layers[..2].iter().all(|layer| all.contains(layer)));
    assert!(!all.contains(&layers[2]));
    let run = layout.image("latest-run").manifest["layers"].clone();
    assert_eq!(run.as_array().unwrap(), layers);
    let environment = image.config["config"]["Env"].to_string();
    assert!(!environment.contains("go"), "{environment}");
    let labels = image.config["config"]["Labels"].as_object().unwrap();
    let tools = labels.keys().filter(|name| name.contains("tools"));
    assert_eq!(tools.count(), 1, "{labels:?}");
}

/// Previews every program of the image, and says how often one registered its stack and whether anything asked for more
/// than there is.
const PREVIEW: &str = r#"
    command -v go tofu || echo none
    cd /tmp && mkdir state
    export PULUMI_BACKEND_URL=file:///tmp/state PULUMI_CONFIG_PASSPHRASE=secret PULUMI_DEBUG_COMMANDS=true
    export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
    program=/opt/iac-runner/programs/civo/kubernetescluster
    mkdir links && ln -s $program/* links
    pulumi -C links stack init dev > /dev/null
    pulumi -C $program preview --non-interactive --stack dev --config-file /tmp/links/Pulumi.dev.yaml \
        --event-log /tmp/events > /tmp/said 2>&1 || true
    grep -c 'pulumi:pulumi:Stack' /tmp/events > /dev/null && echo registered || cat /tmp/said
    grep -o 'civo:[a-z/]*:[A-Za-z]*' /tmp/events /tmp/said | head -1 | grep -c civo || cat /tmp/said
    verifier check | tail -1 | grep -o '0 corrupt'
    verifier which civo/kubernetescluster | head -1
    verifier info --json 2> /tmp/warned | grep -c '"go":' || true
    pulumi -C links preview --non-interactive > /tmp/said 2>&1 || true
    grep 'no resource plugin' /tmp/said > /dev/null && echo again
"#;

#[test]
fn a_program_reaches_its_first_resource_without_go_as_any_user_on_a_read_only_root() {
    for user in [(0, 0), (65532, 65532), (1_000_710_000, 0)] {
        let printed = in_run_civo(user, PREVIEW);
        let lines: Vec<&str> = printed.lines().collect();
        let expected = [
            "none",
            "registered",
            "1",
            "0 corrupt",
            "/opt/iac-runner/programs/civo/kubernetescluster/kubernetescluster",
            "0",
            "again",
        ];
        assert_eq!(lines, expected, "{user:?}: {printed}");
    }
    let foreign = ["usr/local/go", "usr/local/bin/tofu", "var/cache/go-mod"];
    let is_there = |path: &&str| run_civo().join(path).symlink_metadata().is_ok();
    assert_eq!(foreign.iter().find(|path| is_there(path)), None);
}

#[test]
fn what_stands_in_for_go_builds_nothing_and_says_so() {
    let printed = in_run_civo(
        (65532, 65532),
        r"
        /usr/local/lib/iac-runner/stand-in/go version
        /usr/local/lib/iac-runner/stand-in/go build . 2> /tmp/said && echo built
        grep -c 'built already' /tmp/said
        ",
    );
    assert_eq!(printed, "go version go1.27.4 linux/amd64\n1\n");
}

#[test]
fn an_image_with_caches_unpacks_the_programs_that_it_has() {
    let printed = catalog_as(
        "latest-civo-nonroot",
        (1_000_710_000, 0),
        &format!(
            r"
            verifier which {PROGRAM} --json
            verifier which {PROGRAM} --to /tmp/here --json
            ls /tmp/here/{PROGRAM}
            sha256sum < /tmp/here/{PROGRAM}/kubernetescluster | cut -c-64
            test ! -e /opt/iac-runner/programs
            # Nothing stands in for the Go that is there.
            PATH=/bin /usr/local/lib/iac-runner/bin/go version || test $? = 127
            verifier which civo/kubernetesclusters 2> /tmp/said || test $? = 2
            grep -q 'there are {PROGRAM}' /tmp/said
            "
        ),
    );
    let mut documents = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let [packed, unpacked] = [(); 2].map(|()| documents.next().unwrap().unwrap()[0].clone());
    assert_eq!(packed["path"], Value::Null);
    let place = format!("/tmp/here/{PROGRAM}");
    assert_eq!(unpacked["project"], place.as_str());
    assert_eq!(unpacked["path"], format!("{place}/kubernetescluster"));
    let rest: Vec<&str> = printed[documents.byte_offset()..].trim().lines().collect();
    let sha256 = packed["sha256"].as_str().unwrap();
    assert_eq!(rest, ["Pulumi.yaml", "kubernetescluster", sha256]);
}

#[test]
fn an_executable_is_previewed_where_nothing_is_built() {
    let printed = catalog_as(
        "latest-civo-nonroot",
        (65532, 65532),
        r"
        verifier run --source /elsewhere --provider civo --prebuilt all --json /tmp/report > /tmp/said 2>&1 || cat /tmp/said
        cat /tmp/report
        ",
    );
    let report: Value = serde_json::from_str(&printed).unwrap();
    let phase = &report["modules"][0]["phases"]["prebuilt"];
    assert_eq!(
        phase["wall_ms"].as_array().map(Vec::len),
        Some(1),
        "{printed}"
    );
    assert_eq!(phase["not_run"], Value::Null, "{phase}");
    assert_eq!(phase["network_attempts"], 0, "{phase}");
    assert_eq!(
        report["skipped"].as_array().map(Vec::len),
        Some(0),
        "{printed}"
    );
}

#[test]
fn a_program_is_fetched_whole_or_not_at_all() {
    let (out, _) = built();
    let layout = Layout::below(out);
    assert_eq!(layout.programs(), [ARTIFACT]);
    let artifact = layout.image(ARTIFACT);
    let annotation = format!("iac-runner.program.{PROGRAM}");
    let annotated = &layout.image("latest-run-civo").manifest["annotations"][annotation.as_str()];
    assert_eq!(*annotated, artifact.digest);
    let archive = artifact.manifest["layers"][0].clone();
    assert!(archive["size"].as_u64().unwrap() < 15_000_000, "{archive}");
    assert_eq!(
        archive["annotations"]["io.deis.oras.content.unpack"],
        "true"
    );

    let sh = shell();
    let (_folder, place) = folder();
    let program = place.join("program");
    succeed(cmd!(
        sh,
        "cargo xtask fetch-program {out}/oci:{ARTIFACT} {program}"
    ));
    let shipped = run_civo().join("opt/iac-runner/programs").join(PROGRAM);
    succeed(cmd!(sh, "diff -r {shipped} {program}"));
    assert_eq!(
        fs_err::metadata(program.join("kubernetescluster"))
            .unwrap()
            .mode()
            & 0o777,
        0o755
    );

    let other = place.join("other");
    let refused = |reference: &str, code: i32, sign: &str| {
        let said = fail(
            cmd!(sh, "cargo xtask fetch-program {reference} {other}"),
            code,
        );
        assert!(said.contains(sign), "{said}");
        let left: Vec<_> = place.read_dir_utf8().unwrap().map(Result::unwrap).collect();
        assert!(left.iter().all(|it| it.file_name() != "other"), "{left:?}");
    };
    refused(&format!("{out}/oci:latest-program-civo-x"), 2, ARTIFACT);
    refused(&format!("{out}/oci:latest-civo"), 2, &artifact.digest);
    refused("127.0.0.1:1/none:latest", 1, "127.0.0.1:1");
    let damaged = place.join("damaged");
    succeed(cmd!(sh, "cp -r {out}/oci {damaged}"));
    let digest = archive["digest"].as_str().unwrap().replace(':', "/");
    let blob = damaged.join("blobs").join(digest);
    let mut bytes = fs_err::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::remove_file(&blob).unwrap();
    fs_err::write(&blob, bytes).unwrap();
    refused(&format!("{damaged}:{ARTIFACT}"), 4, "damaged");
}
