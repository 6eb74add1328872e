//! A build cache without object code, beside one that everything is compiled into: whatever the go command is asked
//! for, both must come to the same.

mod executables;

use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use xshell::cmd;

use crate::sources::{place, program};
use crate::support::container::{Container, unpack};
use crate::support::image::Layout;
use crate::support::run::{fail, shell, succeed, workspace, write};

/// A small source, its image, and where that is unpacked.
struct Toy {
    source: Utf8PathBuf,
    out: Utf8PathBuf,
    root: Utf8PathBuf,
}

fn toy() -> &'static Toy {
    static TOY: OnceLock<Toy> = OnceLock::new();
    TOY.get_or_init(|| {
        let folder = workspace().join("target/end-to-end/toy");
        let (source, out) = (folder.join("source"), folder.join("out"));
        let required = "require example.com/sdk v1.0.0\n\nreplace example.com/sdk => ./sdk/v1\n";
        write(&source, "go.mod", &format!("module example.com/toy\n\ngo 1.25\n\n{required}"));
        for (version, name) in [("v1", "toy"), ("v2", "bumped")] {
            let sdk = source.join("sdk").join(version);
            write(&sdk, "go.mod", "module example.com/sdk\n\ngo 1.25\n");
            write(&sdk, "sdk.go", &format!("package sdk\n\nfunc Name() string {{ return \"{name}\" }}\n"));
        }
        write(
            &source,
            "pkg/shared/shared.go",
            "package shared\n\nimport (\n\t\"strings\"\n\n\t\"example.com/sdk\"\n)\n\n\
             func Name() string { return strings.ToUpper(sdk.Name()) }\n",
        );
        write(
            &source,
            "pkg/shared/shared_test.go",
            "package shared\n\nimport \"testing\"\n\nfunc TestName(t *testing.T) {\n\tif Name() != \"TOY\" {\n\t\tt.Fatal(Name())\n\t}\n}\n",
        );
        let main = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/toy/pkg/shared\"\n)\n\nvar version = \"none\"\n\n\
                    func main() { fmt.Println(shared.Name(), version) }\n";
        write(&source, &format!("{}/main.go", place("toy", "one")), main);
        write(&source, &format!("{}/main.go", place("toy", "two")), &program("example.com/toy/pkg/shared"));
        gocache::objects::write_script(&source.join("toolexec")).unwrap();
        let sh = shell();
        let build = cmd!(
            sh,
            "cargo xtask base-image --source {source} --out {out} --compression gzip --preview none"
        );
        succeed(build);
        let root = unpack(&out, "latest", &folder.join("unpacked"));
        Toy { source, out, root }
    })
}

/// A version that knows the image's Go.
const STATICCHECK: &str = "v0.8.2";

/// Runs `script` in the toy's image as its user; it must succeed.
fn run(flags: &[&str], script: &str) -> String {
    inside(flags, |container| container.run(script))
}

fn inside<T>(flags: &[&str], then: impl FnOnce(&Container<'_>) -> T) -> T {
    let toy = toy();
    let image = Layout::below(&toy.out).image("latest");
    then(&Container {
        root: &toy.root,
        image: &image,
        source: &toy.source,
        user: (65532, 65532),
        flags,
    })
}

/// What is done to a copy of the object code.
type Change = fn(&Utf8Path);

/// A checkout and two caches: a copy of the shipped one, and one that is empty. Under the flags of the latter, nothing
/// of ours is in the way of a link.
const CACHES: &str = r#"
    cp -r /elsewhere /tmp/checkout && cp -r /var/cache/go-build /tmp/lean && mkdir /tmp/plain
    cd /tmp/checkout/apis/provider/toy/one/v1/iac/pulumi
    export TMPDIR=/tmp HOME=/tmp/home
    export PLAIN="${GOFLAGS%-toolexec=*}-toolexec=/elsewhere/toolexec"
"#;

/// `same NAME COMMAND...` runs a command with each cache; exit codes, what it prints and what it leaves in $OUT must be
/// equal.
const SAME: &str = r#"
    same() {
        name=$1; shift
        for cache in lean plain; do
            export OUT=/tmp/out-$cache; rm -rf $OUT; mkdir $OUT
            code=0; flags=$GOFLAGS; [ $cache = lean ] || flags=$PLAIN
            GOFLAGS=$flags GOCACHE=/tmp/$cache GOBIN=$OUT sh -c "$*" > $OUT/.stdout 2> $OUT/.stderr || code=$?
            echo $code > $OUT/.code
            sed -i "s#/tmp/$cache#CACHE#g; s#$OUT#OUT#g; s#/tmp/go-build[0-9]*#WORK#g; s#[0-9.]*s\$##" $OUT/.stdout $OUT/.stderr
        done
        diff -r /tmp/out-lean /tmp/out-plain > /tmp/difference || { echo "$name differs:"; cat /tmp/difference; exit 1; }
        echo "$name $(cat /tmp/out-lean/.code)"
    }
"#;

#[test]
fn the_shipped_cache_has_no_object_code() {
    let printed = run(
        &[],
        r"
        ls /var/cache/go-objects
        find /var/cache/go-build -name '*-d' -size +100c | xargs grep -l '^!<arch>' > /tmp/archives
        wc -l < /tmp/archives
        xargs grep -l '_go_.o' < /tmp/archives | wc -l
        verifier check | tail -1
    ",
    );
    let lines: Vec<&str> = printed.lines().collect();
    let packed = ["common.json", "common.zst", "executables"];
    assert_eq!(lines[..3], packed, "{printed}");
    let archives: u64 = lines[lines.len() - 3].trim().parse().unwrap();
    assert!(archives > 200, "{printed}");
    assert_eq!(lines[lines.len() - 2].trim(), "0", "{printed}");
}

#[test]
fn whatever_is_built_is_what_whole_archives_make_of_it() {
    let script = format!(
        r#"{CACHES}{SAME}
        same hit 'go build -o $OUT/x . && $OUT/x'
        same again 'go build -o $OUT/x .'
        same ldflags 'go build -ldflags "-X main.version=1" -o $OUT/x . && $OUT/x'
        same gcflags 'go build -gcflags=-N -o $OUT/x . && $OUT/x'
        same tags 'go build -tags=netgo -o $OUT/x .'
        same cover 'go build -cover -o $OUT/x . && GOCOVERDIR=/tmp $OUT/x'
        same pie 'go build -buildmode=pie -o $OUT/x . && $OUT/x'
        same exe 'go build -buildmode=exe -o $OUT/x . && $OUT/x'
        same plugin 'go build -buildmode=plugin -o $OUT/x .'
        same c-shared 'go build -buildmode=c-shared -o $OUT/x .'
        same link-shared 'go build -linkshared -o $OUT/x .'
        same race 'go build -race -o $OUT/x .'
        same msan 'go build -msan -o $OUT/x .'
        same all 'go build ./...'
        program=$PLAIN; PLAIN=$GOFLAGS
        same own-archive 'go build -o $OUT/x.a example.com/toy/pkg/shared'
        same archive-from-elsewhere 'go -C /tmp/checkout build -o $OUT/y.a ./pkg/shared'
        same foreign-archive 'go build -o $OUT/x.a strings'
        same archive-mode 'go build -buildmode=archive -o $OUT/x.a example.com/toy/pkg/shared'
        same called-an-archive 'go build -o $OUT/x.a . && $OUT/x.a'
        PLAIN=$program
        same json 'go build -json -ldflags=-X=main.version=json -o $OUT/x . && $OUT/x'
        same json-broken 'go build -json -ldflags=-nonsense -o $OUT/x .'
        same keeps-work 'go build -work -ldflags=-w -o $OUT/x . 2> /dev/null && find /tmp/go-build* -name "whole-*"; rm -r /tmp/go-build*'
        same no-folder-for-work 'GOTMPDIR=/tmp/none go build -o $OUT/x .'
        same workspace 'printf "go 1.25\nuse /tmp/checkout\n" > $OUT/go.work; GOWORK=$OUT/go.work go build -o $OUT/x . && $OUT/x'
        same newer-go 'sed "s/^go .*/go 1.99/" /tmp/checkout/go.mod > /tmp/newer.mod; GOTOOLCHAIN=auto go build -modfile=/tmp/newer.mod .'
        same sdk-bump 'sed s,sdk/v1,sdk/v2, /tmp/checkout/go.mod > /tmp/bumped.mod; go build -modfile=/tmp/bumped.mod -o $OUT/x . && $OUT/x'
        same generate 'mkdir gen; echo "package main; func main() {{ println(42) }}" > gen/main.go; echo "//go:generate go run ./gen
package main" > generate.go; go generate; rm -r gen generate.go'
        same run 'go run .'
        same install 'go install . && $OUT/pulumi'
        same vet 'go vet ./... example.com/toy/...'
        same test 'go test example.com/toy/pkg/shared'
        same profile 'go test -coverprofile=$OUT/p -coverpkg=example.com/toy/... example.com/toy/pkg/shared > /dev/null && go tool cover -func=$OUT/p'
        same test-binary 'go test -c -o $OUT/x.test example.com/toy/pkg/shared && $OUT/x.test'
        same other-toolexec 'go build -toolexec=/usr/bin/env -o $OUT/x . && $OUT/x'
        same other-toolexec-of-goflags 'GOFLAGS="$GOFLAGS -toolexec=/usr/bin/env" go build -o $OUT/x . && $OUT/x'
        same wrapped-toolexec 'go build "-toolexec=/usr/bin/env A=B ${{GOFLAGS##*-toolexec=}}" -ldflags=-X=main.version=env -o $OUT/x . && $OUT/x'
        same other-flags 'GOFLAGS=-trimpath go build -o $OUT/x . && $OUT/x'
        same broken 'go build -ldflags=-nonsense -o $OUT/x .'
        echo 'func init() {{ version = "edited" }}' >> main.go
        same edited-main 'go build -o $OUT/x . && $OUT/x'
        echo 'func Other() string {{ return Name() + "!" }}' >> /tmp/checkout/pkg/shared/shared.go
        same edited-shared 'go build -o $OUT/x . && $OUT/x'
        same everything-again 'go build -a -o $OUT/x . && $OUT/x'
        echo 'undefined' >> main.go
        same does-not-compile 'go build -o $OUT/x .'
        ls -A /tmp | grep -c '^go-build' || true
    "#
    );
    let printed = run(&[], &script);
    let ended: Vec<(&str, &str)> = printed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    assert_eq!(ended.len(), 42, "{printed}");
    for (name, code) in ended {
        let expected = match name {
            "race" | "msan" => "2",
            "plugin" | "c-shared" | "link-shared" | "no-folder-for-work" | "newer-go"
            | "broken" | "json-broken" | "does-not-compile" => "1",
            _ => "0",
        };
        assert_eq!(code, expected, "{name}: {printed}");
    }
    assert!(
        printed.ends_with("\n0\n"),
        "folders of links stay: {printed}"
    );
}

#[test]
fn what_tools_ask_for_is_export_data_that_they_can_read() {
    let printed = run(
        &[],
        &format!(
            r#"{CACHES}
            export GOCACHE=/tmp/lean
            go list -e -json=ImportPath,Export,Error -compiled -test -export -deps ./... > /tmp/list
            grep -c '"Error"' /tmp/list || true
            go list -export -deps -f '{{{{with .Export}}}}{{{{.}}}}{{{{end}}}}' . | xargs grep -L '^!<arch>' | wc -l
            go list -export -deps -f '{{{{with .Export}}}}packagefile {{{{$.ImportPath}}}}={{{{.}}}}{{{{end}}}}' . > /tmp/importcfg
            go tool compile -p main -importcfg /tmp/importcfg -o /tmp/main.o main.go
            if go tool link -importcfg /tmp/importcfg -o /tmp/wrong /tmp/main.o 2> /tmp/said; then echo linked; fi
            grep -o 'reference to nonexistent package' /tmp/said
        "#
        ),
    );
    assert_eq!(printed, "0\n0\nreference to nonexistent package\n");
}

#[test]
#[ignore = "compiles staticcheck, for a minute: cargo test -p end-to-end --test images -- --ignored staticcheck"]
fn staticcheck_finds_the_same() {
    let (sh, toy) = (shell(), toy());
    let (go, bin) = (toy.root.join("usr/local/go"), toy.out.join("../bin"));
    // With the image's own Go, whose standard library it is to understand.
    let install = cmd!(
        sh,
        "{go}/bin/go install honnef.co/go/tools/cmd/staticcheck@{STATICCHECK}"
    );
    let install = install.env("GOROOT", &go).env("GOTOOLCHAIN", "local");
    let install = install.env("CGO_ENABLED", "0").env("GOFLAGS", "");
    succeed(install.env("GOBIN", &bin));
    fs_err::create_dir_all(toy.root.join("checker")).unwrap();
    let script = format!(
        r"{CACHES}{SAME}
        check() {{ same $1 'cd /tmp/checkout && HOME=/tmp/home-$(basename $GOCACHE) /checker/staticcheck ./...'; }}
        check sound
        printf 'package shared\n\nfunc unused() {{}}\n' > /tmp/checkout/pkg/shared/unused.go
        check unsound
        cat /tmp/out-lean/.stdout
    "
    );
    let printed = run(&["--ro-bind", bin.as_str(), "/checker"], &script);
    let unused = "pkg/shared/unused.go:3:6: func unused is unused (U1000)";
    assert_eq!(printed, format!("sound 0\nunsound 1\n{unused}\n"));
}

#[test]
fn many_builds_at_once_and_killed_ones_come_to_the_same() {
    let printed = run(
        &[],
        &format!(
            r#"{CACHES}
            export GOCACHE=/tmp/lean
            echo 'func init() {{ version = "edited" }}' >> main.go
            go build -o /tmp/expected .
            for number in $(seq 32); do go build -o /tmp/x$number . & done; wait
            cat /tmp/x?* | sha256sum > /tmp/found
            for number in $(seq 32); do cat /tmp/expected; done | sha256sum | diff - /tmp/found && echo same
            for delay in 0.05 0.1 0.2 0.3 0.4 0.5 0.7; do
                rm -rf /tmp/lean && cp -r /var/cache/go-build /tmp/lean
                timeout -s KILL $delay go build -o /tmp/killed . || true
                go build -o /tmp/after . && cmp /tmp/after /tmp/expected
            done
            echo whole
        "#
        ),
    );
    assert_eq!(printed, "same\nwhole\n");
}

#[test]
fn without_room_or_object_code_nothing_is_linked_and_the_message_says_what_to_do() {
    let build = format!(
        "{CACHES} export GOCACHE=/tmp/lean
         echo 'func init() {{ version = \"edited\" }}' >> main.go; \
         GOTMPDIR=${{SMALL:-/tmp}} go build -o /tmp/wrong . || {{ ls /tmp/wrong || true; exit 7; }}"
    );
    let refused = |flags: &[&str], build: &str| {
        inside(flags, |container| {
            fail(container.command(&shell(), build), 7)
        })
    };
    let objects = |change: fn(&Utf8Path)| {
        let copy = tempfile::tempdir_in(workspace().join("target/end-to-end")).unwrap();
        let path = Utf8PathBuf::try_from(copy.path().to_owned()).unwrap();
        for file in ["common.zst", "common.json", "toy.zst", "toy.json"] {
            let from = toy().root.join("var/cache/go-objects").join(file);
            fs_err::copy(from, path.join(file)).unwrap();
        }
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        change(&path);
        (copy, path)
    };
    let cases: [(Change, &str); 4] = [
        (
            |path| {
                let mut data = fs_err::read(path.join("common.zst")).unwrap();
                let middle = data.len() / 2;
                data[middle..middle + 5000].fill(0);
                fs_err::write(path.join("common.zst"), data).unwrap();
            },
            "common.zst is corrupt",
        ),
        (
            |path| fs_err::write(path.join("common.zst"), "").unwrap(),
            "common.json is corrupt",
        ),
        (
            |path| fs_err::remove_file(path.join("common.json")).unwrap(),
            "has no object code to link, and no pack in /var/cache/go-objects has it",
        ),
        (
            |path| fs_err::write(path.join("toy.json"), "{").unwrap(),
            "toy.json is corrupt",
        ),
    ];
    for (change, expected) in cases {
        let (_copy, path) = objects(change);
        let said = refused(
            &["--ro-bind", path.as_str(), "/var/cache/go-objects"],
            &build,
        );
        assert!(said.contains(expected), "{said}");
        assert!(
            said.contains("pull it again") || said.contains("pull the image again"),
            "{said}"
        );
        assert!(said.contains("cannot access '/tmp/wrong'"), "{said}");
    }
    let small = [
        "--size", "3000000", "--perms", "1777", "--tmpfs", "/small", "--setenv", "SMALL", "/small",
    ];
    fs_err::create_dir_all(toy().root.join("small")).unwrap();
    let said = refused(&small, &build);
    assert!(said.contains("cannot be put together"), "{said}");
    assert!(
        said.contains("No space left") && said.contains("GOTMPDIR"),
        "{said}"
    );
    assert!(said.contains("cannot access '/tmp/wrong'"), "{said}");
}
