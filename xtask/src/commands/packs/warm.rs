//! `cargo xtask warm`: one job of the matrix, from a source to packs.

use crate::flags::{Build, Signing, suffix};
use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::source;
use engine::progress::{self, Kind, Progress, Step, human_bytes};
use failure::usage;
use modules::Module;
use oci::layer::Layer;
use oci::layout::reader::Layout;
use oci::layout::writer::LayoutWriter;
use pipeline::assemble::registry_target::RegistryTarget;
use pipeline::flow::{self, Foundation, Settings};
use pipeline::names::{BASE, COMMON, REST, TOOLS};
use pipeline::pack::Pack;
use pipeline::pack::archive;
use pipeline::pack::artifact;
use pipeline::pack::inventory::Reader;
use pipeline::pack::matrix::Times;
use pipeline::pack::part::{Part, Shard};
use pipeline::pack::store::{Store, run_tag};
use pipeline::preflight::{self, Makes, Plan};
use pipeline::signatures::cosign::Signer;
use pipeline::signatures::sign;
use pipeline::work::out::Out;
use pipeline::work::{self, Work};

/// Packs that are no provider's, in the order in which they build on each other.
const SHARED: [&str; 4] = [BASE, TOOLS, COMMON, REST];

/// What was made, for scripts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Warmed {
    pub packs: Vec<WarmedPack>,
    /// Content that went to registries and came from them.
    pub moved_bytes: u64,
}

/// A pack that was made, or found.
#[derive(Debug, Serialize, Deserialize)]
pub struct WarmedPack {
    pub name: String,
    /// The tag under which it is kept.
    pub tag: String,
    pub modules: usize,
    /// Its layers as shipped.
    pub compressed_bytes: u64,
    /// Its layers as tar.
    pub uncompressed_bytes: u64,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub build: Build,
    /// Provider to warm; or `base`, `tools` or `common`, which all images share, or `rest`, for the whole image alone;
    /// repeat for several
    #[arg(long = "provider", value_name = "P", required = true)]
    pub providers: Vec<String>,
    /// Which part of the provider, as `matrix` divides it
    #[arg(long, value_name = "N/OF")]
    pub part: Option<Shard>,
    /// Recorded times, by which a provider is divided [default: those of the catalog]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
    /// Where the packs go: an OCI layout, or one archive of it
    #[arg(long, value_name = "DIR|FILE.tar")]
    pub out: Option<Utf8PathBuf>,
    /// Take packs from here instead of making them anew, where their inputs are the same: a repository, or a folder
    #[arg(long, value_name = "HOST/REPO|DIR")]
    pub from: Option<String>,
    /// Put the packs here: into a repository, or as archives into a folder
    #[arg(long, value_name = "HOST/REPO|DIR")]
    pub push: Option<String>,
    /// Name the pushed packs by this run, too, so that `assemble --run` finds them
    #[arg(long, value_name = "NAME", requires = "push")]
    pub run: Option<String>,
    #[command(flatten)]
    pub signing: Signing,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Args {
    fn check(&self) -> Result<()> {
        if self.out.is_some() || self.push.is_some() {
            return Ok(());
        }
        Err(usage(
            "nothing says where the packs go",
            "write them with --out DIR or --out FILE.tar, or put them into a repository or a folder with --push \
             HOST/REPO|DIR",
        ))
    }
}

/// Makes the packs that the flags name, and says what they are.
pub fn run(flags: &Args) -> Result<()> {
    flags.check()?;
    let out = flags.out.as_deref().map(Destination::at).transpose()?;
    let source = flags.build.source.folder()?;
    let settings = Settings {
        times: Times::read(flags.times.as_deref())?,
        store: Store::parse(flags.from.as_deref(), flags.insecure)?,
        ..flags.build.settings(source.clone())?
    };
    let push = Store::parse(flags.push.as_deref(), flags.insecure)?;
    let signer = flags.signing.signer();
    if signer.is_some() && !matches!(push, Store::Repository { .. }) {
        return Err(usage(
            "signatures are kept in a registry, and the packs go to none",
            "name its repository with --push HOST/REPO",
        ));
    }
    let wanted = Wanted::parse(&flags.providers, flags.part)?;
    let found = source::discover(&source, flags.build.image.as_deref())?;
    let modules = found.modules.as_slice();
    let selected = source::select(modules, &wanted.providers);
    let platforms = flags.build.platforms();
    let plan = Plan {
        settings: &settings,
        modules,
        platforms: &platforms,
        makes: Makes {
            base: wanted.shared.contains(&BASE) || wanted.shared.contains(&TOOLS),
            verifier: wanted.shared.contains(&TOOLS),
        },
        verifies: false,
        out: flags.out.as_deref(),
        kept: work::place()?,
    };
    let (providers, unknown) = source::or_later(selected);
    preflight::check(&plan, unknown)?;

    let mut progress = Progress::default();
    let (mut packs, mut broken) = (Vec::new(), Vec::new());
    // Until the end: what was made is in use.
    let mut foundations = Vec::new();
    for platform in &platforms {
        progress.suffix(suffix(platform, &platforms));
        let settings = Settings {
            platform: platform.clone(),
            ..settings.clone()
        };
        let foundation = flow::foundation(settings, &mut progress)?;
        let made = wanted.make(&foundation, modules, &providers, &mut progress)?;
        packs.extend(made.packs);
        broken.extend(made.broken);
        foundations.push(foundation);
    }
    progress.suffix("");
    let foundation = foundations.first();
    let foundation = foundation.context("there is a platform at least")?;
    progress.step("list what is in the layers", Kind::Local, |_| {
        Reader::new(&foundation.work, &foundation.tree.image).complete(&mut packs)
    })?;
    if let Some(out) = out.as_ref().filter(|_| !packs.is_empty()) {
        progress.step("write", Kind::Local, |_| out.write(&packs))?;
    }
    let mut moved_bytes = foundation.store().received_bytes();
    moved_bytes += progress.step("push", Kind::Network, |step| {
        put(
            &foundation.work,
            &push,
            (flags, signer.as_ref()),
            &packs,
            step,
        )
    })?;
    let warmed = Warmed {
        packs: packs.iter().map(WarmedPack::from).collect(),
        moved_bytes,
    };
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&warmed)?);
    } else {
        println!("{}", warmed.table());
    }
    source::warn_of_left_out(&found);
    if !broken.is_empty() {
        bail!(
            "{} modules do not build and are missing from the packs:\n{}",
            broken.len(),
            broken.join("\n")
        );
    }
    Ok(())
}

/// What was made for a platform.
struct Made {
    packs: Vec<Pack>,
    /// Modules that are missing from them, with the reason.
    broken: Vec<String>,
}

/// What `--provider` and `--part` ask for.
struct Wanted {
    shared: Vec<&'static str>,
    providers: Vec<String>,
    shard: Shard,
}

impl Wanted {
    fn parse(names: &[String], part: Option<Shard>) -> Result<Self> {
        let is_shared = |name: &String| SHARED.contains(&name.as_str());
        let providers: Vec<String> = names.iter().filter(|it| !is_shared(it)).cloned().collect();
        if part.is_some() && (providers.len() != 1 || names.len() != 1) {
            return Err(usage(
                "--part divides one provider",
                "name one with --provider",
            ));
        }
        Ok(Self {
            shared: SHARED
                .into_iter()
                .filter(|shared| names.iter().any(|name| name == shared))
                .collect(),
            providers,
            shard: part.unwrap_or(Shard::WHOLE),
        })
    }

    /// Makes it, of `providers` what was asked for of them.
    fn make(
        &self,
        foundation: &Foundation,
        modules: &[Module],
        providers: &[String],
        progress: &mut Progress,
    ) -> Result<Made> {
        let has_providers = !self.providers.is_empty();
        let mut plugins = Vec::new();
        // They are of all parts of a provider together.
        if has_providers && self.shard.number == 1 {
            plugins = foundation.all_plugins(providers, modules, progress)?;
        }
        let (mut packs, mut broken) = (Vec::new(), Vec::new());
        if self.shared.contains(&BASE) {
            packs.push(foundation.base(progress)?);
        }
        if self.shared.contains(&TOOLS) {
            packs.push(foundation.tools(progress)?);
        }
        let builds_on_common = self.shared.contains(&COMMON) || self.shared.contains(&REST);
        if builds_on_common || has_providers {
            let common = foundation.common(modules, progress)?;
            let platform = &foundation.tree.platform;
            if self.shared.contains(&COMMON) {
                packs.push(common.to_pack(platform));
            }
            if self.shared.contains(&REST) {
                match foundation.rest(&common, progress)? {
                    Some(rest) => packs.push(rest.to_pack(platform)),
                    None => progress::note(format_args!(
                        "note: there is no pack {REST}, for nothing that go.mods require is left over"
                    )),
                }
            }
            for provider in providers.iter().filter(|_| has_providers) {
                let part = Part {
                    provider: provider.clone(),
                    shard: self.shard,
                };
                let made = foundation.provider(part, modules, &common, progress)?;
                packs.push(made.to_pack(&common, platform));
                broken.extend(made.broken);
            }
        }
        packs.extend(plugins);
        Ok(Made { packs, broken })
    }
}

/// Where packs go: a layout in a folder, or in one archive.
struct Destination {
    folder: Out,
    archive: Option<Utf8PathBuf>,
}

impl Destination {
    fn at(place: &Utf8Path) -> Result<Self> {
        let place = Utf8PathBuf::try_from(std::path::absolute(place)?)?;
        let place = place.as_path();
        if !archive::is_archive(place) {
            let folder = Out::of(place, "a pack", &["oci-layout", "index.json"])?;
            return Ok(Self {
                folder,
                archive: None,
            });
        }
        if place.is_dir() {
            return Err(usage(
                format!("--out {place} is a folder"),
                "name a file that ends in .tar, or a folder that does not",
            ));
        }
        let name = place.file_name().context("an archive has a name")?;
        Ok(Self {
            folder: Out::of(
                &place.with_file_name(format!(".{name}.layout")),
                "a pack",
                &[],
            )?,
            archive: Some(place.to_owned()),
        })
    }

    fn write(&self, packs: &[Pack]) -> Result<()> {
        let folder = self.folder.begin()?;
        write_layout(folder, packs)?;
        match &self.archive {
            None => self.folder.complete(),
            Some(archive) => archive::archive(folder, archive),
        }
    }
}

/// Puts packs where other jobs find them, signed in a repository if they are to be; bytes that went to a registry and
/// came from it.
fn put(
    work: &Work,
    store: &Store,
    (flags, signer): (&Args, Option<&Signer>),
    packs: &[Pack],
    step: &Step,
) -> Result<u64> {
    match store {
        Store::Nowhere => Ok(0),
        Store::Folder(folder) => {
            for pack in packs {
                let archive = folder.join(archive_name(pack, flags));
                Destination::at(&archive)?.write(std::slice::from_ref(pack))?;
            }
            Ok(0)
        }
        Store::Repository {
            repository,
            insecure,
            ..
        } => {
            let scratch = work.scratch("push")?;
            write_layout(scratch.path(), packs)?;
            let layout = Layout::open(scratch.path())?;
            let mut target = RegistryTarget::open(repository, *insecure, work, step)?;
            if let Some(signer) = signer {
                let tags = packs.iter().map(|pack| pack.description.tag());
                let named: Vec<_> = tags.zip(layout.manifests().iter().cloned()).collect();
                sign::sign(signer, &mut target, &named, &[], work)?;
            }
            for (pack, descriptor) in packs.iter().zip(layout.manifests()) {
                target.push(&layout, descriptor, &pack.description.tag())?;
                if let Some(run) = &flags.run {
                    let description = &pack.description;
                    let tag = run_tag(run, &description.name, &description.platform);
                    target.push(&layout, descriptor, &tag)?;
                }
            }
            let moved = target.moved();
            Ok(moved.sent_bytes + moved.received_bytes)
        }
    }
}

/// The file of a pack in a folder; where platforms were named, with its own.
fn archive_name(pack: &Pack, flags: &Args) -> String {
    let (name, platform) = (&pack.description.name, &pack.description.platform);
    if flags.build.platforms.named().is_empty() {
        format!("{name}.tar")
    } else {
        format!("{}.tar", archive::name(name, platform))
    }
}

fn write_layout(folder: &Utf8Path, packs: &[Pack]) -> Result<()> {
    let mut layout = LayoutWriter::create(folder)?;
    for pack in packs {
        artifact::write(pack, &mut layout)?;
    }
    layout.finish()
}

impl From<&Pack> for WarmedPack {
    fn from(pack: &Pack) -> Self {
        let described = &pack.description;
        let sum =
            |bytes: fn(&Layer) -> u64| described.layers.iter().map(|it| bytes(&it.layer)).sum();
        Self {
            name: described.name.clone(),
            tag: described.tag(),
            modules: described.pack.as_ref().map_or(0, |pack| pack.modules.len()),
            compressed_bytes: sum(|layer| layer.size_bytes),
            uncompressed_bytes: sum(|layer| layer.uncompressed_bytes),
        }
    }
}

impl Warmed {
    fn table(&self) -> comfy_table::Table {
        let mut table = pipeline::summary::table(&["pack", "modules", "size", "compressed", "tag"]);
        for pack in &self.packs {
            table.add_row([
                pack.name.clone(),
                pack.modules.to_string(),
                human_bytes(pack.uncompressed_bytes),
                human_bytes(pack.compressed_bytes),
                pack.tag.clone(),
            ]);
        }
        table
    }
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
    fn without_a_place_for_the_packs_both_kinds_of_it_are_named() {
        let check = |flags: &[&str]| {
            let words = ["warm", "--provider", "aws"].iter().chain(flags);
            Command::parse_from(words).args.check()
        };
        for flags in [["--out", "x"], ["--push", "x"]] {
            check(&flags).unwrap();
        }
        let error = check(&[]).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        let said = failure::text(&error);
        assert!(
            said.contains("--out DIR") && said.contains("--push HOST/REPO"),
            "{said}"
        );
    }
}
