//! Whose signatures are believed, and whether an image has one that fits.

use std::fmt;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use dsse::{PublicKey, Statement};
use failure::{corrupt, usage};
use oci::referrer::Referrers;
use oci_spec::image::Descriptor;

use super::SIGNATURE;
use super::cosign::{self, Policy};
use super::said::{Said, Signed};

/// More bytes than a public key or a policy has.
const MAX_BYTES: u64 = 1 << 16;
/// Longest name of what a statement says that is looked at.
const MAX_TYPE_BYTES: usize = 1 << 10;

/// Whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever has the private half of a key.
    Key(PublicKey, Utf8PathBuf),
    /// Whom a certificate was issued to.
    Identity(Policy, Utf8PathBuf),
}

impl Trust {
    /// Whoever has the private half of the key in `file`.
    pub fn key(file: &Utf8Path) -> Result<Self> {
        let key = PublicKey::parse(&read(file)?).map_err(|error| {
            usage(
                format!("{file}: {error}"),
                "name the public half of the key that signed",
            )
        })?;
        Ok(Self::Key(key, file.to_owned()))
    }

    /// Whom the policy in `file` names.
    pub fn identity(file: &Utf8Path) -> Result<Self> {
        let hint =
            "it has `issuer`, and `subject` or `subject_regexp`, as the image's README shows";
        let text = String::from_utf8(read(file)?);
        let policy: Result<Policy, String> = text
            .map_err(|error| error.to_string())
            .and_then(|text| toml::from_str(&text).map_err(|error| error.to_string()));
        let mut policy =
            policy.map_err(|error| usage(format!("{file} is no policy: {error}"), hint))?;
        if policy.subject.is_some() == policy.subject_regexp.is_some() {
            return Err(usage(format!("{file} does not name one subject"), hint));
        }
        if let (Some(root), Some(folder)) = (&mut policy.trusted_root, file.parent()) {
            *root = folder.join(&root).into_string();
        }
        cosign::require()?;
        Ok(Self::Identity(policy, file.to_owned()))
    }

    /// Fails unless `image`, called `name`, has a signature that fits, and no statement beside it that has none.
    ///
    /// # Errors
    /// They say of which image, and what lies beside it.
    pub fn check(&self, place: &dyn Referrers, name: &str, image: &Descriptor) -> Result<()> {
        let digest = image.digest();
        let said = Said::of(place, image);
        let said =
            said.with_context(|| format!("failed to read what is said of {name} ({digest})"))?;
        let mut unfit = Vec::new();
        let mut signed = Vec::new();
        for bundle in &said.bundles {
            match self.statement(bundle, digest.digest())? {
                Err(reason) => unfit.push(format!("{}: {reason}", bundle.digest)),
                Ok(statement) if statement.is_of(digest.digest()) => signed.push(statement),
                Ok(statement) => {
                    let of: Vec<_> = statement
                        .subjects
                        .iter()
                        .take(3)
                        .map(|it| format!("sha256:{it}"))
                        .collect();
                    return Err(corrupt(
                        format!(
                            "{} beside {name} ({digest}) is signed with {self}, and is of {}",
                            bundle.digest,
                            of.join(" and ")
                        ),
                        "delete it there: it says nothing of this image",
                    ));
                }
            }
        }
        if !signed.iter().any(|it| it.predicate_type == SIGNATURE) {
            let found = match unfit.as_slice() {
                [] => "there is no signature of it".to_owned(),
                unfit => format!("signatures beside it do not fit:\n{}", unfit.join("\n")),
            };
            return Err(corrupt(
                format!("{name} ({digest}) is not signed with {self}: {found}"),
                "do not use it unless you know why; `cargo xtask push --sign-key` signs what is pushed",
            ));
        }
        for plain in &said.statements {
            if !signed.iter().any(|it| it.bytes == plain.bytes) {
                let what = Statement::parse(&plain.bytes).map(|it| it.predicate_type);
                return Err(corrupt(
                    format!(
                        "the statement {} ({}) beside {name} ({digest}) is not signed with {self}",
                        plain.digest,
                        what.as_deref().unwrap_or("of no type")
                    ),
                    "do not believe it; delete it there, or sign it with `cargo xtask push --sign-key`",
                ));
            }
        }
        Ok(())
    }

    /// The statement in `bundle`, if it is signed by whom this is; why not.
    fn statement(&self, bundle: &Signed, sha256: &str) -> Result<Result<Statement, String>> {
        let read = match (&bundle.bundle, self) {
            (Err(error), _) => Err(error.clone()),
            (Ok(bundle), Self::Key(key, _)) => bundle.statement(key),
            (Ok(bundle), Self::Identity(..)) => bundle.unchecked(),
        };
        Ok(match (read, self) {
            // cosign is asked for it by name, as an argument.
            (Ok(statement), Self::Identity(..))
                if statement.predicate_type.len() > MAX_TYPE_BYTES
                    || statement.predicate_type.contains('\0') =>
            {
                Err("its type is none that anybody signs".to_owned())
            }
            (Ok(statement), Self::Identity(policy, _)) => {
                // Of another image it is refused all the same, by whoever it was signed.
                let of = statement.subjects.iter().find(|it| *it == sha256);
                let of = of
                    .or(statement.subjects.first())
                    .map_or(sha256, String::as_str);
                cosign::verify(policy, &bundle.file, &statement, of)?.map(|()| statement)
            }
            (read, _) => read.map_err(|error| error.to_string()),
        })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_, file) => write!(f, "the key {file}"),
            Self::Identity(_, file) => write!(f, "an identity of {file}"),
        }
    }
}

fn read(file: &Utf8Path) -> Result<Vec<u8>> {
    let content = fs_err::canonicalize(file).and_then(|file| regular_file::read(&file, MAX_BYTES));
    content.map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::NotFound => {
            usage(error.to_string(), "name a public key, or a policy")
        }
        _ => error.into(),
    })
}
