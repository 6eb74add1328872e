//! `cargo xtask fetch-program`: one program that needs no Go, out of a registry or a layout, into a folder.
//!
//! The archive is believed when its digest is that of the manifest, and its files when their digests are those of the
//! program; only then the folder is there.

use crate::flags::open_layout;
use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, ImageManifest, MediaType};

use engine::progress::{Kind, Progress};
use failure::{corrupt, usage};
use gocache::image_info::programs::PROJECT_FILE;
use oci::blob::{Blobs, check_document, read, read_document};
use oci::layer::Compression;
use oci::layout::reader;
use oci::platform::Platform;
use oci::reference::{ImageReference, LATEST};
use oci::registry::Registry;
use oci::unpack::limits::Limits;
use oci::unpack::unpack;
use pipeline::assemble::programs::{ANNOTATION, CONFIG_TYPE, Described};
use pipeline::names::PROGRAM;
use pipeline::work::Work;
use pipeline::work::out::Out;
use sha256::{Sha256Hash, hash_file};

/// Names in an error; more would hide it.
const LISTED: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program's artifact: HOST/REPO:TAG-program-PROVIDER-COMPONENT-OS-ARCH or HOST/REPO@DIGEST in a registry,
    /// DIR/oci:TAG in an OCI layout
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Folder that is made, and gets the executable and its Pulumi.yaml
    #[arg(value_name = "DIR")]
    pub out: Utf8PathBuf,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
}

/// Fetches the program, and says which it is.
pub fn run(flags: &Args) -> Result<()> {
    let out = Out::of(&flags.out, "a program", &[PROJECT_FILE])?;
    let reference = ImageReference::parse(&flags.reference, Utf8Path::is_dir)?;
    let work = Work::open()?;
    let mut progress = Progress::default();
    let program = progress.step(format!("fetch {reference}"), Kind::Network, |step| {
        let scratch = work.scratch("program")?;
        match &reference {
            ImageReference::Layout { folder, tag } => {
                let layout = open_layout(folder)?;
                let tag = tag.as_deref().unwrap_or(LATEST);
                let is_it = |it: &&Descriptor| reader::name(it) == Some(tag);
                let found = layout.manifests().iter().find(is_it).ok_or_else(|| {
                    let names = layout.manifests().iter().filter_map(reader::name);
                    unknown(&flags.reference, names)
                })?;
                fetched(&layout, found, flags, scratch.path(), &out)
            }
            ImageReference::Registry(named) => {
                let registry = Registry::open(named, flags.insecure, work.shared("blobs")?, step)?;
                let name = named.digest().or(named.tag()).unwrap_or(LATEST);
                let Some((descriptor, _)) = registry.manifest(name)? else {
                    // Without the right to list tags there is none to name.
                    let tags = registry.tags().unwrap_or_default();
                    return Err(unknown(&flags.reference, tags.iter().map(String::as_str)));
                };
                fetched(&registry, &descriptor, flags, scratch.path(), &out)
            }
            ImageReference::Docker(_) => Err(usage(
                "Docker keeps images, and no programs",
                "name a registry (HOST/REPO:TAG) or a layout (DIR/oci:TAG)",
            )),
        }
    })?;
    let place = out.place();
    println!(
        "{place}/{}\nsha256 {}\n{} bytes, built from {} for {}\n\nrun it with: pulumi -C {place} preview",
        program.program.binary,
        program.program.sha256,
        program.program.size_bytes,
        program.program.path,
        program.platform
    );
    if program.platform != Platform::host().to_string() {
        eprintln!(
            "it does not run on this machine, which is {}",
            Platform::host()
        );
    }
    Ok(())
}

fn unknown<'n>(reference: &str, names: impl Iterator<Item = &'n str>) -> anyhow::Error {
    let infix = format!("-{PROGRAM}-");
    let mut programs: Vec<&str> = names.filter(|name| name.contains(&infix)).collect();
    programs.sort_unstable();
    usage(
        format!("there is no {reference}"),
        match programs.len().saturating_sub(LISTED) {
            _ if programs.is_empty() => {
                "no program is there; `cargo xtask assemble` and `push` put them beside the images"
                    .to_owned()
            }
            0 => format!("there are {}", programs.join(", ")),
            more => format!(
                "there are {}, and {more} more",
                programs[..LISTED].join(", ")
            ),
        },
    )
}

/// Puts the program that `descriptor` leads to into its folder.
fn fetched(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    flags: &Args,
    scratch: &Utf8Path,
    out: &Out,
) -> Result<Described> {
    let place = &flags.reference;
    check_document(descriptor, "manifest")?;
    let manifest: ImageManifest = read(&blobs.fetch(descriptor)?, "manifest")?;
    if manifest.config().media_type() != &MediaType::from(CONFIG_TYPE) {
        return Err(no_program(place, &manifest));
    }
    let damaged = |reason: String| {
        corrupt(
            format!("{place} is damaged: {reason}"),
            "make and push it anew",
        )
    };
    let described: Described = read_document(blobs, manifest.config(), "description of a program")?;
    let program = &described.program;
    let [layer] = manifest.layers().as_slice() else {
        return Err(damaged("it has not one archive".to_owned()));
    };
    if !program.is_sound() {
        return Err(damaged("its name leads elsewhere".to_owned()));
    }
    let blob = blobs.fetch(layer)?;
    let limits = Limits::of_image(layer.size(), scratch)?;
    unpack(&blob, Some(Compression::Gzip), scratch, limits)
        .map_err(|error| damaged(format!("{error:#}")))?;
    let word = program.folder.file_name().unwrap_or_default();
    let partial = out.begin()?;
    for (name, wanted) in [
        (program.binary.as_str(), program.sha256),
        (PROJECT_FILE, program.project_sha256),
    ] {
        let file = scratch.join(word).join(name);
        check(&file, &wanted).map_err(|reason| damaged(format!("{name} {reason}")))?;
        fs_err::copy(file, partial.join(name))?;
    }
    out.complete()?;
    Ok(described)
}

/// Fails unless `file` is a regular one with this digest.
fn check(file: &Utf8Path, wanted: &Sha256Hash) -> Result<(), String> {
    match file.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err("is no file".to_owned()),
        Err(_) => return Err("is missing".to_owned()),
    }
    let (found, _) = hash_file(file).map_err(|error| error.to_string())?;
    if found == *wanted {
        Ok(())
    } else {
        Err(format!("has the digest {found} instead of {wanted}"))
    }
}

/// What says that `place` is no program: of an image, with those that it has.
fn no_program(place: &str, manifest: &ImageManifest) -> anyhow::Error {
    let annotations = manifest.annotations().iter().flatten();
    let mut programs: Vec<String> = annotations
        .filter_map(|(name, digest)| Some(format!("{} ({digest})", name.strip_prefix(ANNOTATION)?)))
        .collect();
    programs.sort();
    let more = programs.len().saturating_sub(LISTED);
    programs.truncate(LISTED);
    let hint = match (programs.is_empty(), more) {
        (true, _) => "name the artifact of a program".to_owned(),
        (false, 0) => format!("its programs are {}", programs.join(", ")),
        (false, _) => format!("its programs are {}, and {more} more", programs.join(", ")),
    };
    usage(format!("{place} is an image, and no program"), hint)
}
