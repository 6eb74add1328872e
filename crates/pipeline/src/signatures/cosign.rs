//! The program that signs, and that checks whom a certificate was issued to.
//!
//! With a key nothing leaves this machine: no transparency log is written to, and nothing is asked of Sigstore's
//! servers. Without one cosign signs for the identity that the service it runs on vouches for, and writes that to the
//! public log.

use anyhow::Result;
use camino::Utf8Path;
use dsse::{Bundle, PublicKey, Statement};
use engine::{excerpt::excerpt, host};
use failure::{corrupt, failed, usage};
use serde::Deserialize;
use xshell::{Shell, cmd};

/// The program.
const COSIGN: &str = "cosign";
/// What installs it, where Go is.
pub const INSTALL: &str = "go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3";
/// Sigstore's services that are used with a key: none.
const NO_SERVICES: &str = r#"{
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "rekorTlogConfig": {}, "tsaConfig": {}
}"#;
/// Whose word is taken for them.
const NO_ROOT: &str =
    r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

/// With what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// A key: a file, or what else cosign takes for one, such as the URI of a service that keeps it.
    Key(String),
    /// The identity of whom this runs for.
    Identity,
}

/// Whose signatures are believed, where certificates tell who signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Who vouched for the identity.
    pub issuer: String,
    /// The identity.
    #[serde(default)]
    pub subject: Option<String>,
    /// A regular expression for the whole of it.
    #[serde(default)]
    pub subject_regexp: Option<String>,
    /// A file with the root certificates and logs of another Sigstore than the public one.
    #[serde(default)]
    pub trusted_root: Option<String>,
}

/// Fails unless the program is there.
pub fn require() -> Result<()> {
    if host::find(COSIGN).is_some() {
        return Ok(());
    }
    Err(usage(
        format!("{COSIGN} is missing on this machine"),
        format!("install it with: {INSTALL}"),
    ))
}

/// The public half of `key`.
pub fn public_key(key: &str) -> Result<PublicKey> {
    require()?;
    let sh = Shell::new()?;
    let pem = run(
        &format!("read the key {key}"),
        cmd!(sh, "{COSIGN} public-key --key {key}"),
    )?;
    PublicKey::parse(pem.as_bytes()).map_err(|error| {
        usage(
            format!("the public half of {key}: {error}"),
            "sign with such a key",
        )
    })
}

/// Signs `statement`; the bundle with it. `folder` is for this alone.
pub fn attest(signer: &Signer, statement: &[u8], folder: &Utf8Path) -> Result<Vec<u8>> {
    let (from, to) = (folder.join("statement.json"), folder.join("bundle.json"));
    let (services, root) = (folder.join("services.json"), folder.join("root.json"));
    fs_err::write(&from, statement)?;
    let mut with = Vec::new();
    if let Signer::Key(key) = signer {
        fs_err::write(&services, NO_SERVICES)?;
        fs_err::write(&root, NO_ROOT)?;
        with.extend(["--key", key, "--signing-config", services.as_str()]);
        with.extend(["--trusted-root", root.as_str()]);
    }
    let sh = Shell::new()?;
    let attest = cmd!(
        sh,
        "{COSIGN} attest-blob --yes {with...} --statement {from} --bundle {to}"
    );
    run("sign", attest)?;
    let bundle = regular_file::read(
        &to,
        oci::blob::MAX_DOCUMENT_BYTES.max(2 * statement.len() as u64),
    )?;
    // Whatever it signed, it was told to sign this.
    let said = Bundle::parse(&bundle).and_then(|bundle| bundle.unchecked());
    match said {
        Ok(said) if said.bytes == statement => Ok(bundle),
        Ok(_) => Err(corrupt(
            "cosign signed another statement than it was given",
            "install it anew",
        )),
        Err(error) => Err(corrupt(
            format!("what cosign wrote: {error}"),
            format!("install it with: {INSTALL}"),
        )),
    }
}

/// Whether the bundle in `file`, in which `statement` is, was signed by whom `policy` names; why not.
pub fn verify(
    policy: &Policy,
    file: &Utf8Path,
    statement: &Statement,
    sha256: &str,
) -> Result<Result<(), String>> {
    require()?;
    let arguments = arguments(policy, file, statement, sha256);
    let sh = Shell::new()?;
    let done = host::output(cmd!(sh, "{COSIGN} verify-blob-attestation {arguments...}"))?;
    Ok(if done.status.success() {
        Ok(())
    } else {
        Err(excerpt(&String::from_utf8_lossy(&done.stderr)))
    })
}

/// What cosign is told to check: who signed, for whom, and what.
fn arguments(policy: &Policy, file: &Utf8Path, statement: &Statement, sha256: &str) -> Vec<String> {
    let mut all = vec![("--certificate-oidc-issuer", policy.issuer.clone())];
    all.extend(
        policy
            .subject
            .clone()
            .map(|subject| ("--certificate-identity", subject)),
    );
    // Cosign takes an expression that fits a part of it.
    let regexp = policy.subject_regexp.iter();
    all.extend(regexp.map(|it| ("--certificate-identity-regexp", format!("^(?:{it})$"))));
    all.extend(
        policy
            .trusted_root
            .clone()
            .map(|root| ("--trusted-root", root)),
    );
    all.extend([
        ("--bundle", file.to_string()),
        ("--type", statement.predicate_type.clone()),
        ("--digest", sha256.to_owned()),
        ("--digestAlg", "sha256".to_owned()),
    ]);
    all.into_iter()
        .map(|(flag, value)| format!("{flag}={value}"))
        .collect()
}

/// Runs cosign to `what`; its standard output.
fn run(what: &str, command: xshell::Cmd<'_>) -> Result<String> {
    let done = host::output(command)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(failed(
        format!(
            "cosign could not {what}:\n{}",
            excerpt(&String::from_utf8_lossy(&done.stderr))
        ),
        format!(
            "the variable COSIGN_PASSWORD has the key's password; flags are those of: {INSTALL}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_checked_as_a_whole_with_issuer_type_and_digest() {
        let statement = br#"{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"urn:type"}"#;
        let statement = Statement::parse(statement).unwrap();
        let mut policy = Policy {
            issuer: "https://issuer.test".to_owned(),
            subject: Some("me".to_owned()),
            subject_regexp: None,
            trusted_root: None,
        };
        let told = arguments(&policy, "bundle.json".into(), &statement, "aa");
        assert_eq!(
            told,
            [
                "--certificate-oidc-issuer=https://issuer.test",
                "--certificate-identity=me",
                "--bundle=bundle.json",
                "--type=urn:type",
                "--digest=aa",
                "--digestAlg=sha256",
            ]
        );
        (policy.subject, policy.subject_regexp) = (None, Some("a|b".to_owned()));
        policy.trusted_root = Some("root.json".to_owned());
        let told = arguments(&policy, "bundle.json".into(), &statement, "aa");
        assert_eq!(
            told[1..3],
            [
                "--certificate-identity-regexp=^(?:a|b)$",
                "--trusted-root=root.json"
            ]
        );
    }
}
