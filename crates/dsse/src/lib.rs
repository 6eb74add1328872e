//! In-toto statements that somebody signed: a DSSE envelope in a bundle of Sigstore, as cosign writes it.
//!
//! What is signed is the statement's bytes together with their type, so one byte more or less is another statement, and
//! a statement says by itself of which artifacts it is. A bundle tells nothing before its signature was checked: all
//! that it says of its own key is ignored. Here that is done with a key of ECDSA over P-256, which is what cosign makes;
//! whom a certificate was issued to is for cosign to check.

#![warn(missing_docs)]

#[cfg(any(test, feature = "signing"))]
pub mod signing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Kind;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;

/// Media type of a bundle.
pub const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Media type of a statement, and the type of what is in the envelopes that are read here.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// What bundles of any version have as their media type, up to a version.
const ANY_BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What statements of any version have as their type, up to a version.
const ANY_STATEMENT: &str = "https://in-toto.io/Statement/";
/// How the one encoding of a public key of ECDSA over P-256 begins; its point follows.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT_BYTES: usize = 65;

/// Why something is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file that should be a public key.
    #[error(
        "it is no public key of ECDSA over P-256 in PEM, as `cosign generate-key-pair` writes one"
    )]
    NoKey,
    /// What should be a bundle.
    #[error("it is no bundle with a DSSE envelope of an in-toto statement: {0}")]
    NoBundle(String),
    /// What is in the envelope.
    #[error("what is signed is no in-toto statement: {0}")]
    NoStatement(String),
    /// The signature.
    #[error("its signature was made with another key, or of something else")]
    Unfit,
}

impl Error {
    /// Which kind of failure it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoKey => Kind::Usage,
            _ => Kind::Corrupt,
        }
    }
}

/// Whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads it from PEM.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| Error::NoKey)?;
        match key.strip_prefix(&P256) {
            Some(point) if point.len() == POINT_BYTES => Ok(Self(point.to_vec())),
            _ => Err(Error::NoKey),
        }
    }
}

/// A bundle, of which nothing was checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// An in-toto statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it says, as one URI.
    pub predicate_type: String,
    /// SHA-256 of the artifacts that it is of, in hex.
    pub subjects: Vec<String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Bundle {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::NoBundle`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Whole {
            media_type: String,
            dsse_envelope: Envelope,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope {
            payload: String,
            payload_type: String,
            signatures: [Signature; 1],
        }
        #[derive(Deserialize)]
        struct Signature {
            sig: String,
        }

        let bad = |reason: &dyn std::fmt::Display| Error::NoBundle(reason.to_string());
        let whole: Whole = serde_json::from_slice(json).map_err(|error| bad(&error))?;
        let Envelope {
            payload,
            payload_type,
            signatures: [signature],
        } = whole.dsse_envelope;
        if !whole.media_type.starts_with(ANY_BUNDLE) {
            return Err(bad(&format_args!("its type is {:?}", whole.media_type)));
        }
        if payload_type != STATEMENT_TYPE {
            return Err(bad(&format_args!("what is in it is {payload_type:?}")));
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|error| bad(&error));
        Ok(Self {
            payload: decode(&payload)?,
            signature: decode(&signature.sig)?,
        })
    }

    /// The statement, if it was signed with the private half of `key`.
    ///
    /// # Errors
    /// [`Error::Unfit`], or [`Error::NoStatement`].
    pub fn statement(&self, key: &PublicKey) -> Result<Statement, Error> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.0)
            .verify(&signed(&self.payload), &self.signature)
            .map_err(|_| Error::Unfit)?;
        Statement::parse(&self.payload)
    }

    /// The statement, whoever signed it.
    ///
    /// # Errors
    /// [`Error::NoStatement`].
    pub fn unchecked(&self) -> Result<Statement, Error> {
        Statement::parse(&self.payload)
    }
}

impl Statement {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::NoStatement`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Whole {
            #[serde(rename = "_type")]
            kind: String,
            subject: Vec<Subject>,
            predicate_type: String,
        }
        #[derive(Deserialize)]
        struct Subject {
            digest: Digests,
        }
        #[derive(Deserialize)]
        struct Digests {
            sha256: String,
        }

        let bad = |reason: &dyn std::fmt::Display| Error::NoStatement(reason.to_string());
        let whole: Whole = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
        if !whole.kind.starts_with(ANY_STATEMENT) {
            return Err(bad(&format_args!("its type is {:?}", whole.kind)));
        }
        Ok(Self {
            predicate_type: whole.predicate_type,
            subjects: whole
                .subject
                .into_iter()
                .map(|subject| subject.digest.sha256)
                .collect(),
            bytes: bytes.to_vec(),
        })
    }

    /// Whether it is of the artifact with this SHA-256.
    pub fn is_of(&self, sha256: &str) -> bool {
        self.subjects.iter().any(|subject| subject == sha256)
    }
}

/// What a signature of `payload` is over: DSSE's encoding of the type and the bytes, each with its length.
fn signed(payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {STATEMENT_TYPE} {} ",
        STATEMENT_TYPE.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::signing::Key;
    use super::*;
    use proptest::prelude::*;

    /// Made by cosign v3.1.3: `attest-blob` with a key of `generate-key-pair`.
    const KEY: &[u8] = include_bytes!("../tests/fixtures/cosign.pub");
    const BUNDLE: &[u8] = include_bytes!("../tests/fixtures/bundle.json");
    const STATEMENT: &[u8] = include_bytes!("../tests/fixtures/statement.json");

    #[test]
    fn what_cosign_signed_is_read_and_fits_its_key_alone() {
        let bundle = Bundle::parse(BUNDLE).unwrap();
        let key = PublicKey::parse(KEY).unwrap();
        let statement = bundle.statement(&key).unwrap();
        assert_eq!(statement.bytes, STATEMENT);
        assert_eq!(
            statement.predicate_type,
            "https://sigstore.dev/cosign/sign/v1"
        );
        assert!(statement.is_of(&"a".repeat(64)) && statement.is_of(&"b".repeat(64)));
        assert!(!statement.is_of(&"c".repeat(64)));
        let other = Key::generate().public();
        assert_eq!(bundle.statement(&other), Err(Error::Unfit));
    }

    #[test]
    fn what_is_signed_here_is_as_cosign_signs_it() {
        let key = Key::generate();
        let bundle = Bundle::parse(&key.bundle(STATEMENT)).unwrap();
        let public = PublicKey::parse(key.public_pem().as_bytes()).unwrap();
        assert_eq!(bundle.statement(&public).unwrap().bytes, STATEMENT);
        assert_eq!(
            bundle.statement(&PublicKey::parse(KEY).unwrap()),
            Err(Error::Unfit)
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let pem = String::from_utf8(KEY.to_vec()).unwrap();
        let ed25519 = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        for other in [
            "",
            "cosign.pub",
            ed25519,
            &pem.replace("PUBLIC KEY", "PRIVATE KEY"),
            &pem.replace("MFkw", "MFkx"),
        ] {
            assert_eq!(
                PublicKey::parse(other.as_bytes()),
                Err(Error::NoKey),
                "{other}"
            );
        }
    }

    #[test]
    fn what_is_no_bundle_of_a_statement_is_refused() {
        let bundle = String::from_utf8(BUNDLE.to_vec()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&bundle).unwrap();
        let mut two = json.clone();
        let signatures = two["dsseEnvelope"]["signatures"].as_array_mut().unwrap();
        signatures.push(signatures[0].clone());
        let mut none = json;
        none["dsseEnvelope"]["signatures"] = serde_json::json!([]);
        for other in [
            "{}",
            &two.to_string(),
            &none.to_string(),
            &bundle.replace("vnd.in-toto", "vnd.other"),
            &bundle.replace("dev.sigstore", "dev.other"),
            &bundle.replace("\"sig\":\"", "\"sig\":\"!"),
        ] {
            let refused = Bundle::parse(other.as_bytes()).unwrap_err();
            assert!(matches!(refused, Error::NoBundle(_)), "{other}");
            assert_eq!(refused.kind(), Kind::Corrupt);
        }
        let key = Key::generate();
        for other in [
            "{}",
            "\"statement\"",
            r#"{"_type":"x","subject":[],"predicateType":"y"}"#,
        ] {
            let signed = Bundle::parse(&key.bundle(other.as_bytes())).unwrap();
            let refused = signed.statement(&key.public()).unwrap_err();
            assert!(matches!(refused, Error::NoStatement(_)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_never_believed(at in 0..BUNDLE.len(), bit in 0..8u8) {
            let mut flipped = BUNDLE.to_vec();
            flipped[at] ^= 1 << bit;
            let key = PublicKey::parse(KEY).unwrap();
            if let Ok(statement) = Bundle::parse(&flipped).and_then(|it| it.statement(&key)) {
                // What the bundle says of its key is not signed, nor does it matter.
                prop_assert_eq!(statement.bytes, STATEMENT);
            }
        }
    }
}
