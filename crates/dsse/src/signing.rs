//! Bundles as cosign writes them, for tests of those who read them: signing is cosign's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::{BUNDLE_TYPE, P256, PublicKey, STATEMENT_TYPE, signed};

/// A private key that is nowhere else.
pub struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    /// Makes one.
    pub fn generate() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
        let made = made.expect("this machine has random numbers");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random);
        Self {
            pair: pair.expect("it was made just now"),
            random,
        }
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.pair.public_key().as_ref().to_vec())
    }

    /// The same in PEM.
    pub fn public_pem(&self) -> String {
        let der = [&P256[..], self.pair.public_key().as_ref()].concat();
        let text = STANDARD.encode(der);
        let (first, second) = text.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }

    /// A bundle with this statement.
    pub fn bundle(&self, statement: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&self.random, &signed(statement));
        let signature = signature.expect("this machine has random numbers");
        serde_json::json!({
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": "a test"}},
            "dsseEnvelope": {
                "payload": STANDARD.encode(statement),
                "payloadType": STATEMENT_TYPE,
                "signatures": [{"sig": STANDARD.encode(signature.as_ref())}],
            },
        })
        .to_string()
        .into_bytes()
    }
}
