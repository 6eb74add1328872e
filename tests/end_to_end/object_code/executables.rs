//! Executables that are compressed: links hit as if they were in the cache, and where they cannot, come to the same.

use camino::Utf8Path;
use serde_json::{Value, json};
use xshell::cmd;

use super::{CACHES, inside, run, toy};
use crate::sources::place;
use crate::support::run::{ended, folder, shell, succeed};

/// `links NAME COMMAND...` says how many links ran; `expected NAME FILE` that FILE is what the linker makes of NAME's
/// program.
const LINKS: &str = r#"
    export GOCACHE=/tmp/lean
    for name in one two; do
        (cd /tmp/checkout/apis/provider/toy/$name/v1/iac/pulumi
         GOFLAGS=$PLAIN GOCACHE=/tmp/plain go build -x -o /tmp/linked-$name . 2> /tmp/said
         grep -q '/link -o' /tmp/said)
    done
    links() {
        name=$1; shift
        "$@" 2> /tmp/said || { cat /tmp/said; exit 1; }
        echo "$name $(grep -c '/link -o' /tmp/said || true)"
    }
    expected() { cmp /tmp/linked-$1 $2 && test -x $2 && rm $2; }
"#;

#[test]
fn the_cache_has_no_executables_and_links_hit() {
    let printed = run(
        &[],
        &format!(
            r"
            ls /var/cache/go-objects/executables
            find /var/cache/go-build -name '*-d' -size +100c -exec sh -c 'head -c 4 $1 | grep -l ELF' _ {{}} \; | wc -l
            {CACHES}{LINKS}
            links one go build -x -o /tmp/x .
            expected one /tmp/x
            cd ../../../../two/v1/iac/pulumi
            links two go build -x -o /tmp/x .
            expected two /tmp/x
            links again go build -x -o /tmp/x .
            expected two /tmp/x
            cd /tmp
            links from-elsewhere go -C /tmp/checkout/apis/provider/toy/two/v1/iac/pulumi build -x -o /tmp/x .
            expected two /tmp/x
            find /tmp/lean ! -newermt 2036-01-01 -size +1000k -perm 644 | wc -l
            find /tmp/lean -name '.*' -type f | wc -l
        "
        ),
    );
    assert_eq!(
        printed,
        "toy.json\ntoy.zst\n0\none 0\ntwo 0\nagain 0\nfrom-elsewhere 0\n2\n0\n"
    );
}

/// A go command that asks for nothing and waits for the executable.
#[test]
fn the_executable_is_put_into_the_cache_before_the_go_command_asks_for_anything() {
    let printed = run(
        &[],
        &format!(
            r"{CACHES}
            export GOCACHE=/tmp/lean
            mkdir /tmp/bin
            cat > /tmp/bin/go <<'END'
            #!/bin/sh
            for attempt in $(seq 200); do
                find $GOCACHE -name '[0-9a-f]*-d' -size +1000k | grep -q . && break
                [ $# = 2 ] && [ $1 = build ] || [ $attempt -lt 10 ] || break
                sleep 0.05
            done
            find $GOCACHE -name '[0-9a-f]*-d' -size +1000k | wc -l
END
            sed -i 's/^ *#!/#!/' /tmp/bin/go
            chmod +x /tmp/bin/go
            PATH=/usr/local/lib/iac-runner/bin:/tmp/bin:/usr/bin:/bin
            go list .
            go build -n .
            go build -toolexec=/own .
            go build .
        "
        ),
    );
    assert_eq!(printed, "0\n0\n0\n1\n");
}

#[test]
fn a_build_that_hits_collects_less_garbage_than_go_does_by_itself() {
    let printed = run(
        &[],
        &format!(
            r"{CACHES}
            export GOCACHE=/tmp/lean
            go build -o /tmp/x .
            collected() {{ env $1 GODEBUG=gctrace=1 go build -o /tmp/x . 2>&1 | grep -c '^gc '; }}
            echo $(collected '') $(collected GOGC=100)
        "
        ),
    );
    let counts: Vec<u32> = printed
        .split_whitespace()
        .map(|count| count.parse().unwrap())
        .collect();
    let [ours, usual] = counts[..] else {
        panic!("{printed}");
    };
    assert!(ours * 2 < usual, "{printed}");
}

#[test]
fn where_nothing_was_put_into_the_cache_the_executable_is_put_in_place_of_a_link() {
    let printed = run(
        &[],
        &format!(
            r"{CACHES}{LINKS}
            cd /tmp/checkout
            links from-above go build -x -o /tmp/x ./apis/provider/toy/one/v1/iac/pulumi
            expected one /tmp/x
            links install env GOBIN=/tmp/bin go install -x ./apis/provider/toy/two/v1/iac/pulumi
            expected two /tmp/bin/pulumi
            links run go run -x ./apis/provider/toy/one/v1/iac/pulumi
            links other-flags go build -x -ldflags=-w -o /tmp/x ./apis/provider/toy/one/v1/iac/pulumi
            links own-build-id go build -x -ldflags=-buildid=x/y -o /tmp/x ./apis/provider/toy/one/v1/iac/pulumi
            export GOCACHE=/var/cache/go-build
            links read-only go build -x -o /tmp/x ./apis/provider/toy/one/v1/iac/pulumi
            expected one /tmp/x
            cd apis/provider/toy/two/v1/iac/pulumi
            links read-only-in-place go build -x -o /tmp/x .
            expected two /tmp/x
        "
        ),
    );
    let expected = "from-above 1\ninstall 1\nTOY none\nrun 1\nother-flags 1\nown-build-id 1\nread-only 1\nread-only-in-place 0\n";
    assert_eq!(printed, expected);
}

#[test]
fn many_builds_at_once_and_killed_ones_leave_nothing_that_is_not_whole() {
    let printed = run(
        &[],
        &format!(
            r"{CACHES}{LINKS}
            for number in $(seq 16); do go build -o /tmp/x$number . & done; wait
            for number in $(seq 16); do expected one /tmp/x$number; done
            for delay in 0.02 0.05 0.1 0.15 0.2 0.3; do
                rm -rf /tmp/lean && cp -r /var/cache/go-build /tmp/lean
                timeout -s KILL $delay go build -o /tmp/killed . || true
                for output in $(find /tmp/lean -name '*-d' -size +1000k); do
                    test $(sha256sum < $output | cut -c-64) = $(basename $output -d)
                done
                links $delay go build -x -o /tmp/x .
                expected one /tmp/x
            done
        "
        ),
    );
    assert_eq!(
        printed.lines().filter(|line| line.ends_with(" 0")).count(),
        6,
        "{printed}"
    );
}

#[test]
fn damage_and_a_full_disk_are_no_reason_not_to_link() {
    let executables = toy().root.join("var/cache/go-objects/executables");
    let cases: [fn(&Utf8Path); 5] = [
        |path| {
            let mut data = fs_err::read(path.join("toy.zst")).unwrap();
            let middle = data.len() / 2;
            data[middle..middle + 100].fill(0);
            fs_err::write(path.join("toy.zst"), data).unwrap();
        },
        |path| fs_err::write(path.join("toy.zst"), "").unwrap(),
        |path| fs_err::write(path.join("toy.json"), "{").unwrap(),
        |path| fs_err::remove_file(path.join("toy.zst")).unwrap(),
        |path| fs_err::remove_file(path.join("toy.json")).unwrap(),
    ];
    let script =
        format!("{CACHES}{LINKS} links one go build -x -o /tmp/x . && expected one /tmp/x");
    for change in cases {
        let copy = tempfile::tempdir_in(toy().out.as_path()).unwrap();
        let path = Utf8Path::from_path(copy.path()).unwrap();
        for file in ["toy.zst", "toy.json"] {
            fs_err::copy(executables.join(file), path.join(file)).unwrap();
        }
        change(path);
        fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let flags = [
            "--ro-bind",
            path.as_str(),
            "/var/cache/go-objects/executables",
        ];
        // With another executable in the frame that is damaged, this one may be whole.
        let printed = inside(&flags, |container| {
            succeed(container.command(&shell(), &script))
        });
        assert!(
            ["one 0\n", "one 1\n"].contains(&printed.as_str()),
            "{printed}"
        );
        let check =
            "verifier check | grep -c '^corrupt: /var/cache/go-objects/executables/toy' || true";
        let found = inside(&flags, |container| container.run(check));
        assert_ne!(found, "0\n");
    }
    fs_err::create_dir_all(toy().root.join("small")).unwrap();
    let small = ["--size", "60000000", "--perms", "1777", "--tmpfs", "/small"];
    let full = format!(
        "{CACHES}{LINKS}
         cp -r /var/cache/go-build /small/cache && export GOCACHE=/small/cache
         head -c 60000000 /dev/zero > /small/filler 2> /tmp/full || true
         truncate -s -500000 /small/filler
         links one go build -x -o /tmp/x . && expected one /tmp/x
         find /small/cache -name '*-d' -size +1000k | wc -l
         find /small/cache -name '.*' -type f | wc -l"
    );
    assert_eq!(run(&small, &full), "one 1\n0\n0\n");
}

#[test]
fn the_verifier_counts_links_as_hits_and_knows_why_one_misses() {
    let (sh, toy) = (shell(), toy());
    let verifier = |source: &Utf8Path, arguments: &[&str]| {
        let image = toy.out.join("oci:latest");
        let verify = cmd!(sh, "cargo xtask verify --source {source} --image {image}");
        let said = ended(verify.arg("--").args(arguments));
        serde_json::from_slice::<Value>(&said.get_output().stdout).unwrap()
    };
    let report = verifier(&toy.source, &["run", "--json", "-"]);
    let modules = report["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 2, "{report:#}");
    for module in modules {
        for phase in ["first", "relink", "noop"] {
            let links = &module["phases"][phase]["links"];
            assert_eq!(links, &json!({"hits": 1, "total": 1}), "{module:#}");
        }
        assert_eq!(module["phases"]["first"]["compiled"], json!([]));
    }
    let explain = ["explain", "toy/one", "--json"];
    let explained = verifier(&toy.source, &explain);
    assert_eq!(
        explained["build"]["links"],
        json!({"hits": 1, "total": 1}),
        "{explained:#}"
    );

    let (_copy, copy) = folder();
    let (source, copy) = (&toy.source, copy.join("source"));
    succeed(cmd!(sh, "cp -r {source} {copy}"));
    let main = copy.join(place("toy", "one")).join("main.go");
    let text = fs_err::read_to_string(&main).unwrap();
    fs_err::write(&main, text.replace("none", "edited")).unwrap();
    let explained = verifier(&copy, &explain);
    assert_eq!(
        explained["build"]["links"],
        json!({"hits": 0, "total": 1}),
        "{explained:#}"
    );
}

#[test]
fn a_merged_cache_has_them_as_entries() {
    let (sh, toy) = (shell(), toy());
    let folder = toy.out.parent().unwrap();
    let source = &toy.source;
    let (packs, merged) = (folder.join("packs.tar"), folder.join("merged"));
    let warm = cmd!(sh, "cargo xtask warm --source {source} --out {packs}");
    succeed(warm.args(["--provider=common", "--provider=toy"]));
    succeed(cmd!(sh, "cargo xtask merge --out {merged} {packs}"));
    fs_err::create_dir_all(toy.root.join("merged")).unwrap();
    let printed = run(
        &["--ro-bind", merged.as_str(), "/merged"],
        &format!(
            r"{CACHES}{LINKS}
            export GOFLAGS=${{PLAIN%=*}}=/merged/toolexec GOCACHE=/tmp/merged
            cp -r /merged/go-build /tmp/merged
            for name in one two; do
                cd /tmp/checkout/apis/provider/toy/$name/v1/iac/pulumi
                links $name go build -x -o /tmp/x .
                expected $name /tmp/x
            done
        "
        ),
    );
    assert_eq!(printed, "one 0\ntwo 0\n");
}
