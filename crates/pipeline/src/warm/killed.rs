//! Builds that end because memory runs out: the go command says no more than `signal: killed`, which nobody would look
//! for in the machine's memory.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use engine::memory::{self, Memory};
use engine::progress::human_bytes;

/// What the go command says of a tool of its own that a signal ended which no program can catch.
const KILLED: &str = ": signal: killed";

/// What Go's runtime and the system say where there is no more memory to be had.
const EXHAUSTED: [&str; 4] = [
    "fatal error: runtime: out of memory",
    "fatal error: runtime: cannot allocate memory",
    "runtime: cannot allocate memory",
    "fork/exec: cannot allocate memory",
];

/// As a shell says that this signal ended a command.
const SIGKILL: i32 = 9;

/// What to do about it.
pub const HINT: &str = "give it more memory, let less run side by side with --jobs 1, or warm fewer providers at once \
                        with --provider";

/// A build that was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// What was compiled or linked: the import path of the package, where the go command got to say it.
    package: Option<String>,
    /// Which of the two it was, by the tool.
    tool: Option<&'static str>,
}

impl Killed {
    /// That a build was ended, going by what the go command `said` and how it ended.
    pub fn find(said: &str, status: ExitStatus) -> Option<Self> {
        if status.success() {
            return None;
        }
        let mut package = None;
        for line in said.lines() {
            if let Some(before) = line.trim_end().strip_suffix(KILLED) {
                let (named, program) = match before.split_once(": ") {
                    Some((named, program)) => (Some(named.to_owned()), program),
                    None => (package.clone(), before),
                };
                let tool = program.rsplit('/').next().unwrap_or_default();
                let tool = ["compile", "link"].into_iter().find(|it| *it == tool);
                return Some(Self {
                    package: named,
                    tool,
                });
            }
            if EXHAUSTED.iter().any(|sign| line.contains(sign)) {
                return Some(Self {
                    package,
                    tool: None,
                });
            }
            if let Some(named) = line.strip_prefix("# ") {
                package = Some(named.to_owned());
            }
        }
        let is_killed = status.signal() == Some(SIGKILL) || status.code() == Some(128 + SIGKILL);
        is_killed.then_some(Self {
            package: None,
            tool: None,
        })
    }

    /// What is wrong, where the system has `memory`; it is sure if the system `is_known` to have killed for it.
    fn text(&self, memory: Option<Memory>, is_known: bool) -> String {
        let does = match self.tool {
            Some("link") => "linking",
            _ => "compiling",
        };
        let package = self.package.as_deref().unwrap_or("packages");
        let ended = if is_known {
            "was"
        } else {
            "was, by all signs,"
        };
        let there_is = memory.map_or_else(String::new, |memory| {
            format!(
                ", of which there are {} in all",
                human_bytes(memory.limit_bytes)
            )
        });
        format!("{does} {package} {ended} ended for want of memory{there_is}")
    }
}

/// Tells, when a build has ended, whether the system has killed anything since this was made.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    killed: u64,
}

impl Watch {
    /// From now on.
    pub fn begin() -> Self {
        Self {
            killed: memory::killed(),
        }
    }

    /// What is wrong, if it is want of memory by which a build ended.
    pub fn reason(self, said: &str, status: ExitStatus) -> Option<String> {
        let killed = Killed::find(said, status)?;
        Some(killed.text(memory::memory(), memory::killed() > self.killed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Memory = Memory {
        limit_bytes: 4_000_000_000,
        available_bytes: 3_500_000_000,
    };

    /// What is said of a build that ended with this code.
    fn text(said: &str, code: i32) -> Option<String> {
        let killed = Killed::find(said, ExitStatus::from_raw(code << 8))?;
        Some(killed.text(Some(MEMORY), false))
    }

    #[test]
    fn what_was_ended_is_named() {
        let compile =
            "example.com/m/lib: /usr/local/go/pkg/tool/linux_amd64/compile: signal: killed";
        let link = "# example.com/m\nexample.com/m: /usr/local/go/pkg/tool/linux_amd64/link: signal: killed\n";
        // Before Go 1.20, and with what the tool had said.
        let older = "# example.com/old\n/usr/local/go/pkg/tool/linux_amd64/compile: signal: killed";
        let runtime = "# example.com/big\nfatal error: runtime: out of memory\n\nruntime stack:\n";
        let texts: Vec<String> = [compile, link, older, runtime]
            .into_iter()
            .map(|said| text(said, 1).unwrap())
            .collect();
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn the_go_command_itself_may_be_what_was_ended() {
        let unnamed = Killed {
            package: None,
            tool: None,
        };
        let known = unnamed.text(None, true);
        assert_eq!(known, "compiling packages was ended for want of memory");
        let expected = Some(unnamed);
        let by_signal = ExitStatus::from_raw(SIGKILL);
        assert_eq!(Killed::find("", by_signal), expected);
        let by_code = ExitStatus::from_raw((128 + SIGKILL) << 8);
        assert_eq!(Killed::find("example.com/a\n", by_code), expected);
    }

    #[test]
    fn other_failures_are_not_for_want_of_memory() {
        for said in [
            "# example.com/m\n./main.go:3:15: undefined: killed",
            "main.go:1:1: expected 'package', found signal: killed by",
            "link: signal: segmentation fault",
            "",
        ] {
            assert_eq!(text(said, 1), None, "{said}");
        }
        assert_eq!(text("x: compile: signal: killed", 0), None);
    }
}
