//! Credentials for a registry, from Docker's own configuration.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use docker_credential::{CredentialRetrievalError, DockerCredential};

/// What Docker's configuration calls Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A user of a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The credentials for `registry` in Docker's configuration; none is no error.
pub fn credentials(registry: &str) -> Result<Option<Credentials>> {
    let folder = std::env::var("DOCKER_CONFIG")
        .map(Utf8PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| Utf8Path::new(&home).join(".docker")));
    let Ok(file) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(None);
    };
    if !file.is_file() {
        return Ok(None);
    }
    read(&file, registry)
}

fn read(file: &Utf8Path, registry: &str) -> Result<Option<Credentials>> {
    let server = if registry == "docker.io" {
        DOCKER_HUB
    } else {
        registry
    };
    let config = fs_err::File::open(file)?;
    match docker_credential::get_credential_from_reader(config, server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credentials { user, password }))
        }
        Ok(DockerCredential::IdentityToken(_)) => bail!(
            "{file} holds an identity token for {registry}, which cannot be used here; log in with a user name and a \
             password or access token: `docker logout {registry}`, then `docker login {registry}`"
        ),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // How every credential helper says that it has none.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(error) => Err(error)
            .with_context(|| format!("failed to take credentials for {registry} from {file}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_the_registry_that_was_logged_in_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("config.json")).unwrap();
        // `runner:pulumi`.
        let auths = r#"{"auths": {"127.0.0.1:5000": {"auth": "cnVubmVyOnB1bHVtaQ=="},
            "https://index.docker.io/v1/": {"auth": "cnVubmVyOnB1bHVtaQ=="}}}"#;
        fs_err::write(&file, auths).unwrap();
        for (registry, there) in [
            ("127.0.0.1:5000", true),
            ("docker.io", true),
            ("127.0.0.1:5001", false),
            ("127.0.0.1", false),
            ("registry.example", false),
        ] {
            let found = read(&file, registry).unwrap();
            assert_eq!(found.is_some(), there, "{registry}");
            let shown = format!("{found:?}");
            assert!(!shown.contains("pulumi"), "{shown}");
        }
    }
}
