//! Pulumi in the image of civo, with the language host that it has there.

use crate::civo::{catalog_as, has_release};

/// A program with the SDK alone, in a folder of its own in the civo's Go module, and a backend.
const PROJECT: &str = r#"
    cp -r /elsewhere /tmp/checkout
    cd /tmp/checkout/apis/provider/civo/*/v1/iac/pulumi
    rm *.go && cat > main.go <<'END'
package main

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		ctx.Export("made", pulumi.String("by compiling"))
		return nil
	})
}
END
    mkdir /tmp/state
    export PULUMI_CONFIG_PASSPHRASE=secret PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
    pulumi login file:///tmp/state > /dev/null
    pulumi stack init dev > /dev/null
    up() { pulumi up --yes --skip-preview --non-interactive > /tmp/up 2>&1; }
    option() { printf 'name: civo-kubernetescluster\nruntime:\n  name: go\n  options:\n    %s\n' "$1" > Pulumi.yaml; }
"#;

fn in_project(script: &str) -> String {
    catalog_as(
        "latest-civo-nonroot",
        (65532, 65532),
        &format!("{PROJECT}{script}"),
    )
}

#[test]
fn a_binary_of_pulumi_yaml_is_run_instead_of_what_the_program_compiles_to() {
    let printed = in_project(
        r"
        sed -i 's/by compiling/by the binary/' main.go && go build -o /tmp/ready . && rm main.go
        option 'binary: /tmp/ready'
        up || cat /tmp/up
        pulumi stack output made
        option 'binary: /tmp/absent'
        if up; then echo ignored; else grep -c absent /tmp/up > /dev/null && echo refused; fi
        ",
    );
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        ["by the binary", "refused"]
    );
}

#[test]
fn a_build_target_of_pulumi_yaml_is_what_the_program_compiles_to() {
    let printed = in_project(
        r"
        option 'buildTarget: /tmp/target'
        up || cat /tmp/up
        pulumi stack output made
        test -x /tmp/target && echo kept
        ",
    );
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        ["by compiling", "kept"]
    );
}

/// The table in the image's README says the same.
#[test]
fn what_only_the_language_host_of_the_release_can_do_is_known() {
    let printed = in_project(
        r#"
        pulumi about > /tmp/about 2>&1 || cat /tmp/about
        grep -q 'go1\.' /tmp/about && echo go
        grep -q 'pulumi-civo' /tmp/about && echo dependencies || echo no dependencies
        echo '{"name": "local", "version": "1.0.0"}' > /tmp/schema.json
        pulumi package add /tmp/schema.json > /tmp/add 2>&1 && echo added || echo not added
        "#,
    );
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "go", "{printed}");
    if !has_release() {
        assert_eq!(lines[1..], ["no dependencies", "not added"]);
    }
}

#[test]
fn pulumi_install_offline_says_what_it_wants() {
    let printed = in_project("pulumi install > /tmp/install 2>&1 || tail -3 /tmp/install");
    assert!(printed.contains("go mod tidy"), "{printed}");
}
