//! `verifier which`: where a program is that is built already, and what it was built from.

pub mod unpacked;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use failure::usage;
use gocache::Sha256Hash;
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, Program};
use serde::Serialize;

use crate::{info, output};

/// Names in an error; more would hide it.
const LISTED: usize = 10;

/// Show where the executable of a program is that needs no Go, and what it was built from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program, as PROVIDER/COMPONENT or by the path of its module in the source [default: all]
    #[arg(value_name = "PROGRAM")]
    program: Option<String>,
    /// Put each into DIR/PROVIDER/COMPONENT, with its Pulumi.yaml, for `pulumi -C`
    #[arg(long, value_name = "DIR")]
    to: Option<Utf8PathBuf>,
    /// Print JSON: a list
    #[arg(long)]
    json: bool,
    /// Look into an image that is unpacked here
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: Utf8PathBuf,
}

/// What is shown; as JSON, what scripts read.
#[derive(Debug, Serialize)]
struct Found<'a> {
    provider: &'a str,
    component: &'a str,
    /// The module's folder in the source.
    module: &'a Utf8Path,
    /// The executable; none where it is compressed, and was put nowhere.
    path: Option<Utf8PathBuf>,
    /// Its folder, for `pulumi -C`.
    project: Option<Utf8PathBuf>,
    sha256: Sha256Hash,
    size_bytes: u64,
    /// The ID of its link action, which is a digest of everything that it was built from.
    link_action: Sha256Hash,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    info::read(&args.root)?;
    let programs = all_in(&args.root)?;
    let found = match &args.program {
        Some(wanted) => named(&programs, wanted)?,
        None => programs.iter().collect(),
    };
    let mut shown = Vec::new();
    for program in found {
        let place = match &args.to {
            Some(to) => Some(unpacked::put(program, &args.root, to)?),
            None => (!program.is_packed()).then(|| program.place()),
        };
        shown.push(Found::of(program, place));
    }
    let found = shown;
    if args.json {
        output::json_to_stdout(&found)?;
    } else {
        output::print(&text(&found))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The programs of the image in `root` that are built already.
pub fn all_in(root: &Utf8Path) -> Result<Vec<Program>> {
    let programs = Program::read_all(&info::resolve(root, PROGRAM_LISTS_PATH)?)?;
    if programs.is_empty() {
        return Err(usage(
            "this image has no programs that are built already",
            "take latest-run, or an image of a provider",
        ));
    }
    Ok(programs)
}

/// The programs called `wanted`: several, where modules differ in nothing but their folders.
fn named<'p>(programs: &'p [Program], wanted: &str) -> Result<Vec<&'p Program>> {
    let wanted = wanted.trim_matches('/');
    let is_named = |program: &&Program| program.name() == wanted || program.path == wanted;
    let found: Vec<&Program> = programs.iter().filter(is_named).collect();
    if found.is_empty() {
        return Err(usage(
            format!("there is no program {wanted:?} in this image"),
            near(programs, wanted),
        ));
    }
    Ok(found)
}

/// The names that are most like `wanted`.
fn near(programs: &[Program], wanted: &str) -> String {
    let mut names: Vec<String> = programs.iter().map(Program::name).collect();
    names.dedup();
    let more = names.len().saturating_sub(LISTED);
    names.sort_by_cached_key(|name| (strsim::levenshtein(name, wanted), name.clone()));
    names.truncate(LISTED);
    let others = match more {
        0 => String::new(),
        _ => format!(", and {more} more"),
    };
    format!("there are {}{others}", names.join(", "))
}

impl<'a> Found<'a> {
    /// `program`, whose folder is `place`, if it has one.
    fn of(program: &'a Program, place: Option<Utf8PathBuf>) -> Self {
        Self {
            provider: &program.provider,
            component: &program.component,
            module: &program.path,
            path: place.as_ref().map(|place| place.join(&program.binary)),
            project: place,
            sha256: program.sha256,
            size_bytes: program.size_bytes,
            link_action: program.link_action,
        }
    }
}

fn text(found: &[Found<'_>]) -> String {
    let mut text = String::new();
    for program in found {
        let megabytes = program.size_bytes as f64 / 1e6;
        let (provider, component) = (program.provider, program.component);
        let place = match &program.path {
            Some(path) => path.to_string(),
            None => format!(
                "{provider}/{component}: compressed; `verifier which {} --to DIR` unpacks it",
                program.module
            ),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{place}\n  sha256      {}\n  size        {megabytes:.1} MB\n  built from  {} (ID of its link action), {}\n",
            program.sha256, program.link_action, program.module
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(provider: &str, component: &str) -> Program {
        let digest = Sha256Hash::of(component.as_bytes());
        Program {
            provider: provider.into(),
            component: component.into(),
            path: format!("apis/{provider}/{component}").into(),
            folder: format!("{provider}/{component}").into(),
            binary: component.into(),
            sha256: digest,
            size_bytes: 31_000_000,
            project_sha256: digest,
            project: None,
            link_action: digest,
        }
    }

    #[test]
    fn a_program_is_named_by_its_component_or_its_path() {
        let programs = [program("aws", "s3"), program("civo", "volume")];
        for wanted in ["civo/volume", "apis/civo/volume/"] {
            let found = named(&programs, wanted).unwrap();
            assert_eq!(found, [&programs[1]]);
        }
        let mut found: Vec<_> = programs
            .iter()
            .map(|program| Found::of(program, Some(program.place())))
            .collect();
        found.push(Found::of(&programs[0], None));
        insta::assert_snapshot!(text(&found));
        insta::assert_json_snapshot!(found);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let mut programs = vec![program("civo", "volume")];
        programs.extend((0..20).map(|number| program("aws", &format!("component{number}"))));
        let error = named(&programs, "civo/volum").unwrap_err();
        let said = failure::text(&error);
        assert!(said.contains("there are civo/volume, "), "{said}");
        assert!(said.contains("and 11 more"), "{said}");
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }

    #[test]
    fn what_is_no_image_is_not_called_one_without_programs() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args {
            program: None,
            to: None,
            json: false,
            root: Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap(),
        };
        let error = run(&args).unwrap_err();
        assert!(
            failure::text(&error).contains("no IaC Runner image"),
            "{error}"
        );
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }

    #[test]
    fn an_image_without_programs_says_which_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let error = all_in(root).unwrap_err();
        assert!(failure::text(&error).contains("latest-run"), "{error}");
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }
}
