//! Where the archive of a plugin is, as Pulumi finds it (`GetSource` in sdk/go/common/workspace/plugins.go).

use anyhow::Result;
use oci::http::check_download;
use oci::platform::Platform;

use crate::plugins::plugin::Plugin;
use failure::usage;

/// The server of plugins that name none. Pulumi asks GitHub first, which has the same archives.
const SERVER: &str = "https://get.pulumi.com/releases/plugins";

/// The address of the archive of `plugin` for `platform`.
///
/// # Errors
/// The reason why it has none.
fn of(plugin: &Plugin, platform: &Platform) -> Result<String, String> {
    let version = escaped(&plugin.version.to_string());
    let (os, arch) = (&platform.os, &platform.arch);
    let file = format!(
        "pulumi-resource-{}-v{version}-{os}-{arch}.tar.gz",
        plugin.name
    );
    let server = plugin.server.as_deref().unwrap_or(SERVER);
    let folder = match server.split_once("://") {
        Some(("http" | "https", _)) => [
            ("${NAME}", plugin.name.as_str()),
            ("${VERSION}", &version),
            ("${OS}", os),
            ("${ARCH}", arch),
        ]
        .into_iter()
        .fold(server.to_owned(), |url, (variable, value)| {
            url.replace(variable, value)
        }),
        Some(("github", rest)) => match rest.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["api.github.com", owner] => {
                github(owner, &format!("pulumi-{}", plugin.name), &version)
            }
            ["api.github.com", owner, repository] => github(owner, repository, &version),
            _ => return Err(format!("{server} is no server of GitHub with an owner")),
        },
        Some(("gitlab", rest)) => match rest.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
            [host, project] => {
                format!("https://{host}/api/v4/projects/{project}/releases/v{version}/downloads")
            }
            _ => return Err(format!("{server} is no server of GitLab with a project")),
        },
        _ => return Err(format!("nothing is known of servers like {server}")),
    };
    let url = format!("{}/{file}", folder.trim_end_matches('/'));
    match check_download(&url) {
        Ok(()) => Ok(url),
        Err(reason) => Err(format!("{url:?} cannot be fetched: {reason}")),
    }
}

/// The same address, for the lock.
pub fn of_locked(plugin: &Plugin, platform: &Platform) -> Result<String> {
    of(plugin, platform).map_err(|reason| {
        let hint = "take an SDK whose plugins are on a server, or leave the provider out of `bake` in image.toml";
        usage(reason, hint)
    })
}

fn github(owner: &str, repository: &str, version: &str) -> String {
    format!("https://github.com/{owner}/{repository}/releases/download/v{version}")
}

/// The only character of a version that means something else in an address.
fn escaped(version: &str) -> String {
    version.replace('+', "%2B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(server: Option<&str>) -> Result<String, String> {
        let plugin = Plugin::new("toy", "1.2.3+dev", server).unwrap();
        let platform = Platform {
            os: "linux".into(),
            arch: "arm64".into(),
        };
        of(&plugin, &platform)
    }

    #[test]
    fn each_kind_of_server_has_its_addresses() {
        const FILE: &str = "pulumi-resource-toy-v1.2.3%2Bdev-linux-arm64.tar.gz";
        for (server, folder) in [
            (None, "https://get.pulumi.com/releases/plugins"),
            (Some("https://toy.test/a/"), "https://toy.test/a"),
            (
                Some("https://toy.test/${NAME}/v${VERSION}/${OS}-${ARCH}"),
                "https://toy.test/toy/v1.2.3%2Bdev/linux-arm64",
            ),
            (
                Some("github://api.github.com/own"),
                "https://github.com/own/pulumi-toy/releases/download/v1.2.3%2Bdev",
            ),
            (
                Some("github://api.github.com/own/repo"),
                "https://github.com/own/repo/releases/download/v1.2.3%2Bdev",
            ),
            (
                Some("gitlab://gitlab.com/42"),
                "https://gitlab.com/api/v4/projects/42/releases/v1.2.3%2Bdev/downloads",
            ),
        ] {
            assert_eq!(address(server), Ok(format!("{folder}/{FILE}")));
        }
    }

    #[test]
    fn servers_that_are_not_to_be_fetched_from_are_refused() {
        for server in [
            "http://toy.test",
            "https://me:secret@toy.test",
            "https://toy.test/a b",
            "git://toy.test/repo",
            "github://github.corp.test/own",
            "github://api.github.com",
            "gitlab://gitlab.com/a/b",
            "toy.test",
        ] {
            assert!(address(Some(server)).is_err(), "{server}");
        }
    }
}
