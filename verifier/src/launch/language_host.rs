//! Options of a project for a language host that takes them as flags.
//!
//! The last language host of Go that is to be had as a Go module takes `-binary` and `-buildTarget`; the CLI of today
//! sends what Pulumi.yaml says in requests that this host does not know, and would so have it ignored in silence.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gocache::image_info::LANGUAGE_HOSTS_PATH;
use modules::project::{Project, RuntimeOptions};
use rustix::process::{Pid, getppid};

/// The language host that the verifier stands in for.
pub const NAME: &str = "pulumi-language-go";

/// The real one.
pub fn real() -> PathBuf {
    Path::new(LANGUAGE_HOSTS_PATH).join(NAME)
}

/// Flags for the language host that this process becomes, from the project that the CLI works on.
pub fn flags() -> Vec<OsString> {
    // A project file that cannot be read is for the CLI to report.
    let project = project_folder().and_then(|folder| Project::around(&folder).ok()?);
    project.map_or(Vec::new(), |project| of_options(&project.runtime_options()))
}

/// The folder that the CLI, which starts its language hosts itself, works in: this process may be where `main` leads to.
fn project_folder() -> Option<PathBuf> {
    let of_parent = getppid().map(Pid::as_raw_nonzero);
    let of_parent =
        of_parent.and_then(|parent| fs_err::read_link(format!("/proc/{parent}/cwd")).ok());
    of_parent.or_else(|| std::env::current_dir().ok())
}

fn of_options(options: &RuntimeOptions) -> Vec<OsString> {
    let flags = [
        ("binary", &options.binary),
        ("buildTarget", &options.build_target),
    ];
    flags
        .into_iter()
        .filter_map(|(name, value)| Some(format!("-{name}={}", value.as_ref()?).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_a_flag_of_its_own() {
        assert!(of_options(&RuntimeOptions::default()).is_empty());
        let options = RuntimeOptions {
            binary: Some("-odd name".into()),
            build_target: Some("out".into()),
        };
        assert_eq!(
            of_options(&options),
            ["-binary=-odd name", "-buildTarget=out"]
        );
    }
}
