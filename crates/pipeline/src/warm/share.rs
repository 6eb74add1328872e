//! How much of compiling and linking runs side by side: as much as there are processors for, and memory.
//!
//! One process of the compiler can take more than ten gigabytes, where a provider's API is one package. How much the
//! largest one takes is recorded; where nothing is, it is assumed. Where memory is tight, compiler and linker collect
//! their garbage sooner (`GOGC`), which costs time and leaves what they make as it is: neither that nor the number of
//! processes is in an action ID.

use engine::memory::Memory;

/// What the largest process takes where nothing is recorded: a little more than that of the catalog's largest provider.
const ASSUMED_PEAK_BYTES: u64 = 3_000_000_000;

/// Values of GOGC, from the default on, with what a process then takes at most, in percent: its live data and as much
/// garbage as that allows.
const COLLECTORS: [(Option<u32>, u64); 3] = [(None, 100), (Some(50), 75), (Some(25), 63)];

/// What a process takes at most that compiles a package of a tool, collecting garbage as seldom as [`SELDOM`] says.
const TOOL_PEAK_BYTES: u64 = 1_000_000_000;

/// GOGC of tools where there is memory for it: a fifth less work for the largest packages.
const SELDOM: u32 = 400;

/// What compiles and links side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Modules, or tools, that are built at the same time.
    pub jobs: usize,
    /// Processes of one `go build`, its `-p`.
    pub processes: usize,
    /// GOGC of them, where it is not the default.
    pub gogc: Option<u32>,
}

impl Share {
    /// As many as there are `processors`, and no more than fit into `memory` if each takes `peak_bytes`.
    pub fn of(processors: usize, memory: Option<Memory>, peak_bytes: Option<u64>) -> Self {
        let Some(memory) = memory else {
            return Self::exactly(processors);
        };
        let peak_bytes = peak_bytes.unwrap_or(ASSUMED_PEAK_BYTES).max(1);
        let fitting = |percent: u64| {
            let fitting = memory.available_bytes / (peak_bytes * percent / 100).max(1);
            usize::try_from(fitting).unwrap_or(usize::MAX)
        };
        let enough = COLLECTORS
            .into_iter()
            .find(|(_, percent)| fitting(*percent) >= processors);
        let (gogc, percent) = enough.unwrap_or(COLLECTORS[COLLECTORS.len() - 1]);
        Self {
            gogc,
            ..Self::exactly(fitting(percent).clamp(1, processors.max(1)))
        }
    }

    /// `jobs`, whether they fit or not, each with as little as fits in with the others.
    pub fn wanted(jobs: usize, memory: Option<Memory>, peak_bytes: Option<u64>) -> Self {
        Self {
            gogc: Self::of(jobs, memory, peak_bytes).gogc,
            ..Self::exactly(jobs)
        }
    }

    /// Of `tools` tools as many as fit on a machine of so many `processors`, each with a process for each of them.
    pub fn of_tools(processors: usize, memory: Option<Memory>, tools: usize) -> Self {
        let processes = processors.max(1);
        let fitting = memory.map_or(usize::MAX, |memory| {
            usize::try_from(memory.available_bytes / TOOL_PEAK_BYTES).unwrap_or(usize::MAX)
        });
        let jobs = fitting / processes;
        Self {
            jobs: jobs.clamp(1, tools.max(1)),
            processes,
            gogc: (jobs > 0 && memory.is_some()).then_some(SELDOM),
        }
    }

    fn exactly(jobs: usize) -> Self {
        let jobs = jobs.max(1);
        Self {
            jobs,
            processes: jobs,
            gogc: None,
        }
    }

    /// The variables of the processes.
    pub fn env(self) -> Option<(&'static str, String)> {
        self.gogc.map(|gogc| ("GOGC", gogc.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xshell::{Shell, cmd};

    const GB: u64 = 1_000_000_000;

    fn share(processors: usize, available_bytes: u64, peak_bytes: Option<u64>) -> Share {
        let memory = Memory {
            limit_bytes: 2 * available_bytes,
            available_bytes,
        };
        Share::of(processors, Some(memory), peak_bytes)
    }

    #[test]
    fn what_runs_side_by_side_fits_into_memory() {
        for (processors, available, peak, jobs, gogc) in [
            // Enough for all.
            (2, 24 * GB, None, 2, None),
            (4, 15 * GB, None, 4, None),
            (4, 15 * GB, Some(3 * GB), 4, None),
            // Enough if garbage is collected sooner.
            (4, 15 * GB, Some(5 * GB), 4, Some(50)),
            (4, 15 * GB, Some(55 * GB / 10), 4, Some(25)),
            // Never two side by side that do not fit.
            (4, 15 * GB, Some(102 * GB / 10), 2, Some(25)),
            (4, 12 * GB, Some(102 * GB / 10), 1, Some(25)),
            (64, 60 * GB, None, 31, Some(25)),
            // One has to run.
            (4, GB, Some(10 * GB), 1, Some(25)),
            (1, 0, None, 1, Some(25)),
        ] {
            let expected = Share {
                jobs,
                processes: jobs,
                gogc,
            };
            let told = share(processors, available, peak);
            assert_eq!(told, expected, "{processors} {available} {peak:?}");
        }
        let memory = Memory {
            limit_bytes: GB,
            available_bytes: GB,
        };
        let wanted = Share::wanted(3, Some(memory), None);
        assert_eq!((wanted.jobs, wanted.gogc), (3, Some(25)));
        assert_eq!(Share::of(3, None, Some(GB)), Share::exactly(3));
        assert_eq!(Share::exactly(0).jobs, 1);
    }

    #[test]
    fn tools_are_compiled_side_by_side_where_memory_allows_it() {
        for (processors, available_gb, jobs, gogc) in [
            (2, 20, 3, Some(SELDOM)),
            (2, 5, 2, Some(SELDOM)),
            (4, 15, 3, Some(SELDOM)),
            (4, 7, 1, Some(SELDOM)),
            (4, 3, 1, None),
            (64, 100, 1, Some(SELDOM)),
        ] {
            let memory = Memory {
                limit_bytes: 200 * GB,
                available_bytes: available_gb * GB,
            };
            let share = Share::of_tools(processors, Some(memory), 3);
            let told = (share.jobs, share.processes, share.gogc);
            assert_eq!(told, (jobs, processors, gogc), "{available_gb}");
        }
        let unknown = Share::of_tools(2, None, 3);
        assert_eq!((unknown.jobs, unknown.gogc), (3, None));
        assert_eq!(Share::of_tools(2, None, 0).jobs, 1);
    }

    #[test]
    fn neither_the_collector_nor_the_number_of_processes_is_in_an_action_id() {
        let folder = tempfile::tempdir().unwrap();
        let sh = Shell::new().unwrap();
        let _folder = sh.push_dir(folder.path());
        sh.write_file("go.mod", "module example.com/m\n\ngo 1.21\n")
            .unwrap();
        sh.write_file("lib/lib.go", "package lib\n\nconst A = 1\n")
            .unwrap();
        let main =
            "package main\n\nimport \"example.com/m/lib\"\n\nfunc main() { println(lib.A) }\n";
        sh.write_file("main.go", main).unwrap();
        let build = |name: &str, share: Share| {
            let cache = folder.path().join("cache");
            let processes = share.processes.to_string();
            let graph = format!("-debug-actiongraph={name}.json");
            let build = cmd!(sh, "go build {graph} -p {processes} -o {name} .");
            build
                .env("GOCACHE", cache)
                .envs(share.env())
                .ignore_stderr()
                .run()
                .unwrap();
            let graph = sh.read_binary_file(format!("{name}.json")).unwrap();
            let graph = gocache::ActionGraph::parse(graph.as_slice()).unwrap();
            (graph.hits(), sh.read_binary_file(name).unwrap())
        };
        let tight = Share {
            gogc: Some(25),
            ..Share::exactly(1)
        };
        let (first, tightly) = build("tight", tight);
        assert!(first.compiled.contains(&"example.com/m/lib".to_owned()));
        let (second, usually) = build("usual", Share::exactly(2));
        assert_eq!(second.compiled, Vec::<String>::new());
        assert!(tightly == usually);
    }
}
