//! What runners do to a container beside starting a program in it: they end it, check out as somebody else, forbid
//! programs in /tmp, and run several at once; as a user that no image knows, with a read-only root.

use xshell::cmd;

use super::in_variant;
use crate::support::run::{folder, shell, succeed, workspace};

/// As a cluster makes one up.
const RANDOM: (u32, u32) = (1_000_710_000, 0);

/// Where Pulumi keeps its state, and whether a program registered its stack by the event log that is named.
const PULUMI: &str = r#"
    cd /tmp && mkdir state
    export PULUMI_BACKEND_URL=file:///tmp/state PULUMI_CONFIG_PASSPHRASE=secret PULUMI_DEBUG_COMMANDS=true
    export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
    main=$(echo /elsewhere/apis/provider/civo/*/v1/iac/pulumi)
    registered() { grep -q 'pulumi:pulumi:Stack' $1 && echo registered || echo "not in $1"; }
    project() { mkdir $1 && printf "name: $1\nruntime: go\nmain: $2\n" > $1/Pulumi.yaml; }
    init() { pulumi -C $1 stack init dev > /dev/null; }
"#;

fn catalog_as(variant: &str, user: (u32, u32), script: &str) -> Vec<String> {
    let script = format!("{PULUMI}\n{script}");
    let printed = super::catalog_as(variant, user, &script);
    printed.lines().map(str::to_owned).collect()
}

/// Signals reach the real program, which ends, and so does what it started; its exit code is the launcher's.
#[test]
fn a_signal_ends_pulumi_with_its_program_and_the_go_command() {
    let script = r#"
        mkdir slow && cd slow
        printf 'name: slow\nruntime: {name: go, options: {binary: /tmp/slow/program}}\n' > Pulumi.yaml
        printf '#!/bin/sh\necho $$ > /tmp/slow/started\nexec sleep 600\n' > program
        chmod +x program
        init .
        # Gives up in the end, when what is printed tells.
        until_it() { for try in $(seq 1000); do "$@" && return; sleep 0.02; done; echo "never: $*"; }
        is_exe() { test "$(readlink /proc/$1/exe)" = "$2"; }
        is_gone() { ! kill -0 $1 2> /dev/null; }
        for signal in TERM INT; do
            rm -f started
            env --default-signal=INT pulumi preview --non-interactive > said 2>&1 &
            pid=$!
            until_it test -s started
            is_exe $pid /usr/local/bin/pulumi || echo "no exec"
            kill -$signal $pid
            code=0 && wait $pid || code=$?
            test $code != 0 && echo "pulumi $signal" || cat said
            until_it is_gone $(cat started)
        done
        # Opening it waits for somebody who writes.
        mkdir -p /tmp/proxy/example.com/x/@v && mkfifo /tmp/proxy/example.com/x/@v/list
        export GOPROXY=file:///tmp/proxy GONOSUMDB=example.com
        for signal in TERM INT; do
            env --default-signal=INT go list -m -versions example.com/x 2> said &
            pid=$!
            until_it is_exe $pid /usr/local/go/bin/go
            kill -$signal $pid
            code=0 && wait $pid || code=$?
            echo "go $signal $code"
        done
    "#;
    let printed = catalog_as("latest-civo-nonroot", RANDOM, script);
    let expected = ["pulumi TERM", "pulumi INT", "go TERM 143", "go INT 130"];
    assert_eq!(printed, expected);
}

/// One program twice and an edited one, without `HOME`: each registers its stack, and links to the cache are made once.
#[test]
fn previews_that_run_at_once_do_not_disturb_each_other() {
    let script = r"
        unset HOME
        cp -r /elsewhere checkout && edited=checkout/${main#/elsewhere/}
        echo 'func init() { println(1) }' >> $edited/main.go
        project one $main && project two $main && project edited /tmp/$edited
        for name in one two edited; do init $name; done
        for name in one two edited; do
            pulumi -C $name preview --non-interactive --event-log /tmp/$name.log > $name.said 2>&1 &
        done
        wait
        for name in one two edited; do registered $name.log; done
        find /tmp -path '*/go-links-*' -name complete | wc -l
        find /tmp -type d -name 'go-links-*' | wc -l
    ";
    let printed = catalog_as("latest-civo-nonroot", RANDOM, script);
    let expected = ["registered", "registered", "registered", "1", "1"];
    assert_eq!(printed, expected);
}

/// Git refuses such a checkout, and whoever knows it to be theirs can say so; nothing else asks.
#[test]
fn a_checkout_of_another_user_is_built_and_previewed() {
    let sh = shell();
    let (_guard, checkout) = folder();
    let catalog = workspace().join("catalog");
    let script = format!(
        r"
        cd {catalog} && cp -r --parents pkg apis/provider/civo {checkout} && cd {checkout}
        git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm one
        chmod -R a+rX . && chown -R 4711:4711 .
        "
    );
    succeed(cmd!(sh, "sh -euc {script}"));
    let script = r#"
        git -C /elsewhere status > status 2>&1 || grep -o 'dubious ownership' status
        go -C $main build -debug-actiongraph=/tmp/graph.json -o /tmp/out .
        grep -c '"Cmd": \[' graph.json || test $? = 1
        mkdir links && ln -s $main/* links && init links
        pulumi -C $main preview --non-interactive --stack dev --config-file /tmp/links/Pulumi.dev.yaml \
            --event-log /tmp/log > said 2>&1 || true
        registered log && grep -c 'dubious' said || true
        git config --global --add safe.directory /elsewhere && git -C /elsewhere status --short | wc -l
    "#;
    let script = format!("{PULUMI}\n{script}");
    for (variant, user) in [("latest-civo-nonroot", RANDOM), ("latest-civo", (0, 0))] {
        let printed = in_variant(variant, &checkout, user, &[], &script);
        let printed: Vec<&str> = printed.lines().collect();
        let expected = ["dubious ownership", "0", "registered", "0", "0"];
        assert_eq!(printed, expected, "{variant}");
    }
}

/// What is compiled cannot run there; a build can be made, and what is built already runs.
#[test]
fn where_no_program_may_run_from_tmp_it_is_said_before_one_is_compiled_to_there() {
    let script = r"
        mount -o remount,noexec /tmp
        setpriv --reuid=65532 --regid=65532 --clear-groups --bounding-set=-all sh -eu <<'END'
        PULUMI
        hint='set TMPDIR to a folder from which programs may run'
        exec < /dev/null
        project own $main && init own
        preview() { pulumi $1 preview --non-interactive --stack dev --event-log $2 > /tmp/said 2>&1 || true; }
        preview '-C own' /tmp/one
        grep -c $hint /tmp/said && grep -q 'permission denied' /tmp/said && echo denied
        TMPDIR=/var/tmp
        export TMPDIR && preview '-C own' /tmp/two && registered /tmp/two
        unset TMPDIR
        program=$(verifier which civo/kubernetescluster --to /var/tmp/programs | head -1)
        mkdir links && ln -s $(dirname $program)/* links && init links
        preview '-C links' /tmp/three && registered /tmp/three
        grep -c $hint /tmp/said || true
        go -C $main build -o /tmp/out . && echo built
END
    ";
    let script = script
        .replace("PULUMI", PULUMI)
        .replace("$hint", "\"$hint\"");
    let flags = [
        "--cap-add",
        "CAP_SYS_ADMIN",
        "--perms",
        "1777",
        "--tmpfs",
        "/var/tmp",
    ];
    let catalog = workspace().join("catalog");
    let printed = in_variant("latest-civo-nonroot", &catalog, (0, 0), &flags, &script);
    let printed: Vec<&str> = printed.lines().collect();
    let expected = ["1", "denied", "registered", "registered", "0", "built"];
    assert_eq!(printed, expected);
}
