//! Who builds an image, and from which commits; what is not known is left out, and never guessed.

use anyhow::Result;
use camino::Utf8Path;
use sha256::Sha256Hash;
use url::Url;
use xshell::{Shell, cmd};

use crate::image_toml::ImageToml;
use engine::host;

/// Who builds where no service says that it does.
const LOCAL: &str = "urn:iac-runner:local";

/// A checkout of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// What it is the source of.
    pub of: &'static str,
    /// Its `origin`, without anybody's name and password; none where it has none.
    pub repository: Option<String>,
    /// The commit that is checked out.
    pub id: String,
    /// Whether files that git knows, or should, differ from it.
    pub is_changed: bool,
}

/// Who builds an image, and from what.
#[derive(Debug, Clone)]
pub struct Origin {
    /// SHA-256 of the file that describes the image.
    pub image_toml: Sha256Hash,
    /// This project's, and the source's where that is another.
    pub commits: Vec<Commit>,
    /// A URI of the builder.
    pub builder: String,
    /// A URI of the run.
    pub run: Option<String>,
}

impl Origin {
    /// Of an image that is described in `image_toml`, from `source` where one is known.
    pub fn find(image_toml: &Utf8Path, source: Option<&Utf8Path>) -> Result<Self> {
        let project = commit("project", &crate::workspace::workspace())?;
        let source = source.map(|source| commit("source", source)).transpose()?;
        let mut commits: Vec<Commit> = project.into_iter().collect();
        commits.extend(source.flatten().filter(|source| {
            let is_same =
                |known: &Commit| (&known.repository, &known.id) == (&source.repository, &source.id);
            !commits.iter().any(is_same)
        }));
        let (builder, run) = builder(|name| std::env::var(name).ok());
        Ok(Self {
            image_toml: Sha256Hash::of(ImageToml::text(image_toml)?.as_bytes()),
            commits,
            builder,
            run,
        })
    }
}

/// The commit of the checkout that `folder` is in; none where it is in none, or git does not tell.
fn commit(of: &'static str, folder: &Utf8Path) -> Result<Option<Commit>> {
    if host::find("git").is_none() {
        return Ok(None);
    }
    let sh = Shell::new()?;
    let git = |arguments: &[&str]| -> Result<Option<String>> {
        let done = host::output(cmd!(sh, "git -C {folder} {arguments...}"))?;
        let text = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        Ok(done.status.success().then_some(text))
    };
    let Some(id) = git(&["rev-parse", "--verify", "HEAD"])? else {
        return Ok(None);
    };
    let Some(changes) = git(&["status", "--porcelain", "--", "."])? else {
        return Ok(None);
    };
    let remote = git(&["config", "--get", "remote.origin.url"])?;
    Ok(Some(Commit {
        of,
        repository: remote.and_then(|remote| public(&remote)),
        id,
        is_changed: !changes.is_empty(),
    }))
}

/// An address that can be shown to anybody: without a user's name and password. A folder of this machine is none.
fn public(remote: &str) -> Option<String> {
    let written = if remote.contains("://") {
        remote.to_owned()
    } else {
        // As in `git@host:path`.
        let (host, path) = remote.split_once(':')?;
        let (_, host) = host.rsplit_once('@').unwrap_or(("", host));
        format!("ssh://{host}/{}", path.trim_start_matches('/'))
    };
    let mut url = Url::parse(&written).ok()?;
    url.host_str().filter(|host| !host.is_empty())?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// The builder and the run, by the variables that a service's runner sets.
fn builder(variable: impl Fn(&str) -> Option<String>) -> (String, Option<String>) {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let of_workflow = || {
        let server = variable("GITHUB_SERVER_URL")?;
        let workflow = variable("GITHUB_WORKFLOW_REF")?;
        let (repository, run) = (variable("GITHUB_REPOSITORY")?, variable("GITHUB_RUN_ID")?);
        let attempt = variable("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned());
        let run = format!("{server}/{repository}/actions/runs/{run}/attempts/{attempt}");
        Some((format!("{server}/{workflow}"), Some(run)))
    };
    of_workflow().unwrap_or_else(|| (LOCAL.to_owned(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_nobodys_password() {
        for (remote, shown) in [
            (
                "https://me:secret@git.test/a/b.git",
                Some("https://git.test/a/b.git"),
            ),
            (
                "https://git.test/a?token=secret#x",
                Some("https://git.test/a"),
            ),
            ("git@git.test:a/b.git", Some("ssh://git.test/a/b.git")),
            ("ssh://git@git.test:22/a", Some("ssh://git.test:22/a")),
            ("/srv/a.git", None),
            ("file:///srv/a.git", None),
            ("../a", None),
        ] {
            assert_eq!(public(remote).as_deref(), shown, "{remote}");
        }
    }

    #[test]
    fn a_commit_is_known_where_there_is_one_and_says_whether_files_differ() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(commit("source", folder).unwrap(), None);
        let sh = Shell::new().unwrap();
        let identity = ["-c", "user.name=a", "-c", "user.email=a@toy.test"];
        cmd!(sh, "git -C {folder} init -q").run().unwrap();
        assert_eq!(commit("source", folder).unwrap(), None);
        cmd!(
            sh,
            "git -C {folder} {identity...} commit -q --allow-empty -m a"
        )
        .run()
        .unwrap();
        let remote = "https://me:secret@git.test/a";
        cmd!(sh, "git -C {folder} remote add origin {remote}")
            .run()
            .unwrap();
        let clean = commit("source", folder).unwrap().unwrap();
        assert_eq!(clean.repository.as_deref(), Some("https://git.test/a"));
        assert_eq!((clean.id.len(), clean.is_changed), (40, false));
        sh.write_file(folder.join("new"), "").unwrap();
        assert!(commit("source", folder).unwrap().unwrap().is_changed);
    }

    #[test]
    fn a_description_that_is_not_there_is_bad_input() {
        let error = Origin::find("/nope/image.toml".into(), None).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        let said = failure::text(&error);
        assert!(said.contains("/nope/image.toml") && said.contains("hint: name the description"));
    }

    #[test]
    fn a_service_is_the_builder_where_its_runner_says_all_of_it() {
        let all = [
            ("GITHUB_SERVER_URL", "https://git.test"),
            (
                "GITHUB_WORKFLOW_REF",
                "a/b/.github/workflows/c.yml@refs/tags/v1",
            ),
            ("GITHUB_REPOSITORY", "a/b"),
            ("GITHUB_RUN_ID", "7"),
        ];
        let of = |known: &[(&str, &str)]| {
            builder(|name| {
                known
                    .iter()
                    .find(|(it, _)| *it == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        let (id, run) = of(&all);
        assert_eq!(
            id,
            "https://git.test/a/b/.github/workflows/c.yml@refs/tags/v1"
        );
        assert_eq!(
            run.as_deref(),
            Some("https://git.test/a/b/actions/runs/7/attempts/1")
        );
        assert_eq!(of(&all[..3]), (LOCAL.to_owned(), None));
    }
}
