//! `verifier explain`: why the first build of a module misses what the image holds.
//!
//! From the outside in: settings that decide on every action ID are compared first, and where one differs nothing is
//! built, since that alone explains all. Otherwise the module is built once, with the go command's log of what each
//! action ID is made of, and what missed is compared with the record in the image (see [`gocache::explain`]).
//!
//! The build gets a GOCACHE of its own and reads the one that is explained through `verifier cacheprog`, which never
//! writes to what it serves: a damaged entry, which the go command would mend in passing, stays as it was found.

mod absent;
mod answer;
mod settings;
mod text;

use failure::{Kind, usage};
use sha256::Sha256Hash;
use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::executables::Executables;
use gocache::image_info::{
    self, EXECUTABLES_PATH, IMAGE_INFO_PATH, INPUTS_SUFFIX, ImageInfo, PACKS_PATH, PackInfo,
};
use gocache::{
    ActionGraph, Damage, Explanation, GoModule, HashLog, Hits, Identity, InputsRecord, Observed,
    RECORD_SCHEMA, Store,
};
use modules::Module;

use self::answer::{Answer, ExplainedModule, SCHEMA};
use self::settings::{Origins, Setting};
use crate::process::Environment;
use crate::run::pristine::{Pristine, Surroundings};
use crate::run::selection;
use crate::{cacheprog, go, info, output, process};

/// Lines of a failed build that are shown.
const MESSAGE_LINES: usize = 12;

/// Explain why the first build of a module misses what the image holds
///
/// Exits with 0 if everything hits, or if all that misses is expected because the source has moved on; with 3 if
/// something should have hit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module, named by its path in the source or as PROVIDER/COMPONENT
    #[arg(value_name = "MODULE")]
    module: String,
    /// The Go monorepo that the module is part of
    #[arg(long, value_name = "DIR")]
    source: Utf8PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Compare with what an image that is unpacked here says of itself
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: Utf8PathBuf,
}

struct Image {
    info: ImageInfo,
    packs: Vec<PackInfo>,
    record: InputsRecord,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let module = selected(args)?;
    let source = args
        .source
        .canonicalize_utf8()
        .with_context(|| format!("failed to find the real path of {}", args.source))?;
    let image = Image::read(&args.root)?;
    // What the go command asks of the module cache it leaves traces of; this one asks for nothing.
    let local = [offline(), vec![("GOTOOLCHAIN", "local".to_owned())]].concat();
    let folder = source.join(module.program());
    let local = go::Settings::with_environment(&folder, &local)?;
    let traces: Vec<Pristine> = traces(&module)
        .map(|folder| Pristine::note(&Utf8Path::new(&local.identity.gomodcache).join(folder)))
        .collect::<anyhow::Result<_>>()?;
    let answer = Answer::find(module, &source, image, local);
    // Also when it failed.
    for folder in &traces {
        folder.restore()?;
    }
    let answer = answer?;
    if args.json {
        output::json_to_stdout(&answer)?;
    } else {
        output::print(&text::render(&answer))?;
    }
    Ok(if answer.has_defect() {
        ExitCode::from(Kind::Missed.exit_code())
    } else {
        ExitCode::SUCCESS
    })
}

/// Keeps the go command off the network.
fn offline() -> Environment {
    vec![("GOPROXY", "off".to_owned())]
}

/// Folders of the module cache in which a go command without network leaves files: for a toolchain that it asks for
/// in vain, and for the commit that it stamps.
fn traces(module: &Module) -> impl Iterator<Item = Utf8PathBuf> {
    let above = module.go_mod.parent().unwrap_or(Utf8Path::new(""));
    let below = module.program().strip_prefix(above).ok();
    let go_module = below.and_then(|below| module.import_path.strip_suffix(below.as_str()));
    let go_module = go_module.unwrap_or(&module.import_path);
    ["golang.org/toolchain", go_module.trim_end_matches('/')]
        .map(|path| {
            let any_version = GoModule {
                path: path.to_owned(),
                version: "v0.0.0".to_owned(),
            };
            let mut file = any_version.download_file("info");
            file.pop();
            file
        })
        .into_iter()
}

impl Answer {
    /// Compares, and builds unless settings explain all.
    fn find(
        module: Module,
        source: &Utf8Path,
        image: Option<Image>,
        local: go::Settings,
    ) -> anyhow::Result<Self> {
        let folder = source.join(module.program());
        // Where the Go that go.mod asks for is not here, the settings are those of the one that is.
        let (here, unavailable) = match go::Settings::with_environment(&folder, &offline()) {
            Ok(settings) => (settings, None),
            Err(error) => (local, Some(format!("{error:#}"))),
        };
        let origins = Origins::of_process(&here)?;
        let identity = image.as_ref().map(|image| &image.info.identity);
        let mut packs = image.iter().flat_map(|image| &image.packs);
        let has_go_modules = packs.any(|pack| pack.go_modules > 0);
        let mut differing = settings::differences(identity, has_go_modules, &here, &origins);
        differing.extend(unavailable.map(|message| settings::toolchain(&message, &here, &origins)));

        let (mut build, mut messages, mut absent) = (None, Vec::new(), Vec::new());
        if differing.is_empty() {
            eprintln!("building {} to see what it misses", module.path);
            let record = image.as_ref().map(|image| &image.record);
            let asked = asked(identity, &here);
            let attempt = Attempt::new(&folder, &here, &asked, &Environment::new())?;
            let explanation = attempt.explain(
                &module,
                go_work(&here, source).as_deref(),
                record.unwrap_or(&InputsRecord::default()),
            );
            if !attempt.hits_everything() {
                let variables = settings::of_module_lookup(&origins, &here);
                differing.extend(decisive(variables, &attempt, &folder, &here, &asked)?);
            }
            let packs = image.as_ref().map(|image| image.packs.as_slice());
            let without = image_info::without_packages(packs.unwrap_or_default());
            absent = absent::absent(&attempt.loaded, &without);
            messages = attempt.failure;
            let is_explained =
                !explanation.causes.is_empty() || !differing.is_empty() || !absent.is_empty();
            if !messages.is_empty() && !is_explained {
                bail!("{} does not build:\n{}", module.path, messages.join("\n"));
            }
            build = Some(explanation);
        }
        let mut answer = Self {
            schema: SCHEMA,
            headline: String::new(),
            is_in_image: image.as_ref().is_some_and(|image| image.holds(&module)),
            module: ExplainedModule {
                provider: module.provider,
                component: module.component,
                path: module.path,
            },
            identity: here.identity,
            packs: image.map(|image| image.packs.into_iter().map(|pack| pack.name).collect()),
            settings: differing,
            build,
            absent,
            messages,
        };
        answer.headline = text::headline(&answer);
        Ok(answer)
    }
}

fn selected(args: &Args) -> anyhow::Result<Module> {
    let layout = info::layout(&args.root)?;
    let discovery = modules::discover(&args.source, layout.as_ref())?;
    let names = std::slice::from_ref(&args.module);
    let mut selected =
        selection::of_source(&args.source, layout.as_ref(), discovery, (&[], names))?;
    match selected.pop() {
        Some(module) if selected.is_empty() => Ok(module),
        last => {
            let paths: Vec<_> = selected
                .iter()
                .chain(&last)
                .map(|it| it.path.as_str())
                .collect();
            Err(usage(
                format!("{:?} is the name of several modules", args.module),
                format!("name one by its path: {}", paths.join(", ")),
            ))
        }
    }
}

/// The caches that the go command asks: GOCACHE, and what GOCACHEPROG serves.
fn asked(image: Option<&Identity>, here: &go::Settings) -> Vec<Utf8PathBuf> {
    let mut asked = vec![Utf8PathBuf::from(&here.identity.gocache)];
    let shipped = image.map(|image| image.gocache.as_str());
    let shipped = shipped.filter(|gocache| here.is_served(gocache));
    asked.extend(shipped.map(Utf8PathBuf::from));
    asked.dedup();
    asked
}

/// Of settings that decide only together with the source, those without which a build fares better.
fn decisive(
    variables: Vec<Setting>,
    attempt: &Attempt,
    folder: &Utf8Path,
    here: &go::Settings,
    asked: &[Utf8PathBuf],
) -> anyhow::Result<Vec<Setting>> {
    let mut decisive = Vec::new();
    for mut variable in variables {
        let without: Environment = vec![(variable.name, variable.image.clone())];
        let other = Attempt::new(folder, here, asked, &without)?;
        if other.fares_better_than(attempt) {
            let settings = go::Settings::with_environment(folder, &[without, offline()].concat())?;
            settings
                .value(variable.name)
                .clone_into(&mut variable.image);
            decisive.push(variable);
        }
    }
    Ok(decisive)
}

/// The go.work in force, relative to the source if it is in it.
fn go_work(here: &go::Settings, source: &Utf8Path) -> Option<Utf8PathBuf> {
    let path = Utf8Path::new(here.value("GOWORK"));
    let is_file = path.is_absolute();
    is_file.then(|| path.strip_prefix(source).unwrap_or(path).to_owned())
}

impl Image {
    /// What the image in `root` says of itself, if there is one.
    fn read(root: &Utf8Path) -> anyhow::Result<Option<Self>> {
        if !info::resolve(root, IMAGE_INFO_PATH)?.exists() {
            return Ok(None);
        }
        let (info, packs) = info::read(root)?;
        let mut record = InputsRecord::default();
        for pack in &packs {
            let file = format!("{PACKS_PATH}/{}{INPUTS_SUFFIX}", pack.name);
            let file = info::resolve(root, file)?;
            if file.exists() {
                let of_pack = InputsRecord::read(&file).context(info::UNREADABLE)?;
                info::check_schema(of_pack.schema, RECORD_SCHEMA, &file)?;
                record.merge(of_pack);
            }
        }
        Ok(Some(Self {
            info,
            packs,
            record,
        }))
    }

    fn holds(&self, module: &Module) -> bool {
        let mut modules = self.packs.iter().flat_map(|pack| &pack.modules);
        modules.any(|held| held.path == module.path)
    }
}

/// A build of a module that read a cache and left it as it was.
struct Attempt {
    log: HashLog,
    hits: Hits,
    /// Of the actions that the build looked up, those whose entries are not whole.
    damaged: BTreeMap<Sha256Hash, Damage>,
    /// What the go command said, if it failed.
    failure: Vec<String>,
    /// What it was to load then.
    loaded: Vec<absent::Loaded>,
}

impl Attempt {
    /// Builds the program in `folder`, with the `asked` caches, and with variables beside those that are set.
    fn new(
        folder: &Utf8Path,
        here: &go::Settings,
        asked: &[Utf8PathBuf],
        variables: &Environment,
    ) -> anyhow::Result<Self> {
        let surroundings = Surroundings::new(here.independent_of_home())?;
        let graph = surroundings.path("graph.json");
        let own = std::env::current_exe().context("failed to find the verifier's own path")?;
        let folders: Vec<_> = asked.iter().map(Utf8PathBuf::as_path).collect();
        let mut environment = surroundings.environment();
        environment.extend(variables.iter().cloned());
        environment.extend([
            ("GOCACHE", surroundings.path("go-build").into_string()),
            (
                "GOCACHEPROG",
                cacheprog::command(&own.to_string_lossy(), &folders),
            ),
            go::hash_log(),
            ("GOPROXY", "off".into()),
            // Asked for the commit, git would write its index anew.
            ("GIT_OPTIONAL_LOCKS", "0".into()),
        ]);
        let graph_flag = format!("-debug-actiongraph={graph}");
        let program = surroundings.path("program");
        let arguments = ["build", &graph_flag, "-o", program.as_str(), "."];
        let finished = process::run("go", &arguments, folder, &environment)?;
        let log = HashLog::scan(&finished.stderr[..])?;
        let looked_up = log
            .inputs
            .packages
            .values()
            .chain(log.inputs.links.values());
        let actions: Vec<_> = looked_up.map(|inputs| inputs.action).collect();
        let damaged = damaged(asked, actions)?;
        let (hits, failure, loaded) = if finished.status.success() {
            let hits = ActionGraph::parse(fs_err::File::open(graph)?)?.hits();
            (hits, Vec::new(), Vec::new())
        } else {
            let mut failure = vec![format!("go build failed ({}):", finished.status)];
            failure.extend(log.other.iter().take(MESSAGE_LINES).cloned());
            let loaded = absent::loaded(folder, &environment)?;
            (Hits::default(), failure, loaded)
        };
        Ok(Self {
            log,
            hits,
            damaged,
            failure,
            loaded,
        })
    }

    fn hits_everything(&self) -> bool {
        self.failure.is_empty() && self.hits.compiled.is_empty() && self.hits.linked.is_empty()
    }

    /// Whether this one builds and the other does not, or it hits more.
    fn fares_better_than(&self, other: &Self) -> bool {
        match (self.failure.is_empty(), other.failure.is_empty()) {
            (true, true) => {
                let ran = |attempt: &Self| attempt.hits.compiled.len() + attempt.hits.linked.len();
                ran(self) < ran(other)
            }
            (builds, _) => builds && !other.failure.is_empty(),
        }
    }

    fn explain(
        &self,
        module: &Module,
        go_work: Option<&Utf8Path>,
        record: &InputsRecord,
    ) -> Explanation {
        let observed = Observed {
            path: &module.path,
            import_path: &module.import_path,
            inputs: &self.log.inputs,
            hits: &self.hits,
            damaged: &self.damaged,
            go_work,
        };
        gocache::explain(&observed, record)
    }
}

/// Of `actions`, those whose entries are whole in none of the `asked` caches, which are asked in that order, nor among the
/// executables that the image has compressed.
fn damaged(
    asked: &[Utf8PathBuf],
    actions: Vec<Sha256Hash>,
) -> anyhow::Result<BTreeMap<Sha256Hash, Damage>> {
    let (mut taken, mut left) = (BTreeMap::new(), BTreeMap::new());
    let mut actions = actions;
    for cache in asked {
        // The go command takes an output of the right size, and asks no further.
        let is_taken = |damage: &Damage| matches!(damage, Damage::OutputHash { .. });
        let found = Store::at(cache).damaged(&actions)?;
        let (wrong, others) = found
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, damage)| is_taken(damage));
        taken.extend(wrong);
        actions = others.keys().copied().collect();
        left = others;
    }
    // An index that cannot be read gives nothing to a build either.
    let packed = Executables::open(Utf8Path::new(EXECUTABLES_PATH)).unwrap_or_default();
    let unpacks = |action: &Sha256Hash| {
        let found = packed.of_action(action);
        found.is_some_and(|it| it.unpack(std::io::sink()).is_ok())
    };
    left.retain(|action, damage| !matches!(damage, Damage::NoEntry { .. }) || !unpacks(action));
    taken.extend(left);
    Ok(taken)
}
