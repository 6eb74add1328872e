//! `cargo xtask vulnerabilities`: whether the tools that the image has call code with a known vulnerability, as
//! `govulncheck` finds it in Go's database.
//!
//! It looks with the Go version that compiles the tools: the standard library is a part of each, and of whoever runs
//! this, Go may be another one.

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use engine::host;
use failure::{failed, missed, usage};
use pipeline::image_toml::ImageToml;
use pipeline::workspace;

/// The checker, as the go command fetches it.
const GOVULNCHECK: &str = "golang.org/x/vuln/cmd/govulncheck@v1.9.0";
/// What it exits with when code that is called has a vulnerability.
const FOUND: i32 = 3;
/// Beside `image.toml`: a Go module for each program that is compiled, which names it as its `tool`.
const TOOLS: &str = "tools";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a go.mod whose `tool`s are looked at; repeat for several [default: those of the image]
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<Utf8PathBuf>,
    /// Database of vulnerabilities; a file URL names a copy of it in a folder
    #[arg(long, value_name = "URL", default_value = "https://vuln.go.dev")]
    pub database: String,
}

/// Looks at every tool before it fails; exits with 3 where one has a vulnerability.
pub fn run(flags: &Args) -> Result<()> {
    let image_toml = workspace::image_toml();
    let go = ImageToml::read(&image_toml)?.go.version;
    let folders = if flags.folders.is_empty() {
        folders(&image_toml.with_file_name(TOOLS))?
    } else {
        flags.folders.clone()
    };
    let programs = tempfile::tempdir()?;
    let programs = Utf8Path::from_path(programs.path()).unwrap_or(Utf8Path::new("/tmp"));
    let sh = Shell::new()?;
    for (name, value) in [
        ("CGO_ENABLED", "0"),
        ("GOFLAGS", "-buildvcs=false"),
        ("GOTOOLCHAIN", &format!("go{go}")),
        ("GOWORK", "off"),
        ("GOBIN", programs.as_str()),
    ] {
        sh.set_var(name, value);
    }
    host::run(cmd!(sh, "go install {GOVULNCHECK}"))?;
    let govulncheck = programs.join("govulncheck");
    let database = &flags.database;
    let mut vulnerable = Vec::new();
    for folder in &folders {
        if !folder.join("go.mod").is_file() {
            return Err(usage(
                format!("there is no go.mod in {folder}"),
                "name a folder whose go.mod has a `tool`",
            ));
        }
        let _folder = sh.push_dir(folder);
        let done = host::output(cmd!(sh, "{govulncheck} -db {database} tool"))?;
        print!(
            "{folder}\n{}",
            failure::printable(&String::from_utf8_lossy(&done.stdout))
        );
        match done.status.code() {
            Some(0) => {}
            Some(FOUND) => vulnerable.push(folder.as_str()),
            _ => {
                let said = String::from_utf8_lossy(&done.stderr);
                return Err(failed(
                    format!(
                        "govulncheck could not look at {folder}:\n{}",
                        engine::excerpt::excerpt(&said)
                    ),
                    format!(
                        "it needs the database {database} and what go.mod requires; --database takes a copy of the \
                         database as well (file:///DIR)"
                    ),
                ));
            }
        }
    }
    if vulnerable.is_empty() {
        return Ok(());
    }
    Err(missed(format!(
        "code with a known vulnerability is called in {}",
        vulnerable.join(", ")
    )))
}

/// The folders below `tools`, sorted.
fn folders(tools: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut folders = Vec::new();
    for entry in tools.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.into_path());
        }
    }
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_of_the_image_is_looked_at() {
        let image_toml = workspace::image_toml();
        let tools = image_toml.with_file_name(TOOLS);
        let found = folders(&tools).unwrap();
        let text = fs_err::read_to_string(&image_toml).unwrap();
        let text: toml::Table = text.parse().unwrap();
        let mut built = Vec::new();
        for (_, tool) in text["tools"].as_table().unwrap() {
            for build in tool
                .get("build")
                .and_then(toml::Value::as_array)
                .into_iter()
                .flatten()
            {
                let folder = build["folder"].as_str().unwrap();
                let go_mod = image_toml.with_file_name(folder).join("go.mod");
                let go_mod = modules::ModFile::parse(&fs_err::read_to_string(go_mod).unwrap());
                assert_eq!(go_mod.tool, [build["package"].as_str().unwrap()]);
                built.push(image_toml.with_file_name(folder));
            }
        }
        built.sort();
        built.dedup();
        assert_eq!(found, built);
    }
}
