//! Users of a container beside each other, and those who find nothing to write to: what each may do, and what works.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{catalog_as, in_variant, unpacked};
use crate::support::run::{folder, workspace};

/// What a user of the image may be: its own, one who is not in group 0, and one that a cluster made up.
const USERS: [(u32, u32); 3] = [(65532, 65532), (1000, 1000), (1_000_710_000, 0)];

/// Folders that Debian has for everybody, in which nobody can remove or replace what is another one's.
const OPEN_FOLDERS: [&str; 3] = ["run/lock", "tmp", "var/tmp"];

#[test]
fn a_strange_user_of_group_0_may_write_to_nothing_but_folders_for_temporary_files() {
    let root = unpacked();
    let mut open = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
        let metadata = entry.path().symlink_metadata().unwrap();
        let by_group = metadata.gid() == 0 && metadata.mode() & 0o020 != 0;
        let by_all = metadata.mode() & 0o002 != 0;
        if metadata.is_symlink() || !(by_group || by_all) {
            continue;
        }
        let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap();
        assert!(
            metadata.mode() & 0o1000 != 0,
            "{path} is open and not sticky"
        );
        open.insert(path.to_owned());
    }
    assert_eq!(
        open.iter().map(String::as_str).collect::<Vec<_>>(),
        OPEN_FOLDERS
    );
}

#[test]
fn pulumi_and_tofu_work_for_whichever_user_on_a_read_only_root() {
    let program = r#"package main

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		ctx.Export("greeting", pulumi.String("hello"))
		return nil
	})
}
"#;
    let script = format!(
        r#"
        cp -r /elsewhere /tmp/checkout
        cd /tmp/checkout/apis/provider/civo/*/v1/iac/pulumi
        rm *.go && cat > main.go <<'END'
{program}END
        mkdir /tmp/state
        export PULUMI_CONFIG_PASSPHRASE=secret PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
        pulumi login file:///tmp/state > /dev/null
        pulumi stack init dev > /dev/null
        pulumi preview --non-interactive > /tmp/preview || cat /tmp/preview
        pulumi up --yes --non-interactive > /tmp/up || cat /tmp/up
        pulumi stack output greeting
        git config --global user.name me && git config user.name
        mkdir /tmp/configuration && cd /tmp/configuration
        echo 'resource "terraform_data" "one" {{ input = "value" }}' > main.tf
        tofu init -no-color > /dev/null && tofu apply -auto-approve -no-color | tail -1
    "#
    );
    for user in USERS {
        // The twin is what pods run; who runs the other one has no GOCACHEPROG and no HOME either.
        let variants = ["latest-civo-nonroot", "latest-civo"];
        let variants = variants.into_iter().take(1 + usize::from(user.0 == 1000));
        for variant in variants {
            let printed = catalog_as(variant, user, &script);
            let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(
                lines[..2],
                ["hello", "me"],
                "{user:?} in {variant}: {printed}"
            );
            assert!(
                printed.contains("Resources: 1 added"),
                "{user:?} in {variant}: {printed}"
            );
        }
    }
}

#[test]
fn builds_hit_for_whichever_user_in_whichever_variant() {
    let script = r#"
        cd /elsewhere/apis/provider/civo/*/v1/iac/pulumi
        go build -debug-actiongraph=/tmp/graph.json -o /tmp/out .
        grep -c '"Cmd": \[' /tmp/graph.json || test $? = 1
    "#;
    for user in USERS.into_iter().chain([(0, 0)]) {
        for variant in ["latest-civo", "latest-civo-nonroot"] {
            let printed = catalog_as(variant, user, script);
            assert_eq!(printed.trim(), "0", "{user:?} in {variant}");
        }
    }
}

/// A read-only root, and what a program imports beside its own provider's packages.
#[test]
fn builds_find_everything_in_links_and_settings_are_those_of_the_image() {
    let script = r#"
        cp -r /elsewhere /tmp/checkout && cd /tmp/checkout/apis/provider/civo/*/v1/iac/pulumi
        asked="GOCACHE GOCACHEPROG GOFLAGS GOMODCACHE"
        test "$(/usr/local/go/bin/go env $asked)" = "$(go env $asked)" && echo same
        ran() { grep -c '"Cmd": \[' $1 || test $? = 1; }
        go build -debug-actiongraph=/tmp/graph.json -o /tmp/out . && ran /tmp/graph.json
        printf 'package main\nimport _ "archive/zip"\n' > another.go
        go build -debug-actiongraph=/tmp/graph.json -o /tmp/out .
        # The program's own package and its link.
        ran /tmp/graph.json
        find /tmp -name 'go-links-*' -type d | wc -l
        find /tmp -path '*/iac-runner/go-build' | wc -l
    "#;
    for user in [(65532, 65532), (1_000_710_000, 0)] {
        let printed = catalog_as("latest-civo-nonroot", user, script);
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines, ["same", "0", "2", "1", "0"], "{user:?}: {printed}");
    }
}

/// What is shipped stays, and is found again.
#[test]
fn caches_can_be_cleaned_by_a_user_who_has_links() {
    let script = r#"
        cd /elsewhere/apis/provider/civo/*/v1/iac/pulumi
        ran() { grep -c '"Cmd": \[' $1 || test $? = 1; }
        go clean -testcache && go clean -cache && echo cleaned
        for run in one two; do
            go build -debug-actiongraph=/tmp/graph.json -o /tmp/out . && ran /tmp/graph.json
            go clean -cache
        done
    "#;
    let printed = catalog_as("latest-civo-nonroot", (1_000_710_000, 0), script);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines, ["cleaned", "0", "0"], "{printed}");
}

/// Links are made once, whoever comes first and however far that one gets.
#[test]
fn builds_that_start_together_and_after_one_that_was_killed_find_everything() {
    let script = r#"
        cd /elsewhere/apis/provider/civo/*/v1/iac/pulumi
        ran() { grep -c '"Cmd": \[' $1 || test $? = 1; }
        for seconds in 0.005 0.01 0.02 0.03; do
            rm -rf /tmp/iac-runner-*
            timeout -s KILL $seconds go build -o /tmp/killed . || true
            go build -debug-actiongraph=/tmp/graph.json -o /tmp/out . && ran /tmp/graph.json
        done
        rm -rf /tmp/iac-runner-*
        for number in $(seq 32); do
            go build -debug-actiongraph=/tmp/graph$number.json -o /tmp/out$number . &
        done
        wait
        for number in $(seq 32); do ran /tmp/graph$number.json; done | sort -u
        sha256sum < /tmp/out > /tmp/expected
        for number in $(seq 32); do sha256sum < /tmp/out$number | cmp - /tmp/expected; done
    "#;
    let printed = catalog_as("latest-civo-nonroot", (1_000_710_000, 0), script);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines, ["0"; 5], "{printed}");
}

#[test]
fn what_a_cluster_mounts_into_the_home_is_found_in_the_one_that_stands_in() {
    let (_folder, secrets) = folder();
    fs_err::set_permissions(&secrets, Permissions::from_mode(0o755)).unwrap();
    fs_err::write(secrets.join(".gitconfig"), "[user]\n\tname = mounted\n").unwrap();
    fs_err::create_dir(secrets.join(".pulumi")).unwrap();
    fs_err::write(secrets.join(".pulumi/mounted.json"), "{}").unwrap();
    fs_err::create_dir(secrets.join(".other")).unwrap();
    let mut flags = vec!["--ro-bind", secrets.as_str(), "/home/runner"];
    flags.extend(["--tmpfs", "/home/runner/.other"]);
    flags.extend(["--dir", "/home/runner/.other/folder"]);
    let printed = in_variant(
        "latest-civo-nonroot",
        &workspace().join("catalog"),
        (1_000_710_000, 0),
        &flags,
        r"
        git config --global user.email m@example.com || git config user.name
        pulumi login file:///tmp > /dev/null && echo in
        find /tmp -name mounted.json | wc -l
        cd /tmp/iac-runner-*/home-*
        test -d .other && test ! -L .other && test -L .other/folder && echo one more mount
        ",
    );
    // The file is root's, and so is what a name in the new home leads to; in its folders Pulumi makes files of its own.
    let lines: Vec<&str> = printed.lines().collect();
    let expected = ["mounted", "in", "1", "one more mount"];
    assert_eq!(lines, expected, "{printed}");
}

/// As container runtimes have it for a user whom the image does not know.
#[test]
fn of_a_home_that_is_the_root_nothing_is_found_in_the_one_that_stands_in() {
    let script = r"
        export HOME=/
        git config --global user.name me && git config user.name
        find /tmp -path '*/home-*' -type l | wc -l
    ";
    let printed = catalog_as("latest-civo-nonroot", (1_000_710_000, 0), script);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines, ["me", "0"], "{printed}");
}
