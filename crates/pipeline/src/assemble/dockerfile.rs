//! The Dockerfiles of the image, as text: pure functions from its settings to what stands in `base-images/`.
//!
//! A Dockerfile cannot loop and cannot read `image.toml`, so both are generated, and a test holds the committed ones
//! against what is generated now. No version and no path is written into them by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8Path;
use gocache::image_info::{IMAGE_INFO_PATH, LAUNCHERS_PATH};

use crate::image_toml::ImageToml;
use crate::names::VERIFIER;
use crate::pack::layer_content::{LayerContent, TOOLS_ALONE};
use crate::resolve::go_settings::GO_FETCH_VARIABLES;

/// Stage of `Dockerfile.merged` that runs as the image's user.
pub const NONROOT_STAGE: &str = "nonroot";

/// An environment.
pub type Env = BTreeMap<String, String>;

/// What both Dockerfiles say of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Environment as root.
    pub env: Env,
    /// Environment of the `-nonroot` twin.
    pub nonroot_env: Env,
    /// User and group ID of the twin.
    pub uid: u32,
    /// The image's labels.
    pub labels: BTreeMap<String, String>,
}

impl Settings {
    /// Name of the image's user.
    fn user(&self) -> &str {
        self.nonroot_env
            .get("USER")
            .map_or("runner", String::as_str)
    }

    fn home(&self) -> &str {
        self.nonroot_env.get("HOME").map_or("/", String::as_str)
    }

    /// Adds the user, whose name a base image does not know.
    fn add_user(&self) -> String {
        let (user, uid, home) = (self.user(), self.uid, self.home());
        format!(
            "RUN echo '{user}:x:{uid}:' >> /etc/group \\\n    \
             && echo '{user}:x:{uid}:{uid}:{user}:{home}:/bin/sh' >> /etc/passwd\n"
        )
    }

    /// Environment and labels, and the two stages that end a Dockerfile: the twin, and the image itself.
    fn ends(&self) -> String {
        let mut text = instruction("ENV", &self.env);
        text += &instruction("LABEL", &self.labels);
        text += "WORKDIR /\nCMD [\"/bin/bash\"]\n\n";
        let more = self.nonroot_env.iter();
        let more = more.filter(|(name, value)| self.env.get(*name) != Some(*value));
        let more = more
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let (uid, home) = (self.uid, self.home());
        writeln!(
            text,
            "# docker build --target {NONROOT_STAGE}: the twin for pods, on a read-only root file system and as any \
             user.\nFROM image AS {NONROOT_STAGE}\n{}USER {uid}\nWORKDIR {home}\n\nFROM image",
            instruction("ENV", &more)
        )
        .expect("writing to a string");
        text
    }
}

/// `Dockerfile.merged`: the image from the archives of its layers, which are in the build context.
pub fn merged(settings: &Settings, packs: &[LayerContent]) -> String {
    let add = |content: &LayerContent| format!("ADD {} /\n", content.archive());
    let [base, tools @ ..] = TOOLS_ALONE.map(|content| add(&content));
    let tools = tools.concat();
    let packs = packs.iter().map(add).collect::<Vec<_>>().concat();
    format!(
        r"# The image from its parts, for those who build images with Docker. Generated: change image.toml, and then
# `cargo xtask dockerfiles`. This one is for the providers of the catalog; `docker-context` writes the parts of any
# image to a folder, with a file like this one for exactly those:
#
#   cargo xtask base-image
#   cargo xtask docker-context --out target/docker-context
#   docker build --tag iac-runner-base target/docker-context
#
# Archives are added and not folders copied, because Docker unpacks them as they are. COPY makes everything root's,
# and BuildKit's COPY gives folders the time of the build. Each archive becomes one layer.

# The base system; with --build-arg BASE=NAME another one, which has to hold git and CA certificates.
ARG BASE=base
FROM scratch AS base
{base}
FROM ${{BASE}} AS system

FROM system AS image
{tools}# Users are those of the base system, and the image's own.
COPY --from=system /etc/passwd /etc/group /etc/
{add_user}
# Caches and executables, for all providers (common) and for each.
{packs}
{ends}",
        add_user = settings.add_user(),
        ends = settings.ends(),
    )
}

/// `Dockerfile`: the image with everything made by `docker build` itself, from this repository as the build context.
pub fn standalone(settings: &Settings, image: &ImageToml, rust_version: &str) -> String {
    let (suite, go) = (&image.base.suite, &image.go);
    let packages = image.base.packages.join(" ");
    let info = Utf8Path::new(IMAGE_INFO_PATH).parent();
    let bin = Utf8Path::new(VERIFIER).parent();
    // With the language hosts that are beside them.
    let launchers = Utf8Path::new(LAUNCHERS_PATH).parent();
    let roots: Vec<String> = [Some(go.goroot.as_path()), bin, launchers, info]
        .into_iter()
        .flatten()
        .map(|folder| format!("COPY --from=warm /image{folder}/ {folder}/\n"))
        .collect();
    let roots = roots.concat();
    let uid = image.user.uid;
    let caches: String = [&go.gomodcache, &go.gocache]
        .map(|folder| format!("COPY --from=warm --chown={uid}:0 /image{folder}/ {folder}/\n"))
        .concat();
    let open: Vec<&str> = [&go.gomodcache, &go.gocache, &image.user.home]
        .into_iter()
        .chain(&image.writable.folders)
        .map(|folder| folder.as_str())
        .collect();
    let open = open.join(" ");
    // Docker itself takes in the variables of a proxy; the last is the flag of the command for a part of these.
    let fetch: String = GO_FETCH_VARIABLES
        .into_iter()
        .chain(["IAC_RUNNER_ALLOW_UNCHECKED_MODULES"])
        .flat_map(|name| ["ARG ", name, "\n"])
        .collect();
    format!(
        r#"# The image, all of it made by `docker build`, with no rights but those that every build has. Generated:
# change image.toml, and then `cargo xtask dockerfiles`. The build context is the root of this repository:
#
#   docker build --tag iac-runner-base --file base-images/iac-runner/Dockerfile .
#
# It warms the catalog. A monorepo of your own is a folder of the context (SOURCE), or is cloned (REPOSITORY at REF, a
# commit; Docker does not look whether a branch moved on); SOURCE is then a folder in it, or empty for its root:
#
#   --build-arg REPOSITORY=https://git.example.com/iac/monorepo --build-arg REF=… --build-arg SOURCE=
#
# PROVIDERS (separated by spaces) limits the image to some. A trust store of your own belongs into GO and RUST, of
# which nothing gets into the image.
ARG BASE=debian:{suite}-slim
ARG GO=golang:{go_version}-{suite}
ARG RUST=rust:{rust_version}-{suite}

FROM ${{GO}} AS go

# The container is the tree in which everything is built, at the paths that the image has.
FROM ${{RUST}} AS warm
COPY --from=go /usr/local/go/ /opt/go/
ENV PATH="/opt/go/bin:${{PATH}}" \
    XDG_CACHE_HOME="/work"
COPY . /iac-runner/
WORKDIR /iac-runner
RUN cargo build --quiet --locked --package xtask --target-dir /target
ARG REPOSITORY=
ARG REF=HEAD
RUN if [ -n "${{REPOSITORY}}" ]; then \
        git clone --quiet --no-checkout "${{REPOSITORY}}" /monorepo \
        && git -C /monorepo checkout --quiet --detach "${{REF}}"; \
    else \
        ln -s /iac-runner /monorepo; \
    fi
ARG SOURCE=catalog
ARG PROVIDERS=
# For private Go modules; none of it gets into the image.
{fetch}# Go comes in its exact version and at its place; what RUST may have there makes way. What only the making
# takes goes in the same step, so that Docker keeps no layer of it.
RUN rm -rf {goroot} \
    && set -- && for provider in ${{PROVIDERS}}; do set -- "$@" --provider "${{provider}}"; done \
    && /target/debug/xtask in-container --source "/monorepo/${{SOURCE}}" --out /image "$@" \
    && rm -rf /work /iac-runner/target

FROM ${{BASE}} AS system
RUN dpkg --status {packages} > /dev/null 2>&1 || {{ \
        apt-get update && apt-get install --yes --no-install-recommends {packages} \
        && rm -rf /var/lib/apt/lists/*; \
    }}
# No program gives its owner's or group's rights to whoever runs it.
RUN find / -xdev -perm /6000 -exec chmod ug-s {{}} +

FROM system AS image
{roots}{caches}# Caches, home and folders that tools write to are the image's user's, and closed to everybody else.
RUN mkdir -p {open} \
    && chown {uid}:0 {open} \
    && chmod 755 {open}
{add_user}
{ends}"#,
        go_version = go.version,
        goroot = go.goroot,
        add_user = settings.add_user(),
        ends = settings.ends(),
    )
}

/// `NAME a="b" c="d"`, one to a line.
fn instruction(name: &str, values: &BTreeMap<String, String>) -> String {
    if values.is_empty() {
        return String::new();
    }
    let values: Vec<String> = values
        .iter()
        .map(|(key, value)| format!("{key}={}", quoted(value)))
        .collect();
    format!("{name} {}\n", values.join(" \\\n    "))
}

/// `value` as Docker reads it back, nothing in it expanded.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(character);
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let env = |pairs: &[(&str, &str)]| -> Env {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Settings {
            env: env(&[("GOFLAGS", "-trimpath -ldflags=\"-s $x\"")]),
            nonroot_env: env(&[
                ("GOFLAGS", "-trimpath -ldflags=\"-s $x\""),
                ("HOME", "/home/me"),
                ("USER", "me"),
            ]),
            uid: 7,
            labels: env(&[("title", "A")]),
        }
    }

    #[test]
    fn each_archive_is_added_by_an_instruction_of_its_own() {
        let packs = [
            LayerContent::Caches("common".into()),
            LayerContent::Executables("aws".into()),
        ];
        let text = merged(&settings(), &packs);
        let adds: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("ADD "))
            .collect();
        assert_eq!(
            adds,
            [
                "ADD base.tar /",
                "ADD pulumi.tar /",
                "ADD tools.tar /",
                "ADD packs/common/caches.tar /",
                "ADD packs/aws/executables.tar /"
            ]
        );
        assert!(text.contains("'me:x:7:7:me:/home/me:/bin/sh'"), "{text}");
    }

    #[test]
    fn every_version_and_path_of_the_standalone_one_is_that_of_the_image() {
        let file = crate::workspace::workspace().join("base-images/iac-runner/image.toml");
        let mut image = ImageToml::read(&file).unwrap();
        image.go.version = "9.8.7".into();
        image.go.gocache = "/cache/x".into();
        image.base.suite = "sid".into();
        image.base.packages = vec!["one".into(), "two".into()];
        let text = standalone(&settings(), &image, "1.99");
        for line in [
            "ARG BASE=debian:sid-slim",
            "ARG GO=golang:9.8.7-sid",
            "ARG RUST=rust:1.99-sid",
            "RUN dpkg --status one two > /dev/null 2>&1 || { \\",
            "COPY --from=warm --chown=65532:0 /image/cache/x/ /cache/x/",
            "COPY --from=warm /image/usr/local/lib/iac-runner/ /usr/local/lib/iac-runner/",
            "RUN find / -xdev -perm /6000 -exec chmod ug-s {} +",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_twin_has_only_what_differs_and_is_not_the_last_stage() {
        let text = merged(&settings(), &[]);
        let (image, twin) = text.split_once("AS nonroot").unwrap();
        assert!(
            image.contains(r#"ENV GOFLAGS="-trimpath -ldflags=\"-s \$x\"""#),
            "{image}"
        );
        assert!(!image.contains("HOME="), "{image}");
        assert!(
            twin.contains("ENV HOME=\"/home/me\" \\\n    USER=\"me\"\nUSER 7\nWORKDIR /home/me\n")
        );
        assert!(!twin.contains("GOFLAGS"), "{twin}");
        assert!(twin.ends_with("FROM image\n"), "{twin}");
    }
}
