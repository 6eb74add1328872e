//! A stand-in of cosign, which takes minutes to compile: it signs with openssl what it is told to, in the same form. That
//! it is the same form is held by a bundle of cosign's own among the tests of the crate that reads them, and by a test
//! that runs where cosign is installed.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Shell, cmd};

use super::run::succeed;

/// What a signature says of its image.
pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Where an image came from.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What is in an image.
pub const SPDX: &str = "https://spdx.dev/Document";

/// The script. Without a key it makes up a signature.
pub const STAND_IN: &str = r#"#!/bin/sh -e
command=$1
while [ $# -gt 0 ]; do
    case $1 in
        --key) key=$2 ;;
        --statement) statement=$2 ;;
        --bundle) bundle=$2 ;;
    esac
    shift
done
case $command in
    generate-key-pair)
        openssl ecparam -genkey -name prime256v1 -noout -out cosign.key
        openssl ec -in cosign.key -pubout -out cosign.pub ;;
    public-key) openssl ec -in "$key" -pubout ;;
    attest-blob)
        type=application/vnd.in-toto+json
        sign() { if [ -n "$key" ]; then openssl dgst -sha256 -sign "$key"; else cat > /dev/null; fi; }
        signature=$({ printf 'DSSEv1 %d %s %d ' ${#type} $type $(wc -c < "$statement"); cat "$statement"; } \
            | sign | base64 -w0)
        printf '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payload":"%s",
            "payloadType":"%s","signatures":[{"sig":"%s"}]}}' "$(base64 -w0 "$statement")" $type "$signature" \
            > "$bundle" ;;
    *) exit 2 ;;
esac
"#;

/// Puts the stand-in before all other programs of the shell, in `folder`.
pub fn stand_in(sh: &Shell, folder: &Utf8Path) {
    let (bin, path) = (folder.join("bin"), std::env::var("PATH").unwrap());
    fs_err::create_dir(&bin).unwrap();
    let file = bin.join("cosign");
    fs_err::write(&file, STAND_IN).unwrap();
    fs_err::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    sh.set_var("PATH", format!("{bin}:{path}"));
}

/// A new key in a folder below `folder`: the private half, and the public one.
pub fn key(sh: &Shell, folder: &Utf8Path, name: &str) -> [Utf8PathBuf; 2] {
    let folder = folder.join(name);
    fs_err::create_dir(&folder).unwrap();
    sh.set_var("COSIGN_PASSWORD", "a password");
    let _folder = sh.push_dir(&folder);
    succeed(cmd!(sh, "cosign generate-key-pair"));
    ["cosign.key", "cosign.pub"].map(|name| folder.join(name))
}

/// What is signed of an image in a registry without a list of referrers: the types, sorted, each once.
pub fn signed(sh: &Shell, image: &str) -> Vec<String> {
    let (repository, _) = image.rsplit_once(':').unwrap();
    let inspect = |name: &str| {
        let flags = ["--raw", "--tls-verify=false"];
        succeed(cmd!(sh, "skopeo inspect {flags...} docker://{name}"))
    };
    let digest = gocache::Sha256Hash::of(inspect(image).as_bytes());
    let listed: Value =
        serde_json::from_str(&inspect(&format!("{repository}:sha256-{digest}"))).unwrap();
    let all = listed["manifests"].as_array().unwrap().iter();
    let types =
        all.filter_map(|it| it["annotations"]["dev.sigstore.bundle.predicateType"].as_str());
    let types: BTreeSet<String> = types.map(str::to_owned).collect();
    types.into_iter().collect()
}
