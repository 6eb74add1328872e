//! `cargo xtask report-schema`: renews the committed JSON Schema of the report, or says that it is out of date.

use anyhow::{Result, ensure};
use camino::Utf8Path;
use report::SCHEMA_FILE;

use pipeline::workspace::workspace;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing; exit with 1 if the committed schema is out of date
    #[arg(long)]
    pub check: bool,
}

/// Writes the schema, or with `--check` compares it.
pub fn run(flags: &Args) -> Result<()> {
    let file = workspace().join(SCHEMA_FILE);
    if flags.check {
        check(&file)
    } else {
        Ok(report::file::write(&file, &report::json_schema())?)
    }
}

fn check(file: &Utf8Path) -> Result<()> {
    ensure!(
        fs_err::read_to_string(file)? == report::json_schema(),
        "{file} is out of date; renew it with `cargo xtask report-schema`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_out_of_date_is_named_with_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("x.json");
        for (text, fits) in [(report::json_schema(), true), ("{}".to_owned(), false)] {
            fs_err::write(&file, text).unwrap();
            assert_eq!(check(&file).is_ok(), fits);
        }
        let said = check(&file).unwrap_err().to_string();
        assert!(
            said.contains(file.as_str()) && said.contains("cargo xtask report-schema"),
            "{said}"
        );
    }
}
