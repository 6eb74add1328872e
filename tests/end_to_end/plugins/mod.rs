//! A plugin of Pulumi from its server into an image, where it makes a resource without a network.
//!
//! No published plugin can be had on every machine that runs tests. So there is one here, a program of the source like
//! any other: warming it compiles it, its archive is served on the loopback device, and the lock names that.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::sources::place;
use crate::support::container::{Container, unpack};
use crate::support::image::Layout;
use crate::support::run::{fail, folder, shell, succeed, workspace, write};

/// In the one program and not in the other.
const SERVER: &[u8] = b"pulumi-resource-toyfile, whose one";
const ARCHIVE: &str = "pulumi-resource-toyfile-v1.0.0-linux-";

/// A source: the catalog, so that what all providers share is made for other tests already, and the provider `toyfile`,
/// whose plugin is at `server`.
fn source(root: &Utf8Path, server: &str) {
    let sh = shell();
    succeed(cmd!(sh, "cp -r catalog/pkg catalog/apis {root}"));
    let apis = "apis/provider";
    let go_mod = fs_err::read_to_string(root.join(apis).join("civo/go.mod")).unwrap();
    let go_mod = go_mod.replace("iac-catalog/civo", "iac-catalog/toyfile");
    let lines = go_mod.lines().map(|line| {
        if line.contains("pulumi-civo") {
            "\texample.com/iac-catalog/toyfile-sdk v0.0.0"
        } else {
            line
        }
    });
    let lines: Vec<&str> = lines.collect();
    let replace = "replace example.com/iac-catalog/toyfile-sdk => ./sdk";
    let go_mod = format!("{}\n\n{replace}\n", lines.join("\n"));
    write(root, &format!("{apis}/toyfile/go.mod"), &go_mod);
    let sums = fs_err::read_to_string(root.join(apis).join("civo/go.sum")).unwrap();
    write(root, &format!("{apis}/toyfile/go.sum"), &sums);
    let sdk = "module example.com/iac-catalog/toyfile-sdk\n\ngo 1.25\n";
    write(root, &format!("{apis}/toyfile/sdk/go.mod"), sdk);
    let sdk = "package toyfile\n\nconst Version = \"1.0.0\"\n";
    write(root, &format!("{apis}/toyfile/sdk/sdk.go"), sdk);
    let plugin = serde_json::json!({
        "resource": true, "name": "toyfile", "version": "1.0.0", "server": server,
    });
    let file = format!("{apis}/toyfile/sdk/pulumi-plugin.json");
    write(root, &file, &plugin.to_string());
    let (program, main) = (place("toyfile", "file"), include_str!("program.go"));
    write(root, &format!("{program}/main.go"), main);
    let project = "name: toyfile\nruntime: go\n";
    write(root, &format!("{program}/Pulumi.yaml"), project);
    let (program, main) = (place("toyfile", "server"), include_str!("server.go"));
    let mark = std::str::from_utf8(SERVER).unwrap();
    let main = format!("{main}\nfunc init() {{ os.Setenv(\"TOYFILE\", {mark:?}) }}\n");
    write(root, &format!("{program}/main.go"), &main);
}

/// The description of the image, with plugins or without, and all that it names, in a folder of its own. Executables are
/// entries of the build cache, as they are in no other image here.
fn description(root: &Utf8Path, bake: bool) -> Utf8PathBuf {
    let ours = workspace().join("base-images/iac-runner");
    let sh = shell();
    fs_err::create_dir_all(root).unwrap();
    succeed(cmd!(sh, "cp -r {ours}/tools {root}"));
    let mut text = fs_err::read_to_string(ours.join("image.toml")).unwrap();
    for (from, to) in [
        ("bake = false", format!("bake = {bake}")),
        (
            "executables = \"packed\"",
            "executables = \"raw\"".to_owned(),
        ),
    ] {
        assert!(text.contains(from));
        text = text.replace(from, &to);
    }
    write(root, "image.toml", &text);
    root.join("image.toml")
}

/// The program `server` as the pack in `layout` has it, among the entries of its executables.
fn executable(layout: &Utf8Path) -> Vec<u8> {
    let packs = Layout::at(layout).packs();
    let toyfile = packs
        .iter()
        .find(|pack| pack.name.starts_with("toyfile-"))
        .unwrap();
    for layer in toyfile.layers.as_array().unwrap() {
        let is_tar = layer["mediaType"].as_str().unwrap().contains("tar");
        let digest = layer["digest"].as_str().unwrap().replace("sha256:", "");
        if !is_tar {
            continue;
        }
        let blob = fs_err::File::open(layout.join("blobs/sha256").join(digest)).unwrap();
        let mut decoder = zstd::Decoder::new(blob).unwrap();
        decoder.window_log_max(31).unwrap();
        for entry in tar::Archive::new(decoder).entries().unwrap() {
            let mut content = Vec::new();
            entry.unwrap().read_to_end(&mut content).unwrap();
            let is_server = content.windows(SERVER.len()).any(|it| it == SERVER);
            if content.starts_with(b"\x7fELF") && is_server {
                return content;
            }
        }
    }
    panic!("the pack has no program that holds {SERVER:?}");
}

/// Serves `archive` as that of the plugin for this machine, and nothing else.
fn serve(listener: TcpListener, archive: Arc<Vec<u8>>) {
    let arch = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let path = format!("GET /{ARCHIVE}{arch}.tar.gz ");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let is_there = request[..length].starts_with(path.as_bytes());
            let (status, body) = if is_there {
                ("200 OK", &archive[..])
            } else {
                ("404 Not Found", &[][..])
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _written = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
}

fn tar_gz(program: &[u8]) -> Vec<u8> {
    let zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(zipped);
    for (name, content) in [
        ("LICENSE", &b"text"[..]),
        ("pulumi-resource-toyfile", program),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// The image of `toyfile` with its plugin, in `out`; and what was fetched is in the lock beside `image`.
fn build(sh: &Shell, root: &Utf8Path, out: &Utf8Path) -> Utf8PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let sources = root.join("source");
    fs_err::create_dir_all(&sources).unwrap();
    source(&sources, &server);
    let image = description(&root.join("with"), true);
    let flags = ["--provider", "toyfile", "--source", sources.as_str()];
    let with = ["--image", image.as_str()];
    let build = || {
        cmd!(
            sh,
            "cargo xtask base-image {flags...} {with...} --compression gzip --out {out}"
        )
    };

    let said = fail(build(), 2);
    for sign in [
        "plugins.lock does not have for linux/",
        "toyfile 1.0.0",
        "cargo xtask plugins --lock --provider toyfile",
    ] {
        assert!(said.contains(sign), "{said}");
    }
    // Without plugins, which have no part in the caches.
    let without = description(&root.join("without"), false);
    let warm = cmd!(
        sh,
        "cargo xtask warm {flags...} --image {without} --out {root}/pack"
    );
    succeed(warm);
    let archive = Arc::new(tar_gz(&executable(&root.join("pack"))));
    serve(listener, archive);

    let said = fail(
        cmd!(sh, "cargo xtask plugins --lock {flags...} {with...}"),
        1,
    );
    let other = if cfg!(target_arch = "x86_64") {
        "arm64"
    } else {
        "amd64"
    };
    let refused = format!("the plugin toyfile 1.0.0 for linux/{other}: failed to fetch");
    assert!(said.contains(&refused), "{said}");
    let lock = fs_err::read_to_string(image.with_file_name("plugins.lock")).unwrap();
    assert_eq!(lock.matches("\ntoyfile 1.0.0 linux/").count(), 1, "{lock}");

    let listed = succeed(cmd!(sh, "cargo xtask plugins --json {flags...} {with...}"));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["not_locked"], serde_json::json!([]));
    for program in listed["programs"].as_array().unwrap() {
        assert_eq!(program["plugins"][0]["version"], "1.0.0", "{listed}");
    }
    succeed(build());
    sources
}

/// Makes the resource and destroys it, by hand.
const BY_HAND: &str = r#"
    mkdir /tmp/state /tmp/project && cd /tmp/project
    printf 'name: toyfile\nruntime: go\nmain: /elsewhere/apis/provider/toyfile/file/v1/iac/pulumi\n' > Pulumi.yaml
    export PULUMI_CONFIG_PASSPHRASE=secret PULUMI_BACKEND_URL=file:///tmp/state
    pulumi stack init dev > /dev/null
    pulumi up --yes --skip-preview --non-interactive > /tmp/up 2>&1 || cat /tmp/up
    cat /tmp/toyfile.txt && echo
    pulumi stack export | grep -o '"type": "toyfile:index:File"'
    pulumi plugin ls | grep -o 'toyfile *resource *1.0.0'
    pulumi destroy --yes --skip-preview --non-interactive > /tmp/destroy 2>&1 || cat /tmp/destroy
    test -e /tmp/toyfile.txt || echo destroyed
    pulumi stack export | grep -c '"type": "toyfile:index:File"' || true
"#;

#[test]
fn a_plugin_of_the_lock_makes_resources_without_a_network() {
    let sh = shell();
    let ((_folder, root), out) = (folder(), workspace().join("target/end-to-end/plugins"));
    let source = build(&sh, &root, &out);
    let layout = Layout::below(&out);
    let named = |name: &str| {
        let history = layout.image(name).config["history"].clone();
        let history = history.as_array().unwrap().iter();
        history
            .filter(|it| it["created_by"] == "plugin toyfile 1.0.0")
            .count()
    };
    assert_eq!(
        ["latest", "latest-toyfile", "latest-tools"].map(named),
        [1, 1, 0]
    );
    let fetches = |name: &str| {
        let env = layout.image(name).config["config"]["Env"].clone();
        let env = env.as_array().unwrap().clone();
        !env.contains(&"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true".into())
    };
    assert_eq!(
        ["latest-toyfile-nonroot", "latest-tools"].map(fetches),
        [false, true]
    );
    let report: Value =
        serde_json::from_slice(&fs_err::read(out.join("report.json")).unwrap()).unwrap();
    let preview = &report["modules"][0]["phases"]["preview"];
    assert_eq!(preview["not_run"], Value::Null, "{preview}");
    assert_eq!(preview["network_attempts"], 0, "{preview}");

    let place = workspace().join("target/end-to-end/plugins-unpacked");
    let unpacked = unpack(&out, "latest-toyfile", &place);
    check_executables_that_are_entries(&layout, &unpacked);
    let container = |name: &str, user: (u32, u32), script: &str| {
        let image = layout.image(name);
        let container = Container {
            root: &unpacked,
            image: &image,
            source: &source,
            user,
            flags: &[],
        };
        container.run(script)
    };
    let run = "verifier run --source /elsewhere --module toyfile/file --phase up --json -";
    let report = container("latest-toyfile-nonroot", (65532, 65532), run);
    let report: Value = serde_json::from_str(&report).unwrap();
    let up = &report["modules"][0]["phases"]["up"];
    assert_eq!(up["wall_ms"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(up["network_attempts"], 0, "{up}");

    for (variant, user) in [
        ("latest-toyfile-nonroot", (65532, 65532)),
        ("latest-toyfile-nonroot", (1_000_710_000, 0)),
        ("latest-toyfile", (0, 0)),
    ] {
        let said = container(variant, user, BY_HAND);
        let said: Vec<&str> = said.lines().collect();
        let expected = [
            "made",
            "\"type\": \"toyfile:index:File\"",
            "toyfile  resource  1.0.0",
            "destroyed",
            "0",
        ];
        assert_eq!(said, expected, "{user:?}");
    }
}

/// A program is the file that the build cache has, and images without Go are made of blobs that the others have.
fn check_executables_that_are_entries(layout: &Layout, unpacked: &Utf8Path) {
    let program = "opt/iac-runner/programs/toyfile/server/server";
    let file = unpacked.join(program);
    let (sha256, _) = gocache::hash_file(&file).unwrap();
    let sha256 = sha256.to_string();
    let entry = format!("var/cache/go-build/{}/{sha256}-d", &sha256[..2]);
    let inode = |file: &Utf8Path| fs_err::metadata(file).unwrap().ino();
    assert_eq!(inode(&file), inode(&unpacked.join(entry)));
    let layers = |name: &str| {
        let layers = layout.image(name).manifest["layers"].clone();
        layers.as_array().unwrap().clone()
    };
    let all = layers("latest-toyfile");
    let run = layers("latest-run-toyfile");
    // The base system, Pulumi, the programs, the plugin.
    assert_eq!(run.len(), 4);
    assert!(run.iter().all(|layer| all.contains(layer)));
}
