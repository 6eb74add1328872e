//! `cargo xtask push`: a layout to a registry, or a release of what a registry has.
//!
//! Pushing again what is there sends nothing and changes nothing. What is signed is signed before it has a tag: the
//! images, and what is said of them. The whole image gets its tag after all others, and `latest` comes last of all.

use crate::flags::{Signing, open_layout};
use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use semver::Version;

use crate::commands::packs::assemble::tagged;
use crate::commands::packs::pinned::{self, List, Pinned};
use engine::progress::{self, Kind, Progress, human_bytes};
use failure::usage;
use oci::blob::MAX_DOCUMENT_BYTES;
use oci::layout::reader::{self, Layout};
use oci::reference::names_a_host;
use oci::referrer::Referrers as _;
use oci_spec::image::Descriptor;
use pipeline::assemble::registry_target::RegistryTarget;
use pipeline::assemble::statements;
use pipeline::assemble::target::Target;
use pipeline::measure::Report;
use pipeline::names::{LATEST, TOOLS};
use pipeline::signatures::sign;
use pipeline::work::Work;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to push: an OCI layout (DIR/oci), or images that are in the same registry (HOST/REPO:TAG)
    #[arg(value_name = "DIR|HOST/REPO:TAG")]
    pub from: String,
    /// The tag of the whole image; the other variants get TAG-<provider> and so on
    #[arg(value_name = "HOST/REPO:TAG")]
    pub to: String,
    /// Only give tags to what FILE names, as `assemble --pinned` wrote it, and by its digests: tags can be moved
    #[arg(long, value_name = "FILE")]
    pub pinned: Option<Utf8PathBuf>,
    /// Move `latest` and its variants, too, if the tag is the highest stable version of the repository
    #[arg(long)]
    pub latest: bool,
    /// Say of the image that FILE is about, a report of `verify --json`, what was measured in it; repeat for several
    /// platforms
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<Utf8PathBuf>,
    #[command(flatten)]
    pub signing: Signing,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
}

/// Pushes, and says what.
pub fn run(flags: &Args) -> Result<()> {
    let (repository, tag) = tagged(&flags.to)?;
    let reports = flags.reports.iter().map(|file| read_report(file));
    let reports = reports.collect::<Result<Vec<_>>>()?;
    let work = Work::open()?;
    let mut progress = Progress::default();
    let from_registry = !Utf8Path::new(&flags.from).exists() && names_a_host(&flags.from);
    let (pushed, moved) = progress.step("push", Kind::Network, |step| {
        let mut target = RegistryTarget::open(&repository, flags.insecure, &work, step)?;
        let untagged = if from_registry {
            let (place, from) = tagged(&flags.from)?;
            if place != repository {
                return Err(usage(
                    format!("{} and {} are different repositories", flags.from, flags.to),
                    "a release gives another tag to what its repository has",
                ));
            }
            match &flags.pinned {
                None => released(&target, &from, &tag)?,
                Some(file) => pinned(&target, pinned::read(file, &place)?, &from, &tag)?,
            }
        } else if flags.pinned.is_some() {
            return Err(usage(
                format!(
                    "--pinned is for images in a registry, and {} is none",
                    flags.from
                ),
                "a layout has its digests in itself",
            ));
        } else {
            of_layout(&mut target, flags.from.as_str().into(), &tag)?
        };
        let images = match &untagged.layout {
            Some(layout) => sign::with_parts(layout, &untagged.images)?,
            None => sign::with_parts(target.registry(), &untagged.images)?,
        };
        for report in &reports {
            attach(&mut target, report, &images)?;
        }
        if let Some(signer) = flags.signing.signer() {
            let said = [target.said(), &untagged.said].concat();
            let signed = sign::sign(&signer, &mut target, &images, &said, &work)?;
            progress::note(format_args!("{signed} signatures made"));
        }
        let mut pushed = untagged.tag(&target)?;
        if flags.latest {
            match highest(&target.registry().tags()?, &tag) {
                Highest::This => pushed.extend(latest(&target, &pushed, &tag)?),
                Highest::Other(other) => {
                    eprintln!("latest stays where it is: {other} is higher than {tag}");
                }
                Highest::NotStable => {
                    eprintln!("latest stays where it is: {tag} is no stable version");
                }
            }
        }
        Ok((pushed, target.moved()))
    })?;
    for (name, digest) in &pushed {
        println!(
            "{}/{}:{name} {digest}",
            repository.registry(),
            repository.repository()
        );
    }
    println!("{} sent", human_bytes(moved.sent_bytes));
    Ok(())
}

fn read_report(file: &Utf8Path) -> Result<Report> {
    let text = regular_file::read(file, MAX_DOCUMENT_BYTES).map_err(|error| {
        usage(
            format!("the report {file} cannot be read: {error}"),
            "name what `cargo xtask verify --json FILE` wrote",
        )
    })?;
    Report::of_file(file, &String::from_utf8_lossy(&text))
}

/// Says of the one of `images`, all that is pushed, that `report` is about what was measured in it, before it has its tag.
fn attach(target: &mut dyn Target, report: &Report, images: &[(String, Descriptor)]) -> Result<()> {
    let image = report.data.image.as_ref().ok_or_else(|| {
        usage(
            "the report does not say of which image it is",
            "give one that `cargo xtask verify --json FILE` wrote",
        )
    })?;
    let mut pushed = images.iter().map(|(_, image)| image);
    let found = pushed.find(|it| it.digest().as_ref() == image.digest);
    let found = found.ok_or_else(|| {
        usage(
            format!(
                "the report is of the image {}, which is not pushed",
                image.digest
            ),
            "give the report of one that is",
        )
    })?;
    statements::attach_report(target, (&image.name, found), &report.json)
}

/// Tags with the digests that they have now.
type Pushed = Vec<(String, String)>;

/// Images before they have their tags.
struct Untagged {
    /// The images, each with the tag that it is to have, the whole image last.
    images: Vec<(String, Descriptor)>,
    /// What is said of them in the repository, beside what this command put there itself: the artifacts.
    said: Vec<Descriptor>,
    /// Where they are; none for the repository itself.
    layout: Option<Layout>,
}

impl Untagged {
    fn new(mut images: Vec<(String, Descriptor)>, whole: &str) -> Self {
        images.sort_by_key(|(name, _)| name == whole);
        Self {
            images,
            said: Vec::new(),
            layout: None,
        }
    }

    /// Gives each its tag.
    fn tag(&self, target: &RegistryTarget<'_>) -> Result<Pushed> {
        let tag = |(name, image): &(String, Descriptor)| {
            let digest = match &self.layout {
                Some(layout) => target.push(layout, image, name)?,
                None => retag(target, image.digest().as_ref(), name)?,
            };
            Ok((name.clone(), digest))
        };
        self.images.iter().map(tag).collect()
    }
}

/// Every image of a layout of ours; `latest` becomes `tag`. What is said of them is pushed: who finds an image finds it.
fn of_layout(target: &mut RegistryTarget<'_>, folder: &Utf8Path, tag: &str) -> Result<Untagged> {
    let layout = open_layout(folder)?;
    let mut images = Vec::new();
    for descriptor in layout.manifests() {
        let Some(name) = reader::name(descriptor) else {
            target.push_referrer(&layout, descriptor)?;
            continue;
        };
        let variant = variant(name, LATEST).ok_or_else(|| {
            usage(
                format!(
                    "{folder} holds an image called {name:?}, and not only latest and its variants"
                ),
                "push it with another tool",
            )
        })?;
        images.push((format!("{tag}{variant}"), descriptor.clone()));
    }
    Ok(Untagged {
        layout: Some(layout),
        ..Untagged::new(images, tag)
    })
}

/// The images that are tagged `from`, `from-<provider>` and so on, for the tags of `to`; with all that is said of them.
fn released(target: &RegistryTarget<'_>, from: &str, to: &str) -> Result<Untagged> {
    let tags = target.registry().tags()?;
    if !tags.iter().any(|tag| tag == from) {
        return Err(usage(
            format!("the repository has no tag {from}"),
            "push an image under it first",
        ));
    }
    let (mut images, mut said) = (Vec::new(), Vec::new());
    for (tag, variant) in variants(&tags, from) {
        let (image, _) = target.registry().manifest(tag)?.ok_or_else(|| {
            usage(
                format!("the tag {tag} was removed meanwhile"),
                "push the images again",
            )
        })?;
        images.push((format!("{to}{variant}"), image));
    }
    // What is said of an image for several platforms is said of that of each.
    for (_, image) in sign::with_parts(target.registry(), &images)? {
        said.extend(target.registry().referrers(&image)?);
    }
    Ok(Untagged {
        said,
        ..Untagged::new(images, to)
    })
}

/// The tags of the whole image `from` and its variants, each with what follows `from` in it. Another image's name may
/// begin likewise, as that of `v1-rc.1` does; it is one that has the image of tools that every one has.
fn variants<'t>(tags: &'t [String], from: &str) -> Vec<(&'t str, &'t str)> {
    let has = |name: &str| tags.iter().any(|tag| tag == name);
    let others: Vec<&String> = tags
        .iter()
        .filter(|tag| tag.len() > from.len() && variant(tag, from).is_some())
        .filter(|tag| has(&format!("{tag}-{TOOLS}")))
        .collect();
    let of_other = |tag: &str| others.iter().any(|other| variant(tag, other).is_some());
    let own = tags.iter().filter(|tag| !of_other(tag));
    own.filter_map(|tag| Some((tag.as_str(), variant(tag, from)?)))
        .collect()
}

/// The images of the list, which were tagged `from…`, for the tags of `to`, and what the list names that is said of them.
fn pinned(target: &RegistryTarget<'_>, list: List, from: &str, to: &str) -> Result<Untagged> {
    let find = |digest: &str, name: &str| {
        let found = target.registry().manifest(digest)?.ok_or_else(|| {
            usage(
                format!("the repository has no {digest} for {name}"),
                "push the images again",
            )
        })?;
        anyhow::Ok(found.0)
    };
    let mut images = Vec::new();
    for Pinned { tag, digest } in list.images {
        let variant = variant(&tag, from).ok_or_else(|| {
            usage(
                format!("the list of --pinned names the tag {tag}, which is none of {from}"),
                "give the list that was written for this tag",
            )
        })?;
        let name = format!("{to}{variant}");
        let image = find(&digest, &name)?;
        images.push((name, image));
    }
    if !images.iter().any(|(name, _)| name == to) {
        return Err(usage(
            format!("the list of --pinned does not name {from}"),
            "give the list that was written for this tag",
        ));
    }
    let said = list.said.iter().map(|digest| find(digest, "what is said"));
    Ok(Untagged {
        said: said.collect::<Result<_>>()?,
        ..Untagged::new(images, to)
    })
}

/// Gives what was pushed under `tag…` the tag `latest…`, the whole image last.
fn latest(target: &RegistryTarget<'_>, pushed: &Pushed, tag: &str) -> Result<Pushed> {
    let names = pushed.iter().map(|(name, digest)| {
        let new = format!("{LATEST}{}", variant(name, tag).unwrap_or_default());
        let digest = retag(target, digest, &new)?;
        Ok((new, digest))
    });
    names.collect()
}

/// Gives the image with this digest the tag `name`, too.
fn retag(target: &RegistryTarget<'_>, digest: &str, name: &str) -> Result<String> {
    target.retag(digest, name)?.ok_or_else(|| {
        usage(
            format!("the repository has no image {digest} for {name}"),
            "push the images again",
        )
    })
}

/// What follows the tag of the whole image in the name of a variant; `None` for another image.
fn variant<'n>(name: &'n str, whole: &str) -> Option<&'n str> {
    let rest = name.strip_prefix(whole)?;
    (rest.is_empty() || rest.starts_with('-')).then_some(rest)
}

#[derive(Debug, PartialEq)]
enum Highest {
    This,
    Other(String),
    NotStable,
}

/// Whether `tag` is the highest stable version of all `tags`.
fn highest(tags: &[String], tag: &str) -> Highest {
    let Some(this) = stable(tag) else {
        return Highest::NotStable;
    };
    let versions = tags.iter().filter_map(|tag| Some((stable(tag)?, tag)));
    match versions.max().filter(|(version, _)| *version > this) {
        None => Highest::This,
        Some((_, other)) => Highest::Other(other.clone()),
    }
}

/// The version that a tag names, unless it is a pre-release, or a variant.
fn stable(tag: &str) -> Option<Version> {
    let version: Version = tag.strip_prefix('v')?.parse().ok()?;
    (version.pre.is_empty() && version.build.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use oci::layout::writer::LayoutWriter;
    use oci_spec::image::MediaType;

    use super::*;

    #[test]
    fn what_is_no_report_is_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::write(folder.join("bad.json"), "{").unwrap();
        for (name, sign) in [
            ("absent.json", "cannot be read"),
            ("", "cannot be read"),
            ("bad.json", "is not a report"),
        ] {
            let error = read_report(&folder.join(name)).unwrap_err();
            let kind = failure::kind(&error, &[report::Error::classify]);
            let said = failure::text(&error);
            assert_eq!(kind, failure::Kind::Usage, "{said}");
            assert!(said.contains(name) && said.contains(sign), "{said}");
        }
    }

    #[test]
    fn latest_moves_for_the_highest_stable_version_only() {
        let tags: Vec<String> = [
            "v1.9.0",
            "v1.10.0",
            "v1.10.0-aws",
            "v2.0.0-rc.1",
            "latest",
            "x",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(highest(&tags, "v1.10.0"), Highest::This);
        assert_eq!(highest(&tags, "v1.11.0"), Highest::This);
        assert_eq!(highest(&tags, "v1.9.1"), Highest::Other("v1.10.0".into()));
        for unstable in ["v2.0.0-rc.1", "candidate", "1.2.3", "v1.2"] {
            assert_eq!(highest(&tags, unstable), Highest::NotStable, "{unstable}");
        }
    }

    #[test]
    fn an_image_whose_name_begins_likewise_is_no_variant() {
        let tags = [
            "v1",
            "v1-civo",
            "v1-tools",
            "v1-rc.1",
            "v1-rc.1-civo",
            "v1-rc.1-tools",
        ];
        let tags = tags.map(str::to_owned);
        let of = |from| variants(&tags, from);
        assert_eq!(
            of("v1"),
            [("v1", ""), ("v1-civo", "-civo"), ("v1-tools", "-tools")]
        );
        assert_eq!(of("v1-rc.1").len(), 3);
    }

    #[test]
    fn a_report_is_of_an_image_that_is_pushed_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let mut layout = LayoutWriter::create(folder).unwrap();
        let [pushed, other] = [b"pushed".as_slice(), b"other"]
            .map(|it| layout.bytes(MediaType::ImageManifest, it).unwrap());
        let images = [("v1".to_owned(), pushed.clone())];
        let mut said_of = |image: &Descriptor| {
            let mut report = serde_json::to_value(report::sample::report(1)).unwrap();
            report["image"]["digest"] = image.digest().to_string().into();
            let report = Report::parse(&report.to_string()).unwrap();
            attach(&mut layout, &report, &images)
        };
        said_of(&pushed).unwrap();
        let error = said_of(&other).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }

    #[test]
    fn variants_follow_the_tag_of_the_whole_image() {
        assert_eq!(variant("latest", "latest"), Some(""));
        assert_eq!(
            variant("latest-aws-nonroot", "latest"),
            Some("-aws-nonroot")
        );
        assert_eq!(variant("latest1", "latest"), None);
        assert_eq!(variant("v1", "latest"), None);
    }
}
