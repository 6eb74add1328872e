//! `cargo xtask assemble`: from packs to images, in a folder, or in a registry, where nothing but manifests is sent.

use std::collections::BTreeMap;

use anyhow::Result;
use camino::Utf8PathBuf;
use oci_spec::distribution::Reference;
use serde::Serialize;

use crate::commands::packs::pinned;
use crate::flags::Trusted;
use engine::progress::{Kind, Progress, human_bytes};
use failure::usage;
use oci::layout::writer::LayoutWriter;
use oci::platform::Platform;
use oci::reference;
use pipeline::assemble::images::{Images, Written};
use pipeline::assemble::platforms::{self, Named, OfPlatform, WrittenOfAll};
use pipeline::assemble::registry_target::RegistryTarget;
use pipeline::assemble::volumes::Maker;
use pipeline::image_toml::ImageToml;
use pipeline::names::LATEST;
use pipeline::origin::Origin;
use pipeline::pack::Pack;
use pipeline::pack::description::Description;
use pipeline::pack::inventory::Reader;
use pipeline::pack::sources::PackSources;
use pipeline::pack::store::Store;
use pipeline::summary;
use pipeline::work::Work;
use pipeline::work::out::{Out, write_file};

/// What was made, for scripts.
#[derive(Debug, Serialize)]
struct Assembled {
    /// Of the first platform.
    #[serde(flatten)]
    written: Written,
    /// Of the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Written>,
    /// What each name means where there are several platforms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<Named>,
    /// Content that went to registries and came from them.
    moved_bytes: u64,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Packs: folders or archives that `warm` wrote, or HOST/REPO:TAG of packs that it pushed
    #[arg(value_name = "PACK")]
    pub packs: Vec<String>,
    /// Take all packs of a run: those with --run in a repository, or all archives of a folder
    #[arg(long, value_name = "HOST/REPO|DIR")]
    pub from: Option<String>,
    /// The run, as `warm --run` named it
    #[arg(long, value_name = "NAME", requires = "from")]
    pub run: Option<String>,
    /// Write an OCI image layout
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
    /// Make the images in a registry: the whole image under this tag, the others under TAG-<provider> and so on
    #[arg(long, value_name = "HOST/REPO:TAG")]
    pub push: Option<String>,
    /// Write what was made in the registry to FILE, for `push`: HOST/REPO:TAG@DIGEST a line, the whole image first, and
    /// HOST/REPO@DIGEST for what is said of the images
    #[arg(long, value_name = "FILE", requires = "push")]
    pub pinned: Option<Utf8PathBuf>,
    /// Make images for this platform alone; repeat for several [default: all that the packs are for]
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',')]
    pub platforms: Vec<Platform>,
    /// Description of the image
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    /// Level of zstd for the layers of volumes, which are written anew [default: that of the image]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "IAC_RUNNER_ZSTD_LEVEL",
        value_parser = clap::value_parser!(i32).range(1..=22)
    )]
    pub zstd_level: Option<i32>,
    #[command(flatten)]
    pub trusted: Trusted,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Args {
    fn check(&self) -> Result<()> {
        let (from, to) = (
            "name packs, or take those of a run with --from HOST/REPO|DIR",
            "write a layout with --out DIR, or make the images in a registry with --push HOST/REPO:TAG",
        );
        let has_packs = !self.packs.is_empty() || self.from.is_some();
        let has_place = self.out.is_some() || self.push.is_some();
        match (has_packs, has_place) {
            (true, true) => Ok(()),
            (false, true) => Err(usage("nothing says of which packs to make images", from)),
            (true, false) => Err(usage("nothing says where the images go", to)),
            (false, false) => Err(usage(
                "nothing says of which packs to make images, and where they go",
                format!("{from}; and {to}"),
            )),
        }
    }
}

/// Makes the images, and says which.
pub fn run(flags: &Args) -> Result<()> {
    flags.check()?;
    let file = flags.image.clone();
    let file = file.unwrap_or_else(pipeline::workspace::image_toml);
    let mut image = ImageToml::read(&file)?;
    if let Some(level) = flags.zstd_level {
        image.layers.zstd_level = level;
    }
    let origin = Origin::find(&file, None)?;
    let out = flags.out.as_deref().map(Out::layout).transpose()?;
    let push = flags.push.as_deref().map(tagged).transpose()?;
    let trust = flags.trusted.trust()?;
    let work = Work::open()?;
    let mut progress = Progress::default();
    let assembled = progress.step("assemble", Kind::Local, |step| {
        let mut sources = PackSources::new(&work, flags.insecure, step).trusting(trust.as_ref());
        let mut packs = Vec::new();
        let store = Store::parse(flags.from.as_deref(), flags.insecure)?;
        let of_run = match &store {
            Store::Nowhere => Vec::new(),
            _ => store.packs_of(flags.run.as_deref(), &work, step)?,
        };
        for name in flags.packs.iter().chain(&of_run) {
            sources.each(name, |artifact, repository| {
                let repository =
                    repository.filter(|from| out.is_none() && is_reachable(from, push.as_ref()));
                packs.push(artifact.pack(repository)?);
                Ok(())
            })?;
        }
        Reader::new(&work, &image).complete(&mut packs)?;
        let by_platform = by_platform(packs, &flags.platforms)?;
        let mut volumes = Vec::new();
        for (platform, packs) in &by_platform {
            check_image(packs, &image, platform)?;
            volumes.push(Maker::new(&work, &image, platform, flags.insecure, step));
        }
        let images = |version: &str| -> Result<Vec<OfPlatform<'_>>> {
            let each = by_platform.iter().zip(&volumes);
            each.map(|((platform, packs), volumes)| {
                let images = Images::of(packs, version, &origin, volumes)?;
                Ok(OfPlatform { platform, images })
            })
            .collect()
        };
        let mut written = WrittenOfAll::default();
        if let Some(out) = &out {
            let mut layout = LayoutWriter::create(out.begin()?)?;
            written = platforms::write(&mut layout, &image, &images(LATEST)?)?;
            layout.finish()?;
            out.complete()?;
        }
        let mut moved_bytes = sources.received_bytes();
        let mut said = Vec::new();
        if let Some((repository, tag)) = &push {
            let mut target = RegistryTarget::open(repository, flags.insecure, &work, step)?;
            let mut images = images(tag)?;
            for of_platform in &mut images {
                // The tag that people wait for comes last.
                of_platform.images.variants.rotate_left(1);
            }
            written = platforms::write(&mut target, &image, &images)?;
            let moved = target.moved();
            moved_bytes += moved.sent_bytes + moved.received_bytes;
            said = target.said().to_vec();
        }
        moved_bytes += volumes.iter().map(Maker::received_bytes).sum::<u64>();
        Ok((written, moved_bytes, said))
    })?;
    let (mut written, moved_bytes, said) = assembled;
    if let (Some(file), Some((repository, tag))) = (&flags.pinned, &push) {
        let text = pinned::text(repository, tag, &written.named(), &said);
        write_file(file, text.as_bytes())?;
    }
    let others = written.platforms.split_off(1.min(written.platforms.len()));
    let assembled = Assembled {
        written: written.platforms.pop().unwrap_or_default(),
        others,
        indexes: written.indexes,
        moved_bytes,
    };
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&assembled)?);
    } else {
        let moved = human_bytes(assembled.moved_bytes);
        let written = std::iter::once(&assembled.written).chain(&assembled.others);
        let tables: Vec<_> = written
            .map(|written| summary::variants(&written.images).to_string())
            .collect();
        println!("{}\n\nmoved {moved} over the network", tables.join("\n\n"));
    }
    Ok(())
}

/// The packs of each platform that is wanted, sorted; without any, of all that there are.
fn by_platform(packs: Vec<Pack>, wanted: &[Platform]) -> Result<BTreeMap<Platform, Vec<Pack>>> {
    let mut all: BTreeMap<Platform, Vec<Pack>> = BTreeMap::new();
    for pack in packs {
        let platform: Result<Platform, _> = pack.description.platform.parse();
        let platform = platform.map_err(|reason| {
            let Description { name, platform, .. } = &pack.description;
            usage(
                format!("the pack {name} is for {platform}: {reason}"),
                "warm it again for one of these",
            )
        })?;
        all.entry(platform).or_default().push(pack);
    }
    for platform in wanted {
        if !all.contains_key(platform) {
            let there: Vec<String> = all.keys().map(Platform::to_string).collect();
            return Err(usage(
                format!("no pack is for {platform}, only for {}", there.join(", ")),
                format!("make them with `warm --platform {platform}`"),
            ));
        }
    }
    all.retain(|platform, _| wanted.is_empty() || wanted.contains(platform));
    Ok(all)
}

/// A repository, and a tag in it.
pub fn tagged(text: &str) -> Result<(Reference, String)> {
    let named = || {
        let (repository, tag) = text.rsplit_once(':')?;
        (!tag.contains('/')).then_some((repository, tag))
    };
    let (repository, tag) = named().ok_or_else(|| {
        usage(
            format!("{text} names no tag of a registry"),
            "write HOST/REPOSITORY:TAG",
        )
    })?;
    let repository = reference::repository(repository)?;
    // The client knows what a tag may be.
    let whole: Reference = text.parse().map_err(|error| {
        usage(
            format!("{text} is no reference: {error}"),
            "write HOST/REPOSITORY:TAG",
        )
    })?;
    let tag = whole.tag().unwrap_or(tag).to_owned();
    Ok((repository, tag))
}

/// Whether the registry that is pushed to can take a blob from `repository` by itself.
fn is_reachable(repository: &Reference, push: Option<&(Reference, String)>) -> bool {
    push.is_some_and(|(to, _)| to.registry() == repository.registry())
}

/// Fails unless `image.toml` describes the image that these packs were made for: its environment is that of the image.
fn check_image(packs: &[Pack], image: &ImageToml, platform: &Platform) -> Result<()> {
    let ours = image.identity(platform);
    for pack in packs {
        let Some(manifest) = &pack.description.pack else {
            continue;
        };
        if let Some(differences) = manifest.identity.differences_text(&ours) {
            return Err(usage(
                format!(
                    "the pack {} was made with another image.toml than this one: {differences}",
                    pack.description.name,
                ),
                "nothing would hit",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn without_packs_or_a_place_for_images_all_ways_to_name_them_are_told() {
        let check = |flags: &[&str]| {
            let words = ["assemble"].iter().chain(flags);
            Command::parse_from(words).args.check()
        };
        for flags in [["pack", "--out=x"], ["--from=x", "--push=x"]] {
            check(&flags).unwrap();
        }
        let (from, to) = (
            ["name packs", "--from"],
            ["--out DIR", "--push HOST/REPO:TAG"],
        );
        for (flags, told) in [
            (&["--out=x"][..], &from[..]),
            (&["pack"], &to),
            (&[], &[from, to].concat()),
        ] {
            let error = check(flags).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            let said = failure::text(&error);
            assert!(told.iter().all(|it| said.contains(it)), "{said}");
        }
    }
}
